"""What is asked of minions, and what their stored answers come to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hart_salt.base import faults
from hart_salt.base.errors import HartError, Refused
from hart_salt.master import minions
from hart_salt.master.listener import ANSWER_SETTING, QUESTION
from hart_salt.master.minions import Call, Returned

OPTS = {"user": "root", "conf_file": "/nowhere/master"}


class Client:
    """Salt's LocalClient with minions that answer at once: ``answers`` has the stored return of each."""

    opts: Mapping[str, Any] = {"job_cache": True, "master_job_cache": "local_cache"}

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        #: of every job: minions, function and arguments
        self.jobs: list[tuple[list[str], str, list[Any]]] = []
        self.published: Any = {"minions": list(answers)}
        self.event = SimpleNamespace(get_event=self._event)
        self.returners = {"local_cache.get_jid": lambda jid: dict(self.answers)}
        self._announced = list(answers)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def destroy(self) -> None:
        """See ``__exit__``."""

    def pub(self, ids: Sequence[str], function: str, arguments: Sequence[Any], **how: Any) -> Any:
        assert how["tgt_type"] == "list"
        self.jobs.append((list(ids), function, list(arguments)))
        return self.published

    def again(self) -> None:
        """Announce the answers once more, for another job."""
        self._announced = list(self.answers)

    def _event(self, tag: str, **how: Any) -> Any:
        return {"tag": f"{tag}{self._announced.pop(0)}", "data": {}} if self._announced else None


def returned(value: Any, retcode: int = 0) -> dict[str, Any]:
    return {"return": value, "retcode": retcode}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make minions that answer as given; yields a function from answers to the minions and the client."""

    def make(answers: Mapping[str, Any]) -> tuple[minions.Minions, Client]:
        client = Client(answers)
        monkeypatch.setattr("salt.client.get_local_client", lambda mopts: client)
        monkeypatch.setattr("salt.utils.jid.gen_jid", lambda opts: "20260101000000000000")
        return minions.Minions(OPTS), client

    yield make


def test_the_user_is_the_one_of_salt_if_it_exists() -> None:
    assert minions.user_of({"user": "root"}) == "root"
    assert minions.user_of({"user": "Reactor"}) == faults.user()
    assert minions.user_of({}) == faults.user()


@pytest.mark.parametrize(
    ("settings", "stays"),
    [
        ({"key_cache": "sched"}, False),
        ({"key_cache": ""}, True),
        ({"key_cache": "sched", "keys.cache_driver": "x"}, True),
    ],
)
@pytest.mark.parametrize("question", ["ping", "ask_for_answers", "ask", "apply"])
def test_a_list_of_keys_that_salt_renews_rarely_hides_no_new_minion(
    asked: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Mapping[str, Any], stays: bool, question: str
) -> None:
    stale = tmp_path / "minions/.key_cache"
    stale.parent.mkdir()
    stale.touch()
    monkeypatch.setattr(
        "salt.utils.minions.CkMinions",
        lambda opts: SimpleNamespace(
            check_minions=lambda target, kind: {"minions": [] if stale.exists() else ["web-1"]}
        ),
    )
    asked({"web-1": returned(True)})
    master = minions.Minions({**OPTS, "pki_dir": str(tmp_path), **settings})
    arguments: dict[str, Any] = {
        "ping": ("web-1", 3.0), "ask_for_answers": (["web-1"],), "apply": ("web-1", ["a"], 9.0),
        "ask": ("web-*", "glob", "test.ping"),
    }  # fmt: skip
    with contextlib.suppress(Refused):
        getattr(master, question)(*arguments[question])
    assert stale.exists() is stays


def test_a_ping_is_answered_with_true_alone(asked: Any) -> None:
    for value, there in ((True, True), (False, False), ("True", False)):
        master, client = asked({"web-1": returned(value)})
        assert master.ping("web-1", 3.0) is there
        assert client.jobs == [(["web-1"], "test.ping", [])]


def test_who_answers_is_present(asked: Any) -> None:
    master, client = asked({"web-1": returned(True), "web-2": returned("an error")})
    assert master.present(["web-1", "web-2"]) == {"web-1"}


def test_nobody_is_asked_where_nobody_is_named(asked: Any) -> None:
    master, client = asked({})
    assert master.present([]) == frozenset()
    assert client.jobs == []


def test_a_job_that_was_not_published_has_no_answers(asked: Any) -> None:
    master, client = asked({"web-1": returned(True)})
    client.published = ""
    assert master.present(["web-1"]) == frozenset()


def test_grains_that_are_no_mapping_are_left_out(asked: Any) -> None:
    master, client = asked({"web-1": returned({"os": "Debian"}), "web-2": returned("an error")})
    assert master.grains(["web-1", "web-2"], ["os"]) == {"web-1": {"os": "Debian"}}
    assert client.jobs == [(["web-1", "web-2"], "grains.item", ["os"])]


def test_new_minions_are_asked_for_their_codes(asked: Any) -> None:
    master, client = asked({"web-1": returned(None)})
    master.ask_for_answers(["web-1"])
    assert client.jobs == [(["web-1"], QUESTION, [ANSWER_SETTING])]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the clients that are made, whose questions are published; ``ended`` counts how often each was closed."""
    made: list[Any] = []

    def make(mopts: Any) -> Any:
        client = SimpleNamespace(ended=0, error=None)

        def pub(*arguments: Any, **how: Any) -> Any:
            if client.error:
                raise client.error
            return {"minions": ["web-1"]}

        def destroy() -> None:
            client.ended += 1

        client.pub, client.destroy = pub, destroy
        made.append(client)
        return client

    monkeypatch.setattr("salt.client.get_local_client", make)
    return made


