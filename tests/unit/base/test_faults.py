"""Faults of this machine as sentences: the path, the user, what to do; and what is not such a fault."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import salt.exceptions

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault, NodeFailed

ME = faults.user()


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free space on the file system of /x/y, and call again"),
        (errno.EDQUOT, "free space on the file system of /x/y, and call again"),
        (errno.EROFS, "the file system of /x/y is read-only; mount it for writing"),
        (errno.EMFILE, "raise the limit (ulimit -n), or use fewer nodes at once"),
        (errno.EACCES, f"give / to that user, with chown -R {ME} /"),
        (errno.ENOENT, "create /x/y"),
        (errno.EISDIR, "move away the directory at /x/y"),
        (errno.EIO, "check the system's log"),
    ],
)
def test_a_sentence_has_the_path_the_system_s_error_the_user_and_the_remedy(number: int, cure: str) -> None:
    text = faults.sentence(OSError(number, os.strerror(number), "/x/y"))
    assert text.startswith(f"/x/y: {os.strerror(number)}; hart runs as the user {ME}: ")
    assert text.endswith(cure)


def test_the_part_of_a_path_that_is_not_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "file/below").mkdir()
    assert f"move away {tmp_path / 'file'}, which is not a directory" in faults.sentence(caught.value)


def test_an_error_without_a_path_is_a_sentence_too() -> None:
    assert faults.sentence(OSError(errno.ENOSPC, "No space left on device")) == (
        f"No space left on device; hart runs as the user {ME}: free space on the file system, and call again"
    )
    assert faults.sentence(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) == (
        "a network connection of this machine failed (Connection refused); repair the network, and call again"
    )


def test_a_given_path_overrides_that_of_the_error() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/store/tmpx1")
    assert faults.sentence(error, Path("/store")).startswith("/store: No space left on device; ")


def test_salts_errors_are_faults_in_the_words_of_the_operating_system_if_it_failed() -> None:
    made_of_it = salt.exceptions.SaltCacheError("There was an error writing")
    made_of_it.__context__ = OSError(errno.ENOSPC, "No space left on device", "/cache/tmp")
    assert "free space on the file system of /cache/tmp" in str(faults.as_fault(made_of_it))
    plain = faults.as_fault(salt.exceptions.SaltClientError("no master\nsecond line"))
    assert isinstance(plain, EnvironmentFault)
    assert str(plain).startswith("Salt reports: no master; check that salt-master runs, ")


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError(), OSError("without a number"), ValueError("y")])
def test_anything_else_is_a_defect(error: Exception) -> None:
    assert faults.as_fault(error) is None
    assert faults.reason(error) == f"a defect in hart: {error!r}"


def test_a_defect_caused_by_a_fault_stays_a_defect() -> None:
    defect = KeyError("missing")
    defect.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert faults.as_fault(defect) is None


def test_an_error_of_hart_is_its_own_sentence() -> None:
    assert faults.reason(NodeFailed("it failed")) == "it failed"


def test_a_user_without_a_name_is_reported_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_123)
    assert faults.user() == "uid 4000123"


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    assert faults.unreadable(file) == (f"{file}: No such file or directory; hart runs as the user {ME}: create {file}")
    assert faults.unreadable(tmp_path) == f"{tmp_path} is not a file"
    file.touch()
    assert faults.unreadable(file) is None
