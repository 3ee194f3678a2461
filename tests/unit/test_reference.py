"""The reference and the runner's docstrings agree with the code."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import salt.minion
import salt.utils.args

from hart_salt import answer, drivers
from hart_salt.base import errors
from hart_salt.base.errors import HartError
from hart_salt.config import described
from hart_salt.config.catalog import Catalogue
from hart_salt.config.cluster import Cluster, Peer
from hart_salt.config.limits import Limits
from hart_salt.config.settings import Section, Settings
from hart_salt.drivers import retry
from hart_salt.inventory.records import Record
from hart_salt.migration import adopt
from hart_salt.modules import hart as module
from hart_salt.node import progress
from hart_salt.operations import create
from tests.parts import new_node
from tools import reference

SCHEMAS = {name: schema for name, schema in drivers.schemas().items() if name in drivers.OWN}
SECTIONS: list[tuple[str, type[Section]]] = [("", Settings)]
SECTIONS += [(name, section) for name, schema in SCHEMAS.items() for section in (schema.account, schema.options)]
#: by program and name
FUNCTIONS = {("salt-run", name): function for name, function in reference.functions().items()}
FUNCTIONS |= {("salt", name): function for name, function in reference.functions(module).items()}
each_function = pytest.mark.parametrize(
    ("program", "name"), FUNCTIONS, ids=[f"{program} hart.{name}" for program, name in FUNCTIONS]
)


def test_the_committed_reference_is_the_generated_one() -> None:
    assert reference.FILE.read_text(encoding="utf-8") == reference.generate(), "run: python -m tools.reference"


def test_every_own_driver_is_in_the_reference() -> None:
    text = reference.generate()
    assert set(SCHEMAS) == set(drivers.OWN)
    assert [name for name, title in drivers.OWN.items() if f"### Driver {name}: {title}\n" not in text] == []


def test_the_capabilities_of_each_driver_are_in_the_reference() -> None:
    head, _, *lines = [line for line in part("What each driver can").splitlines() if line.startswith("|")]
    names = re.findall(r"`(\w+)`", head)
    assert names == list(SCHEMAS)
    cells = [line.strip("| ").split(" | ") for line in lines]
    shown = {cell: tuple(name for name, can in zip(names, row, strict=True) if can == "yes") for cell, *row in cells}
    assert shown == {sentence.replace("``", "`"): having for sentence, having in drivers.supported().items()}
    assert {can for _, *row in cells for can in row} == {"yes", "no"}


@pytest.mark.parametrize(("driver", "section"), SECTIONS)
def test_every_setting_is_in_the_reference_with_type_default_and_description(
    driver: str, section: type[Section]
) -> None:
    start = f"### Driver {driver}: " if driver else "## Settings\n"
    part = re.split(r"\n##+ ", reference.generate().partition(start)[2])[0]
    rows = {row[0]: row for row in (line.strip("| ").split(" | ") for line in part.splitlines() if "|" in line)}
    for name, field in section.model_fields.items():
        row = rows[f"`{name}`"]
        assert row[1], name
        assert row[2], name
        assert field.description, name
        assert row[-1].endswith(field.description), name


@pytest.mark.parametrize(
    ("section", "title"), [(Cluster, "hart as a whole"), (Peer, "hart as a whole"), (Limits, "Limits")]
)
def test_every_setting_of_hart_as_a_whole_is_in_the_reference(section: type[Section], title: str) -> None:
    part = re.split(r"\n##+ ", reference.generate().partition(f"### {title}\n")[2])[0]
    for name, field in section.model_fields.items():
        assert re.search(
            rf"^\| `{name}` \| [^|]+ \| [^|]+ \| .* \| {re.escape(field.description or '?')} \|$", part, re.M
        )


def numbers() -> list[tuple[str, str]]:
    sections: list[tuple[str, type[Section]]] = [*SECTIONS, ("", Cluster), ("", Limits), ("masters", Peer)]
    return [
        (driver, name)
        for driver, section in sections
        for name, field in section.model_fields.items()
        if "number" in described.kind_of(field)
    ]


def test_every_number_has_a_unit_and_every_unit_a_number() -> None:
    assert [pair for pair in numbers() if not described.unit_of(*pair)] == []
    assert set(described.UNITS) <= {name for _, name in numbers()} | {".".join(pair) for pair in numbers()}


@pytest.mark.parametrize("name", reference.HART_NAMES)
def test_every_name_of_hart_is_accepted(name: str) -> None:
    catalogue = Catalogue(SCHEMAS)
    assert reference.known_as(name, SCHEMAS)
    assert catalogue.exists(name) or catalogue.is_account(name)


def test_every_alias_is_in_the_table_of_names() -> None:
    assert {alias for _, section in SECTIONS for alias in section.ALIASES} <= set(reference.HART_NAMES)


def test_the_reference_lists_the_events_that_are_fired() -> None:
    assert set(reference.EVENTS) == progress.EVENT_STAGES | {adopt.EVENT}
    assert [stage for stage in reference.EVENTS if f"| `{stage}` |" not in part("Events")] == []


def test_every_field_of_an_event_is_in_the_reference() -> None:
    fields = {"minion_id", "seconds", *progress.facts_of(new_node(), None)}
    assert [name for name in fields if f"`{name}`" not in part("Events")] == []


def test_the_fields_of_a_result_are_described() -> None:
    record = Record("a", "local", "local", "local", "shared", "ready", "me", "batch", 0.0)
    for kind in ("minion", "master"):
        assert set(create.facts(replace(record, kind=kind))) <= set(reference.RESULT)


def test_the_exit_codes_are_those_of_the_runner() -> None:
    assert {"0", "1", str(answer.REFUSED), str(answer.DEFECT)} <= set(reference.EXIT_CODES)


def all_errors(base: type[HartError] = HartError) -> set[type[HartError]]:
    """Return all errors, including the drivers' own."""
    return {base}.union(*(all_errors(kind) for kind in base.__subclasses__()))


