"""What the bootstrap makes of apt's messages and of an image's sources and pins: parts of the script, run here."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from hart_salt.node.bootstrap import Script

REPOSITORY = "https://mirror.example/salt/deb"


def script(**settings: Any) -> str:
    values = Settings(salt_repo=f"{REPOSITORY}/", **settings)
    return bootstrap.render(Script("debian", "KEY", "ssh-ed25519 AAAA hart", "MASTER", "3008", values))


def function(name: str) -> str:
    """Return one of the script's functions."""
    (found,) = re.findall(rf"^{name}\(\) \{{\n.*?^\}}\n", script(), re.MULTILINE | re.DOTALL)
    return str(found)


def run(text: str) -> str:
    """Run a shell script and return what it prints."""
    done = subprocess.run(
        ["sh", "-euc", text],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    assert done.stderr == ""
    return done.stdout


# what passes

#: as apt 2.6 and 3.0 print them
PASSING = [
    "503  Service Unavailable [IP: 192.0.2.1 80]",
    "429  Too Many Requests [IP: 192.0.2.1 80]",
    "Could not connect to 192.0.2.1:80 (192.0.2.1). - connect (111: Connection refused)",
    "Could not connect to mirror.example:80 (192.0.2.1), connection timed out",
    "Cannot initiate the connection to mirror.example:80 (2001:db8::1). - connect (101: Network is unreachable)",
    "Unable to connect to mirror.example:80:",
    "Connection failed [IP: 192.0.2.1 80]",
    "Connection timed out [IP: 192.0.2.1 80]",
    "Error reading from server - read (104: Connection reset by peer) [IP: 192.0.2.1 80]",
    "Error reading from server. Remote end closed connection [IP: 192.0.2.1 443]",
    "Could not handshake: The TLS connection was non-properly terminated. [IP: 192.0.2.1 443]",
    "Temporary failure resolving 'mirror.example'",
    "File has unexpected size (24 != 772). Mirror sync in progress? [IP: 192.0.2.1 80]",
    "Hash Sum mismatch",
    "Sub-process /usr/bin/sqv returned an error code (1), error message is: Signature by DF5CA6 was created after the "
    "--not-after date.",
    "Certificate verification failed: The certificate chain uses not yet valid certificate.",
]
LASTING = [
    "401  Unauthorized [IP: 192.0.2.1 443]",
    "403  Forbidden [IP: 192.0.2.1 443]",
    "404  Not Found [IP: 192.0.2.1 80]",
    "Could not resolve 'mirror.example'",
    "The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 644E012C8C66E321",
    "The following signatures were invalid: EXPKEYSIG 644E012C8C66E321 Example",
    "Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key F21CF4CB, which is needed to "
    "verify signature.",
    "Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
    "Certificate verification failed: The certificate is NOT trusted. The certificate issuer is unknown.",
    "SSL connection failed: error:0A000086:SSL routines::certificate verify failed / Success [IP: 192.0.2.1 443]",
    "a reason that nobody has seen",
]
SUMMARY = "E: Some index files failed to download. They have been ignored, or old ones used instead.\n"


def failed(*reasons: str) -> str:
    """Return apt's output for sources that failed for these reasons."""
    lines = [f"Err:{number} {REPOSITORY} suite{number} InRelease\n  {text}\n" for number, text in enumerate(reasons, 1)]
    return "Hit:9 http://deb.example.org/debian trixie InRelease\n" + "".join(lines) + SUMMARY


def passes(output: str, place: Path) -> bool:
    (place / "apt").write_text(output)
    code = f"{function('troubles')}\n{function('passes')}\nif passes {place}/apt; then echo yes; fi"
    return run(code) == "yes\n"


@pytest.mark.parametrize("reason", PASSING)
def test_these_troubles_pass(reason: str, tmp_path: Path) -> None:
    assert passes(failed(reason), tmp_path)
    assert not passes(failed(reason, LASTING[0]), tmp_path)


@pytest.mark.parametrize("reason", LASTING)
def test_these_do_not(reason: str, tmp_path: Path) -> None:
    assert not passes(failed(reason), tmp_path)


@pytest.mark.parametrize(
    ("output", "does"),
    [
        ("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"
         "E: Unable to lock directory /var/lib/apt/lists/\n", True),
        ("E: Release file for http://x/InRelease is not valid yet (invalid for another 2d). Updates for this "
         "repository will not be applied.\n", True),
        ("E: Could not open lock file /var/lib/apt/lists/lock - open (30: Read-only file system)\n"
         "E: Unable to lock directory /var/lib/apt/lists/\n", False),
        ("E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (URI)\n"
         "E: The list of sources could not be read.\n", False),
        ("Waiting for cache lock: Could not get lock /var/lib/dpkg/lock. It is held by process 7 (apt)...\n"
         "E: Sub-process /usr/bin/dpkg returned an error code (1)\n", False),
        ("Killed\n", False),
        ("", False),
    ],
)  # fmt: skip
def test_errors_without_a_download_pass_only_for_locks_and_the_clock(output: str, does: bool, tmp_path: Path) -> None:
    assert passes(output, tmp_path) is does


@pytest.mark.parametrize(("timeout", "seconds"), [(1200, 900), (10, 7), (0.5, 0)])
def test_the_deadline_leaves_a_quarter_of_the_operators_timeout(timeout: float, seconds: int) -> None:
    assert f"deadline=$(($(now) + {seconds}))\n" in script(bootstrap_timeout=timeout)


# former sources and pins

OURS = {
    "sources.list.d/salt.sources": "Types: deb\nURIs: https://mirror.example/salt/deb/\nSuites: stable\n",
    "preferences.d/salt-pin": "Package: salt-*\nPin: version /^3008\\./\nPin-Priority: 1001\n",
}
DEBIAN = "deb http://deb.example.org/debian trixie main\n"
STANZA = "Types: deb\nURIs: http://deb.example.org/debian\nSuites: trixie\nComponents: main\n"
BROADCOM = "https://packages.broadcom.com/artifactory/saltproject-deb"
PIN = "Package: nginx\nPin: release a=stable\nPin-Priority: 900\n"

LIST, SOURCES = "sources.list.d/x.list", "sources.list.d/x.sources"
SERIES_PIN = "Package: salt-*\nPin: version 3006.*\nPin-Priority: 1001\n"

#: file, its text, and what stays of it (None: nothing)
FORMER: Mapping[str, tuple[str, str, str | None]] = {
    "a line": (LIST, f"# Salt\ndeb [signed-by=/k.pgp arch=amd64] {BROADCOM}/ stable main\n", None),
    "a former repository": (LIST, "deb https://repo.saltproject.io/salt/py3/debian/12/3006 bookworm main\n", None),
    "an older one": (LIST, "deb http://repo.saltstack.com/apt/debian/9/amd64/latest stretch main\n", None),
    "the archive": (LIST, "deb http://archive.repo.saltproject.io/py3/debian/11/amd64/3004 bullseye main\n", None),
    "source packages": (LIST, f"deb-src {BROADCOM} stable main\n", None),
    "a line among others": (
        "sources.list", f"# mine\n{DEBIAN}deb {BROADCOM} stable main\n{DEBIAN}", f"# mine\n{DEBIAN}{DEBIAN}",
    ),
    "ours with another key": (LIST, "deb [signed-by=/k.asc] https://Mirror.example/salt/deb stable main\n", None),
    "a stanza": (
        "sources.list.d/salt.sources",
        f"X-Repolib-Name: Salt\nEnabled: yes\nTypes: deb\nURIs: {BROADCOM}\nSuites: stable\n", None,
    ),
    "a stanza among others": (
        SOURCES, f"{STANZA}\n# Salt\nTypes: deb\nURIs:\n {BROADCOM}\nSuites: stable\n\n{STANZA}",
        f"{STANZA}\n{STANZA}\n",
    ),
    "ours in a stanza": (SOURCES, f"Types: deb\nSuites: stable\nURIs: {REPOSITORY}\n", None),
    "a pin": ("preferences.d/salt-pin-1001", SERIES_PIN, None),
    "a pin among others": (
        "preferences", f"{PIN}\nPackage: salt-common salt-minion\nPin: version 3006.9\nPin-Priority: 1001\n",
        f"{PIN}\n",
    ),
    "a pin with the name of ours": ("preferences.d/salt-pin", SERIES_PIN, None),
}  # fmt: skip
#: files that stay as they are
KEPT = {
    "comments": ("sources.list", f"# deb {BROADCOM} stable main\n{DEBIAN}"),
    "a key with the name": (LIST, "deb [signed-by=/usr/share/keyrings/saltproject.gpg] http://x/ y main\n"),
    "another suite of our mirror": (LIST, "deb https://mirror.example/salt/deb trixie main\n"),
    "a longer address": (LIST, "deb https://mirror.example/salt/deb-security stable main\n"),
    "a stanza that is off": (SOURCES, f"Enabled: no\nTypes: deb\nURIs: {BROADCOM}\nSuites: stable\n"),
    "a description": (SOURCES, f"Description: not saltproject\n{STANZA}Signed-By: /saltstack.asc\n"),
    "a file that apt ignores": ("preferences.d/salt-pin.bak", SERIES_PIN),
    "another pin": ("preferences.d/x", f"Explanation: not salt\n{PIN.replace('nginx', 'basalt libsalt1')}"),
    "ours": ("preferences.d/salt-pin", OURS["preferences.d/salt-pin"]),
}  # fmt: skip


@pytest.fixture
def set_aside(tmp_path: Path) -> Callable[[str, str], tuple[dict[str, str], list[str]]]:
    """Return a function that sets one file of an image aside and returns the files and the notes."""
    apt, place = tmp_path / "apt", tmp_path / "run"
    for directory in (apt / "sources.list.d", apt / "preferences.d", place):
        directory.mkdir(parents=True)
    for name, text in OURS.items():
        (place / Path(name).name).write_text(text)

    def go(name: str, text: str) -> tuple[dict[str, str], list[str]]:
        (apt / name).write_text(text)
        code = script()[script().index("set_aside() {") : script().index("install_salt() {")].replace(
            "/etc/apt", str(apt)
        )
        printed = run(f'umask 077; run={place}\nnote() {{ echo "$1"; }}\n{code}set_aside\n')
        files = {str(file.relative_to(apt)): file.read_text() for file in apt.rglob("*") if file.is_file()}
        return files, printed.splitlines()

    return go


SetAside = Callable[[str, str], tuple[dict[str, str], list[str]]]


@pytest.mark.parametrize(("name", "text", "left"), FORMER.values(), ids=FORMER)
def test_a_former_source_or_pin_is_set_aside_with_a_note(
    set_aside: SetAside, tmp_path: Path, name: str, text: str, left: str | None
) -> None:
    files, notes = set_aside(name, text)
    assert files == {f"{name}.disabled": text, **({} if left is None else {name: left})}
    path = f"{tmp_path}/apt/{name}"
    assert notes == [f"hart removed a former source or pin of Salt from {path}, and kept that file as {path}.disabled"]
    if left is not None:
        assert (tmp_path / "apt" / name).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("name", "text"), KEPT.values(), ids=KEPT)
def test_other_files_stay_as_they_are(set_aside: SetAside, name: str, text: str) -> None:
    assert set_aside(name, text) == ({name: text}, [])
