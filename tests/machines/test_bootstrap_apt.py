"""
The step ``install`` of the bootstrap script with a real apt, in images like those that people have.

The images are not booted: the script runs in an overlay over the base image, whose /tmp is mounted noexec.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import scope
from tests.machines import cache, debs, requirements, salt_package
from tests.machines.apt_image import INSIDE, AptImage, AptServer, garbled, reset, serve

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no images can be run here: {'; '.join(_missing)}")

OLDER, *_, NEWER = salt_package.other_versions()
SERIES = NEWER.partition(".")[0]
RELEASE = "/saltproject-deb/dists/stable/InRelease"
INDEX = "/saltproject-deb/dists/stable/main"
MINION = "/saltproject-deb/pool/salt-minion"
LOCKS = ("/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock", "/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend")
HOLD = """exec python3 -c '
import fcntl
file = open("{}", "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print(1, flush=True)
input()'"""


@pytest.fixture(scope="module")
def server() -> Iterator[AptServer]:
    with AptServer() as opened:
        yield opened


@pytest.fixture(scope="module", params=["debian-12", "debian-13"] if scope.whole else ["debian-12"])
def made(server: AptServer, request: pytest.FixtureRequest) -> Iterator[AptImage]:
    """An image in which the script has run once: later runs have less to do."""
    with AptImage(request.param, server) as opened:
        assert opened.installs(SERIES).exit_code == 0
        yield opened


@pytest.fixture
def has(made: AptImage, server: AptServer) -> Iterator[AptImage]:
    """The image, for one test: what a test writes below /etc/apt is removed after it."""
    made.run("rm -rf /saved; cp -a /etc/apt /saved")
    server.faults.clear()
    yield made
    server.faults.clear()
    made.run("rm -rf /etc/apt /var/lib/apt/lists/*; mv /saved /etc/apt")


def source(name: str, *lines: str) -> tuple[str, str]:
    return f"/etc/apt/sources.list.d/{name}.list", "".join(f"{line}\n" for line in lines)


def test_a_fresh_image_gets_the_series_with_one_update_of_the_indexes(server: AptServer) -> None:
    server.faults.clear()
    with AptImage("debian-12", server) as image:
        result = image.installs(SERIES)
        assert (result.exit_code, result.notes, result.reason) == (0, [], "")
        assert image.versions() == {"salt-common": NEWER, "salt-minion": NEWER}
    assert [path for path in server.faults.asked if path.endswith("Release")] == [
        "/debian/dists/bookworm/InRelease", "/debian/dists/bookworm-updates/InRelease",
        "/debian-security/dists/bookworm-security/InRelease", RELEASE,
    ]  # fmt: skip


@contextlib.contextmanager
def locked(image: AptImage, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Hold one of apt's locks, as another apt does, until the process gets a line."""
    holder = subprocess.Popen(
        image.command(HOLD.format(path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=INSIDE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"1\n"
    try:
        yield holder
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("path", LOCKS)
def test_each_lock_of_apt_is_waited_for(has: AptImage, server: AptServer, path: str) -> None:
    has.run("rm -f /var/log/hart-bootstrap.log")
    with locked(has, path) as holder:
        running = has.starts(SERIES)
        deadline = time.monotonic() + 300
        while f"Could not get lock {path}" not in has.run("cat /var/log/hart-bootstrap.log")[1]:
            assert (running.poll(), time.monotonic() < deadline) == (None, True)
            time.sleep(0.05)
        holder.communicate(b"\n")
        assert running.wait(300) == 0
    assert has.result().notes == []
    # Also the sources that hart does not need are there: a dependency may be in them.
    assert [asked for asked in server.faults.asked if asked.startswith("/debian/")]


def test_the_wait_for_a_lock_ends_within_the_operators_timeout(has: AptImage) -> None:
    with locked(has, LOCKS[0]):
        result = has.installs(SERIES, bootstrap_timeout=4)
    assert result.exit_code == 1
    assert f"Could not get lock {LOCKS[0]}" in result.reason


def test_what_passes_is_tried_again(has: AptImage, server: AptServer) -> None:
    has.run("apt-get -y purge salt-minion; apt-get clean; rm -rf /var/lib/apt/lists/*")
    for path, fault in ((RELEASE, 503), (INDEX, garbled), (MINION, reset)):
        server.faults.plan(path, fault, 2)
    result = has.installs(SERIES)
    assert (result.exit_code, result.notes) == (0, [])
    assert [left for left, _ in server.faults.planned.values()] == [0, 0, 0]
    assert has.versions()["salt-minion"] == NEWER


def test_a_package_that_the_mirror_no_longer_has_is_looked_up_again_once(has: AptImage, server: AptServer) -> None:
    for times, code in ((1, 0), (None, 1)):
        has.run("apt-get -y purge salt-minion; apt-get clean")
        server.faults.plan(MINION, 404, times)
        result = has.installs(SERIES)
        assert result.exit_code == code
    assert "404" in result.reason
    server.faults.clear()
    assert has.installs(SERIES).exit_code == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_repository_that_refuses_fails_at_once_and_the_error_names_the_setting(
    has: AptImage, server: AptServer, status: int
) -> None:
    server.faults.plan("/saltproject-deb/dists", status)
    result = has.installs(SERIES)
    assert result.exit_code == 1
    assert result.reason.startswith("apt cannot read Salt's repository; the setting salt_repo can name a mirror: ")
    assert f"stable: {status}  " in result.reason
    assert server.faults.asked.count(RELEASE) == 2


def test_a_repository_with_another_key_fails_at_once(has: AptImage, server: AptServer) -> None:
    result = has.installs(SERIES, key=server.repositories.wrong_key)
    assert result.exit_code == 1
    assert "the setting salt_repo can name a mirror: " in result.reason
    assert any(text in result.reason for text in ("NO_PUBKEY", "Missing key"))


def test_other_sources_that_fail_are_notes(has: AptImage, server: AptServer) -> None:
    url = server.repositories.url
    has.write("/etc/apt/other.asc", server.repositories.wrong_key)
    has.write(*source(
        "others", f"deb {url}/gone stable main", "deb http://127.0.0.2:1/refused stable main",
        f"deb [signed-by=/etc/apt/other.asc] {url}/unsigned stable main", f"deb {url}/bare stable main",
    ))  # fmt: skip
    server.faults.files["/bare/dists/stable/Release"] = b"Suite: stable\nCodename: stable\nComponents: main\n"
    server.faults.files["/unsigned/dists/stable/InRelease"] = (server.repositories.root / RELEASE[1:]).read_bytes()
    server.faults.plan("/debian-security", 403)
    result = has.installs(SERIES)
    assert result.exit_code == 0
    begin = "apt cannot read a source that hart does not need: "
    assert [note.startswith(begin) for note in result.notes] == [True] * 5
    found = sorted(note.removeprefix(begin).replace(url, "").split()[0] for note in result.notes)
    assert found == ["/bare", "/debian-security", "/gone", "/unsigned", "http://127.0.0.2:1/refused"]


def test_a_security_source_decides_only_where_upgrades_are_asked_for(has: AptImage, server: AptServer) -> None:
    server.faults.plan("/debian-security", 404)
    assert has.installs(SERIES, security_upgrades="off").exit_code == 0
    result = has.installs(SERIES, security_upgrades="before")
    assert result.exit_code == 1
    assert result.reason.startswith("apt cannot read the sources of security upgrades")
    assert "/debian-security" in result.reason


def test_a_dependency_in_a_source_that_fails_for_now_is_waited_for(server: AptServer, tmp_path: Path) -> None:
    deb = debs.build_small(debs.Package("dctrl-tools", "99"), {"usr/share/needed": "x\n"}, tmp_path / "pool")
    control = cache.run("dpkg-deb", "--field", deb).strip()
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    entry = f"{control}\nFilename: ./needed.deb\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"
    with AptImage("debian-12", server) as image:
        image.run("dpkg --purge dctrl-tools")
        image.write(*source("extra", f"deb [trusted=yes] {server.repositories.url}/extra ./"))
        server.faults.clear()
        server.faults.files = {"/extra/./Packages": entry.encode(), "/extra/./needed.deb": deb.read_bytes()}
        server.faults.plan("/extra/", 404)
        result = image.installs(SERIES)
        assert result.exit_code == 1
        assert "salt-minion : Depends: dctrl-tools but it is not installable" in result.reason
        # As many requests as apt makes in one update: for two kinds of Release, and for the index in all compressions.
        server.faults.plan("/extra/", 503, 9)
        result = image.installs(SERIES)
        assert (result.exit_code, result.notes) == (0, []), result.output
        assert image.versions("dctrl-tools") == {"dctrl-tools": "99"}


def test_former_sources_of_the_same_repository_with_another_key_are_set_aside(has: AptImage, server: AptServer) -> None:
    has.write("/etc/apt/other.asc", server.repositories.wrong_key)
    path, text = source(
        "salt", f"deb [signed-by=/etc/apt/other.asc arch=amd64] {server.repositories.salt_url}/ stable main"
    )
    has.write(path, text)
    result = has.installs(SERIES)
    assert result.exit_code == 0
    assert [path in note for note in result.notes] == [True]
    assert has.read(f"{path}.disabled") == text


def test_the_pinned_series_replaces_a_newer_salt_and_one_on_hold(has: AptImage) -> None:
    has.run("apt-mark hold salt-minion")
    result = has.installs(OLDER.partition(".")[0])
    assert (result.exit_code, result.salt_version) == (0, OLDER), result.output
    assert has.versions() == {"salt-common": OLDER, "salt-minion": OLDER}
    assert f"hart installed Salt {OLDER}; the image had salt-common {NEWER} salt-minion {NEWER}" in result.notes
    assert has.installs(SERIES).exit_code == 0


def test_packages_that_a_reboot_left_half_installed_are_configured_first(has: AptImage) -> None:
    # dpkg writes its changes there before it takes them over.
    has.run("dpkg-query -s salt-common > /var/lib/dpkg/updates/0001")
    assert "dpkg was interrupted" in has.run("apt-get -y install salt-minion")[1]
    assert has.installs(SERIES).exit_code == 0


def test_upgrades_after_the_node_is_ready_use_the_same_apt(has: AptImage) -> None:
    result = has.installs(SERIES, security_upgrades="after")
    assert (result.exit_code, has.versions("behind-*")) == (0, {"behind-security": "1.0-1", "behind-updates": "1.0-1"})
    with locked(has, LOCKS[1]) as holder:
        running = subprocess.Popen(
            has.command("exec sh /run/hart/after"), stdout=subprocess.PIPE, text=True, env=INSIDE
        )
        assert running.stdout is not None
        waits = next(line for line in running.stdout if "Could not get lock" in line)
        assert LOCKS[1] in waits
        holder.communicate(b"\n")
        running.stdout.read()
        assert running.wait(300) == 0
    assert has.versions("behind-*") == {"behind-security": "1.0-1+fix1", "behind-updates": "1.0-1"}


def test_the_image_s_proxy_is_used_and_named_if_it_is_dead(has: AptImage, server: AptServer) -> None:
    address = server.repositories.url.removeprefix("http://")
    has.write("/etc/apt/apt.conf.d/95proxy", f'Acquire::http::Proxy "http://{address}";\n')
    elsewhere = "http://salt.invalid/saltproject-deb"
    assert has.installs(SERIES, salt_repo=elsewhere).exit_code == 0
    has.write("/etc/apt/apt.conf.d/95proxy", 'Acquire::http::Proxy "http://me:hidden@127.0.0.2:1";\n')
    result = has.installs(SERIES, salt_repo=elsewhere, bootstrap_timeout=2)
    assert result.exit_code == 1
    assert "refused" in result.reason
    assert "the proxy http://127.0.0.2:1" in result.reason
    assert "hidden" not in result.reason


def test_a_clock_10_minutes_behind_does_not_matter(has: AptImage, server: AptServer, tmp_path: Path) -> None:
    """apt 3 refuses the signature until the clock is set; older ones need not wait."""
    key, (now, future) = signed_again(server, tmp_path, 0, 10)
    server.faults.files[RELEASE] = now
    server.faults.plan(RELEASE, lambda request: serve(request, 200, future), 2)
    has.run("rm -rf /var/lib/apt/lists/*")
    result = has.installs(SERIES, key=key)
    assert (result.exit_code, result.notes) == (0, [])
    assert server.faults.planned[RELEASE][0] == (1 if "debian-12" in has.base.name else 0)


def signed_again(server: AptServer, place: Path, *minutes: int) -> tuple[str, list[bytes]]:
    """Return a key, and indexes of Salt's repository that it signs in so many minutes from now."""
    gpg = ["gpg", "--homedir", str(place), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    plain = (server.repositories.root / "saltproject-deb/dists/stable/Release").read_text()

    def run(*arguments: str, stdin: str = "") -> bytes:
        return subprocess.run([*gpg, *arguments], input=stdin.encode(), capture_output=True, check=True).stdout

    def sign(minutes: int) -> bytes:
        then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        dated = re.sub("^Date: .*", f"Date: {then:%a, %d %b %Y %T} UTC", plain, flags=re.MULTILINE)
        return run(f"--faked-system-time={then:%Y%m%dT%H%M%S}", "--clearsign", stdin=dated)

    place.chmod(0o700)
    try:
        run("--passphrase", "", "--quick-generate-key", "Again <again@example.invalid>", "rsa3072", "sign", "never")
        return run("--armor", "--export").decode(), [sign(each) for each in minutes]
    finally:
        subprocess.run(["gpgconf", "--homedir", str(place), "--kill", "all"], check=True)
