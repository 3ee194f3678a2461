"""The completion of ``salt-run hart.…`` in real shells, at a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.operations import completion

DEADLINE = 300  #: seconds; the shells answer within a second if the machine is idle
START = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}


def create(minion_id: str | None = None, *extra: Any, role: str = "", test: bool = False, **settings: Any) -> None: ...


def destroy(minion_id: str | None = None, *extra: Any, test: bool = False, **unknown: Any) -> None: ...


def scale(role: str | None = None, *extra: Any, remove: str = "newest", **settings: Any) -> None: ...


def explain(name: str | None = None, *extra: Any) -> None: ...


FUNCTIONS: dict[str, Callable[..., Any]] = {"create": create, "destroy": destroy, "scale": scale, "explain": explain}
NAMES = {"id": ["web1.example.com", "web2.example.com", "db1"], "role": ["app", "db"], "provider": ["do"]}


def script(shell: str, cachedir: Path) -> str:
    choices = {"remove": ["newest", "oldest"], "security_upgrades": ["before", "after"]}
    return completion.script(
        shell, FUNCTIONS, choices, ["size", "security_upgrades"], ["size", "do.size"], str(cachedir)
    )


class Shell:
    """An interactive shell whose command ``salt-run`` prints its arguments."""

    def __init__(self, shell: str, script: Path, before: str = "") -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C", "HOME": str(script.parent)}
            os.execvpe(START[shell][0], START[shell], {**environment, "INPUTRC": "/dev/null"})  # noqa: S606 - of ours
        self._seen = ""
        if shell == "zsh":
            self._type("autoload -Uz compinit && compinit -u -D\n")
        self._type(f"{before}\nsource '{script}'\n")
        self._type("salt-run() { printf 'got:'; printf ' <%s>' \"$@\"; printf ' :end\\n'; }\n")

    def _type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def runs(self, keys: str) -> list[str]:
        """Type the keys and Enter, and return the arguments of salt-run."""
        self._seen = ""
        self._type(f"{keys}\n")
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if found := re.search(r"got:(( <[^<>\n]*>)*) :end", self._seen):
                return re.findall(r"<([^<>]*)>", found[1])
            if select.select([self._fd], [], [], 1)[0]:
                self._seen += os.read(self._fd, 65536).decode(errors="replace")
        raise AssertionError(self._seen)

    def close(self) -> None:
        os.close(self._fd)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    root = tmp_path_factory.mktemp("the shell's")  # a directory that must be quoted
    completion.remember(str(root), NAMES)
    file = tmp_path_factory.mktemp("script") / "hart"
    file.write_text(script(request.param, root))
    opened = Shell(request.param, file)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("keys", "arguments"),
    [
        ("salt-run hart.dest\t", ["hart.destroy"]),
        ("salt-run -l error hart.dest\tdb\t", ["-l", "error", "hart.destroy", "db1"]),
        ("salt-run hart.destroy web\t1\t", ["hart.destroy", "web1.example.com"]),
        ("salt-run hart.destroy db1,web2\t", ["hart.destroy", "db1,web2.example.com"]),
        ("salt-run hart.destroy db1 web2\t te\tT\t", ["hart.destroy", "db1", "web2.example.com", "test=True"]),
        ("salt-run hart.create new ro\tap\t", ["hart.create", "new", "role=app"]),
        ("salt-run hart.create we\t", ["hart.create", "we"]),  # it must be a new id
        ("salt-run hart.create new sec\tb\t", ["hart.create", "new", "security_upgrades=before"]),
        ("salt-run hart.scale ap\trem\to\t", ["hart.scale", "app", "remove=oldest"]),
        ("salt-run hart.explain do\t", ["hart.explain", "do.size"]),
        ("salt-run ha\tdest\t", ["hart.destroy"]),
    ],
)
def test_a_shell_completes(shell: Shell, keys: str, arguments: list[str]) -> None:
    assert shell.runs(keys) == arguments


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_other_words_are_left_to_an_earlier_completion(tmp_path: Path) -> None:
    file = tmp_path / "hart"
    file.write_text(script("bash", tmp_path))
    opened = Shell("bash", file, "others() { COMPREPLY=(state.orchestrate); }; complete -F others salt-run")
    try:
        assert opened.runs("salt-run sta\t") == ["state.orchestrate"]
        assert opened.runs("salt-run hart.dest\t") == ["hart.destroy"]
        assert opened.runs("salt-run hart.destroy db\t") == ["hart.destroy", "db"]  # without a file there are no names
    finally:
        opened.close()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_has_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "hart"
    file.write_text(script("bash", tmp_path))
    done = subprocess.run(["shellcheck", "-s", "bash", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_unknown_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no completion for fish; the shells are bash and zsh"):
        script("fish", tmp_path)


def test_the_file_of_names_is_written_only_if_they_changed(tmp_path: Path) -> None:
    file = tmp_path / completion.FILE
    completion.remember(str(tmp_path), NAMES)
    first = file.stat()
    assert file.read_text().splitlines() == [
        "id db1", "id web1.example.com", "id web2.example.com", "role app", "role db", "provider do",
    ]  # fmt: skip
    completion.remember(str(tmp_path), NAMES)
    assert file.stat().st_ino == first.st_ino
    completion.remember(str(tmp_path), {**NAMES, "id": ["db1"]})
    assert file.read_text().splitlines()[0:2] == ["id db1", "role app"]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_of_names_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "hart").write_text("a file in place of the directory")
    completion.remember(str(tmp_path), NAMES)


def test_a_name_with_a_line_end_is_left_out(tmp_path: Path) -> None:
    completion.remember(str(tmp_path), {"role": ["a\nid x", "$(touch /tmp/x)"]})
    assert (tmp_path / completion.FILE).read_text() == "role $(touch /tmp/x)\n"