def test_all_questions_of_a_call_use_one_client_which_is_closed(clients: list[Any]) -> None:
    """It takes Salt far longer to make a client than to publish a question."""
    master = minions.Minions(OPTS)
    with master.questions():
        for _ in range(3):
            master.ask_for_answers(["web-1"])
        assert [client.ended for client in clients] == [0]
    assert [client.ended for client in clients] == [1]
    master.ask_for_answers(["web-1"])
    assert [client.ended for client in clients] == [1, 1], "a question that ends after the call leaves nothing open"


def test_after_a_failed_question_a_new_client_asks(clients: list[Any]) -> None:
    """A master that was restarted has a new key."""
    master = minions.Minions(OPTS)
    with master.questions():
        master.ask_for_answers(["web-1"])
        clients[0].error = OSError("the master is gone")
        with pytest.raises(OSError, match="gone"):
            master.ask_for_answers(["web-1"])
        master.ask_for_answers(["web-1"])
    assert [client.ended for client in clients] == [1, 1]


@pytest.mark.parametrize("published", ["", {}, {"minions": []}])
def test_a_question_that_the_master_did_not_publish_is_an_error(asked: Any, published: Any) -> None:
    master, client = asked({})
    client.published = published
    with pytest.raises(HartError, match="did not publish the question"):
        master.ask_for_answers(["web-1"])


def test_all_minions_of_a_target_are_asked(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    master, client = asked({"web-2": returned("second")})
    client.published = {"minions": ["web-2"]}
    monkeypatch.setattr(
        "salt.utils.minions.CkMinions",
        lambda opts: SimpleNamespace(
            check_minions=lambda target, kind: {"minions": ["web-2", "web-1"] if target == "web-*" else []}
        ),
    )
    assert master.ask("web-*", "glob", "hart.sealed") == {"web-1": None, "web-2": "second"}
    assert client.jobs == [(["web-1", "web-2"], "hart.sealed", [])]
    with pytest.raises(Refused, match=r"no minion with an accepted key matches db-\*"):
        master.ask("db-*", "glob", "hart.sealed")


APPLIED = {
    "file_|-a file_|-/a_|-managed": {"result": False, "comment": "no space"},
    "pkg_|-a package_|-vim_|-installed": {"result": True},
    "odd": {"result": False},
    "other": "no mapping",
}


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({"one_|-two_|-three_|-four": {"result": True}}, []),
        (APPLIED, ["a file: no space", "odd: failed"]),
        (["Rendering SLS failed"], ["Rendering SLS failed"]),
        ("no such function", ["no such function"]),
        ({}, ["the minion did not answer"]),
        (None, ["the minion did not answer"]),
    ],
)
def test_states_that_failed_are_problems(asked: Any, answer: Any, problems: list[str]) -> None:
    master, client = asked({"web-1": returned(answer)})
    assert master.apply("web-1", ["a", "b"], 60).problems == problems
    assert client.jobs == [(["web-1"], "state.apply", [["a", "b"]])]


def test_the_highstate_has_no_arguments(asked: Any) -> None:
    master, client = asked({"web-1": returned({"a_|-b_|-c_|-d": {"result": True}})})
    assert master.apply("web-1", "highstate", 60).problems == []
    assert client.jobs == [(["web-1"], "state.apply", [])]


BUSY = ['The function "state.apply" is running as PID 42 and was started at 2026, Jan 01 with jid 2026']