def test_every_error_is_in_the_reference_by_its_public_name() -> None:
    shown = {errors.kind_of(kind.__new__(kind)) for kind in all_errors() - {HartError}}
    assert set(re.findall(r"^\| `(\w+)` \|", part("Errors"), re.MULTILINE)) == shown
    assert {"ConfigError", "RateLimited"} <= shown
    assert errors.kind_of(retry.StillThere("it is there")) == "TemporaryFailure"


@each_function
def test_every_function_is_in_the_reference(program: str, name: str) -> None:
    functions = part("Functions" if program == "salt-run" else "Functions on minions")
    assert f"\n### hart.{name}\n" in functions
    for line in examples(FUNCTIONS[program, name]):
        assert f"\n{line}\n" in functions


def part(title: str) -> str:
    """Return a chapter of the reference."""
    return re.split(r"^## ", reference.generate().partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def examples(function: Callable[..., Any]) -> list[str]:
    """Return the lines of a function's CLI Example."""
    doc = inspect.getdoc(function) or ""
    found = re.search(r"\n\nCLI Example:\n\n\.\. code-block:: bash\n\n((?:    .+\n)+)\n", doc)
    assert found, "no CLI Example"
    return inspect.cleandoc(found[1]).splitlines()


@each_function
def test_every_function_has_a_docstring_in_salts_form(program: str, name: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[program, name]) or ""
    assert doc.splitlines()[0].endswith(".")
    assert re.search(r"\.\. versionadded:: \d+\.\d+\.\d+$", doc)


@each_function
def test_every_line_of_an_example_is_a_valid_call(program: str, name: str) -> None:
    """The line is read by Salt's own parser, and Salt selects the arguments for the function."""
    function = FUNCTIONS[program, name]
    parameters = inspect.signature(function).parameters
    settings = set(Catalogue(SCHEMAS).names(None)) if "settings" in parameters else set()
    for line in examples(function):
        called, words = command(line)
        assert called == f"{program} hart.{name}"
        positional, named = salt.minion.load_args_and_kwargs(function, salt.utils.args.parse_input(words))
        bound = inspect.signature(function).bind(*positional, **named)
        assert "pairs" in parameters or [key for key in named if key not in set(parameters) | settings] == []
        # The last argument of hart.extend is the duration.
        most = 1 if name == "extend" else 0
        assert len(bound.arguments.get("extra", ())) <= most, "one positional argument at the most"
        assert not bound.arguments.get("unknown")


def command(line: str) -> tuple[str, list[str]]:
    """Return program and function of a line, and the function's arguments."""
    words = shlex.split(line)
    start = next(index for index, word in enumerate(words) if word.startswith("hart."))
    return f"{words[0]} {words[start]}", words[start + 1 :]


@each_function
def test_every_parameter_is_described(program: str, name: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[program, name]) or ""
    described = {word for line in re.findall(r"^([a-z_, ]+)\n    ", doc, re.MULTILINE) for word in line.split(", ")}
    kinds = inspect.Parameter
    for parameter in inspect.signature(FUNCTIONS[program, name]).parameters.values():
        caught = parameter.kind is kinds.VAR_POSITIONAL or parameter.name == "unknown"
        assert caught or parameter.name in described, parameter.name
