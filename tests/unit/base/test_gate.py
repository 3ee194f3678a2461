"""The one gate for all output: invisible characters, then secrets, then length."""

from __future__ import annotations

import logging

import yaml
from pydantic import SecretStr

from hart_salt.base.gate import DEEPEST, ERROR_LENGTH, Gate, shorten

TOKEN = "dop_v1_5a0f3c9b7e1d42688f60c3b2a9d5e714"  # noqa: S105 - it is nobody's


def gate_with(*secrets: object) -> Gate:
    gate = Gate()
    for secret in secrets:
        gate.secrets.add(secret)
    return gate


def parts_of(secret: str, text: str) -> list[str]:
    """Return the runs of 8 characters of a secret that a text shows."""
    return [part for at in range(len(secret) - 7) if (part := secret[at : at + 8]) in text]


def test_keys_values_and_numbers_pass() -> None:
    data = {"my-token-1": ["x my-token-1", 3, None, True, 1.5], "n": 12345678, "t": ("my-token-1",), 7: SecretStr("a")}
    assert gate_with("my-token-1", 12345678).data(data) == {
        "***": ["x ***", 3, None, True, 1.5],
        "n": "***",
        "t": ["***"],
        7: "***",
    }


def test_no_entry_is_lost_if_keys_become_equal() -> None:
    data = {"first-token": 1, "second-token": 2, "third-token": {"third-token": 3}, "***(2)": 4}
    shown = gate_with("first-token", "second-token", "third-token").data(data)
    assert list(shown) == ["***", "***(2)", "***(3)", "***(2)(2)"]
    assert list(shown.values()) == [1, 2, {"***": 3}, 4]


def test_anything_but_plain_data_becomes_text() -> None:
    data = {"error": ValueError("with my-token-1"), "bytes": b"my-token-1\xff", "set": {"my-token-1"}, b"my-token-1": 0}
    shown = gate_with("my-token-1").data(data)
    assert shown == {"error": "with ***", "bytes": "***\N{REPLACEMENT CHARACTER}", "set": ["***"], "***": 0}


def test_endlessly_nested_data_is_cut() -> None:
    nested: list[object] = []
    for _ in range(10 * DEEPEST):
        nested = [nested]
    assert str(Gate().data(nested)).count("[") == DEEPEST


def test_invisible_characters_are_marked_before_the_search_for_secrets() -> None:
    assert gate_with("pass\x07word\x9b!").text("<pass\x07word\x9b!>\x1b[2J") == "<***>\ufffd[2J"


def test_a_secret_cut_by_an_invisible_character_is_hidden() -> None:
    assert gate_with("correct horse battery").text("it is correct horse\x00 and more") == "it is ***\ufffd and more"


def test_a_text_is_shortened_after_its_secrets_are_hidden() -> None:
    gate = gate_with(TOKEN)
    for before in range(0, 2 * ERROR_LENGTH, 7):
        shown = gate.error("a" * before + TOKEN + "b" * ERROR_LENGTH)
        assert len(shown) <= ERROR_LENGTH
        assert parts_of(TOKEN, shown) == []
    long = "the start" + "x" * 5000 + "the end"
    assert gate.error(long).startswith("the start")
    assert gate.error(long).endswith("the end")


def test_a_shortened_text_shows_no_end_of_a_secret() -> None:
    words = "correct-horse"
    for before in range(ERROR_LENGTH // 3 - 20, ERROR_LENGTH // 3 + 5):
        text = "a" * before + words + "b" * ERROR_LENGTH
        assert gate_with(words).error(text) == shorten(text.replace(words, "***"), ERROR_LENGTH)


def test_a_node_s_printed_configuration_shows_no_secret_in_any_style_of_yaml() -> None:
    phrase = 'correct horse battery staple it\'s a "very" long one, longer than a line may be by far'
    for style in ("'", '"', "|", ">", None):
        printed = yaml.safe_dump({"db": {"password": phrase}}, default_style=style)
        shown = gate_with(phrase).data({"output": [printed]})
        assert parts_of(phrase, shown["output"][0]) == []


def test_records_of_any_logger_are_redacted_while_the_gate_is_open() -> None:
    logger, lines = logging.getLogger("some.package"), []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Handler()
    logging.getLogger().addHandler(handler)
    try:
        with gate_with(TOKEN).logs():
            logger.warning("asked with %s", TOKEN)
            try:
                raise ValueError(f"cannot use {TOKEN}")  # noqa: TRY301
            except ValueError:
                logger.exception("failed")
            # Salt's own class of records raises earlier; records that a library creates in another way do not.
            handler.handle(logging.LogRecord("library", logging.ERROR, "", 0, "%d of them", (TOKEN,), None))
        logger.warning("%s", "afterwards")
    finally:
        logging.getLogger().removeHandler(handler)
    assert lines[0] == "asked with ***"
    assert "ValueError: cannot use ***" in lines[1]
    assert lines[2].startswith("%d of them")
    assert TOKEN not in lines[2]
    assert lines[3] == "afterwards"
    assert handler.filters == []