@pytest.mark.parametrize("function", ["state.apply", "service.stop"])
@pytest.mark.parametrize(("timeout", "jobs"), [(60, 3), (0.5, 2)])
def test_a_minion_that_refuses_because_of_another_run_is_asked_again(
    asked: Any, monkeypatch: pytest.MonkeyPatch, function: str, timeout: float, jobs: int
) -> None:
    master, client = asked({"web-1": returned(BUSY, 1)})
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        client.again()
        if now[0] >= 2:
            client.answers = {"web-1": returned({"one_|-two_|-three_|-four": {"result": True}})}

    monkeypatch.setattr(minions, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    if function == "state.apply":
        problems = master.apply("web-1", ["a"], timeout).problems
    else:
        problems = master.call("web-1", function, [], {}, timeout)
    assert (len(client.jobs), bool(problems)) == (jobs, jobs == 2)


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        ({"web-1": returned("fine")}, []),
        ({"web-1": returned("no", 1)}, ["service.stop failed: no"]),
        ({"web-1": returned(False)}, ["service.stop failed: False"]),
        ({}, ["the minion did not answer"]),
    ],
)
def test_a_call_that_failed_is_a_problem(asked: Any, answers: Any, problems: list[str]) -> None:
    master, client = asked(answers)
    assert master.call("web-1", "service.stop", ["app"], {"no_block": True}, 60) == problems
    ((ids, function, arguments),) = client.jobs
    assert (ids, function, arguments[0]) == (["web-1"], "service.stop", "app")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (returned({"retcode": 0, "stdout": " out \n", "stderr": "err"}), (0, "out")),
        (returned({"retcode": 3, "stdout": "out", "stderr": "err"}), (3, "err")),
        (returned("no such function"), (1, "no such function")),
    ],
)
def test_a_script_s_exit_code_and_output(asked: Any, answer: Any, said: tuple[int, str]) -> None:
    master, client = asked({"web-1": answer})
    assert master.shell("web-1", "echo $1", ["a b"]) == said
    assert client.jobs[0][1] == "cmd.run_all"
    assert client.jobs[0][2][0] == "sh -s -- 'a b'"


def test_a_script_on_a_minion_that_does_not_answer(asked: Any) -> None:
    master, client = asked({})
    assert master.shell_all(["web-1"], "true", []) == {"web-1": None}
    assert len(client.jobs) == 1


def test_a_request_that_still_runs_at_its_timeout_is_not_waited_for(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, client = asked({})
    monkeypatch.setattr(master, "_expected", lambda *_: ["m2"])
    client.published = {"minions": ["m2"]}
    assert master.request("m2", "hart.peer_keys", ["accept"], 0.01) is None
    assert client.jobs == [(["m2"], "hart.peer_keys", ["accept"])]


def test_a_request_to_a_minion_without_an_accepted_key_is_refused(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    master, client = asked({})
    client.published = {}
    monkeypatch.setattr(master, "_expected", lambda *_: [])
    with pytest.raises(Refused, match="this master has no minion m2 with an accepted key: see salt-key -l all"):
        master.request("m2", "hart.peer_keys", ["accept"], 1.0)


TWO = [Call("grains.item", ["num_cpus"]), Call("cmd.run", ["x"], {"python_shell": True})]


def test_one_call_on_several_minions_is_a_plain_job(asked: Any) -> None:
    who, client = asked({"a": returned(1.5), "b": returned("no", 1)})
    assert who.call_all(["a", "b"], [Call("status.x", [1], {"y": 2})], 5) == {
        "a": [Returned(1.5, True)], "b": [Returned("no", False)],
    }  # fmt: skip
    assert client.jobs == [(["a", "b"], "status.x", [1, {"__kwarg__": True, "y": 2}])]


@pytest.mark.parametrize(
    "stored",
    [
        {"return": {"grains.item": {"num_cpus": 2}, "cmd.run": "3"}, "retcode": {"grains.item": 0, "cmd.run": 0}},
        {"return": [{"num_cpus": 2}, "3"], "retcode": [0, 0]},
    ],
)
def test_several_calls_are_one_job(asked: Any, stored: Mapping[str, Any]) -> None:
    who, client = asked({"a": stored})
    assert who.call_all(["a"], TWO, 5) == {"a": [Returned({"num_cpus": 2}, True), Returned("3", True)]}
    assert client.jobs == [
        (["a"], ["grains.item", "cmd.run"], [["num_cpus"], ["x", {"__kwarg__": True, "python_shell": True}]])
    ]


@pytest.mark.parametrize(
    ("stored", "second"),
    [
        ({"return": {"cmd.run": "Traceback"}, "retcode": {}}, Returned("Traceback", False)),
        ({"return": {"cmd.run": "3"}, "retcode": {"cmd.run": 1}}, Returned("3", False)),
        ({"return": "no such function", "retcode": 1}, Returned(None, False)),
        ({"return": [1], "retcode": 0}, Returned(None, False)),
        ({}, Returned(None, False)),
    ],
)
def test_a_call_without_a_return_of_its_own_has_failed(asked: Any, stored: Mapping[str, Any], second: Returned) -> None:
    who, _ = asked({"a": stored})
    assert who.call_all(["a"], TWO, 5)["a"][1] == second


def test_no_minions_are_no_job(asked: Any) -> None:
    who, client = asked({})
    assert (who.call_all([], TWO, 5), client.jobs) == ({}, [])
