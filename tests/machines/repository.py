"""
The apt repositories of a session, Salt's and Debian's, over HTTP on the bridge.

    /saltproject-deb     suite ``stable``, component ``main``, packages in ``pool``, as in Salt's own repository
    /debian              the release and its ``-updates``: what a machine's own sources name
    /debian-security     the release's ``-security``
    /simple              not an apt repository: the Python package index of ``package_index.py``

Debian's contain only the packages that the base image has in an older version: ``behind-security``, whose fix is in
``-security``, and ``behind-updates``, whose newer version is not a security upgrade. A machine needs no others. Each
repository is signed when it is built, with a key that is thrown away afterwards.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.machines import cache, debs, image, package_index, salt_master, salt_package
from tests.machines.servers import Servers

KEYS = ("salt", "debian", "wrong")


class Repositories:
    """The repositories, which are built once and cached, and served while this is open."""

    def __init__(self) -> None:
        self.root = Path()
        self.url = ""
        #: the paths that machines requested, in order
        self.asked: list[str] = []
        self._servers = Servers()

    @property
    def salt_url(self) -> str:
        """The URL of Salt's repository; an apt source is this, then ``stable main``."""
        return f"{self.url}/saltproject-deb"

    @property
    def salt_key(self) -> str:
        """The key that signs Salt's repository, armoured."""
        return self._key("salt")

    @property
    def wrong_key(self) -> str:
        """A key that does not sign Salt's repository."""
        return self._key("wrong")

    def _key(self, name: str) -> str:
        return (self.root.parent / "keys" / f"{name}.asc").read_text()

    def open(self, address: str) -> None:
        """Build the repositories if needed, in a minute or two, and serve them at a free port of an address."""
        self.root = _built() / "www"
        server = ThreadingHTTPServer((address, 0), partial(_Handler, self.asked, directory=str(self.root)))
        server.daemon_threads = True
        self._servers.begin(server, "repository")
        self.url = f"http://{address}:{server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._servers.close()

    def pip_configuration(self) -> str:
        """Return the configuration of pip on a machine."""
        host = self.url.split("/")[2]
        return f"[global]\nindex-url = {self.url}/simple\ntrusted-host = {host}\n"

    def sources(self, codename: str, style: str) -> dict[str, str]:
        """Return the files with a machine's Debian sources for apt, in ``style``: ``one-line`` or ``deb822``."""
        key = "/usr/share/keyrings/test-cloud-debian.asc"
        suites = {"debian": [codename, f"{codename}-updates"], "debian-security": [f"{codename}-security"]}
        if style == "one-line":
            lines = [f"deb {self.url}/{name} {suite} main\n" for name, each in suites.items() for suite in each]
            # In this style, options such as signed-by are rare: apt trusts the key for all sources.
            return {"/etc/apt/sources.list": "".join(lines), "/etc/apt/trusted.gpg.d/debian.asc": self._key("debian")}
        if style == "deb822":
            stanzas = [
                f"Types: deb\nURIs: {self.url}/{name}\nSuites: {' '.join(each)}\nComponents: main\nSigned-By: {key}\n"
                for name, each in suites.items()
            ]
            return {"/etc/apt/sources.list.d/debian.sources": "\n".join(stanzas), key: self._key("debian")}
        raise ValueError(f"no style of sources {style}")


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # a killed machine does not close its connections

    def __init__(self, asked: list[str], *arguments: Any, **options: Any) -> None:
        self.asked = asked
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing: ``asked`` has the requested paths."""


def _built() -> Path:
    base = image.base("debian-12")
    packages = cache.key(salt_package.ingredients(), base.name)
    more = (salt_master.ingredients(), package_index.ingredients())
    name = cache.key(packages, *more, Path(__file__).read_bytes(), repr(sorted(image.RELEASES.values())))
    salt = cache.built(f"salt-{packages}", lambda place: salt_package.build(place / "pool", base))
    return cache.built(f"repositories-{name}", lambda place: _build(place, salt))


def _build(place: Path, salt: Path) -> None:
    www = place / "www"
    shutil.copytree(salt / "pool", www / "saltproject-deb/pool", copy_function=_link)
    salt_master.build(www / "saltproject-deb/pool")
    package_index.build(www / "simple")
    for name, (_, suffix, version) in image.BEHIND.items():
        root = www / ("debian-security" if suffix == "-security" else "debian")
        debs.build_small(debs.Package(name, version), {f"usr/share/{name}/version": f"{version}\n"}, root / "pool")
    with _keyring(place / "keys") as keyring:
        _publish(www / "saltproject-deb", "stable", "Salt", keyring, "salt", with_pool=True)
        for codename in image.RELEASES.values():
            _publish(www / "debian", codename, "Debian", keyring, "debian", with_pool=False)
            _publish(www / "debian", f"{codename}-updates", "Debian", keyring, "debian", with_pool=True)
            _publish(
                www / "debian-security", f"{codename}-security", "Debian-Security", keyring, "debian", with_pool=True
            )


def signed_now(root: Path, place: Path) -> Path:
    """Make Salt's repository of ``root`` again in ``place/www``, signed now; return the file with the key."""
    shutil.copytree(root / "saltproject-deb/pool", place / "www/pool", copy_function=_link)
    with _keyring(place / "keys") as keyring:
        _publish(place / "www", "stable", "Salt", keyring, "salt", with_pool=True)
    return place / "keys/salt.asc"


def _link(source: str, target: str) -> None:
    os.link(source, target)


@contextlib.contextmanager
def _keyring(public: Path) -> Iterator[Path]:
    """Create the keys, write their public halves, and remove keys and gpg's agent at the end."""
    public.mkdir()
    # The path of the agent's socket must be short.
    with tempfile.TemporaryDirectory(prefix="hart-gpg-") as name:
        keyring = Path(name)
        try:
            for key in KEYS:
                _gpg(keyring, "--passphrase", "", "--quick-generate-key", _user(key), "rsa3072", "sign", "never")
                (public / f"{key}.asc").write_text(_gpg(keyring, "--armor", "--export", _user(key)))
            yield keyring
        finally:
            cache.run("gpgconf", "--homedir", keyring, "--kill", "all")


def _user(key: str) -> str:
    return f"Test cloud {key} <{key}@example.invalid>"


def _gpg(keyring: Path, *arguments: str | Path) -> str:
    return cache.run("gpg", "--homedir", keyring, "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments)


def _publish(root: Path, suite: str, label: str, keyring: Path, key: str, *, with_pool: bool) -> None:
    """Write the indexes of a suite and sign them."""
    dists = root / "dists" / suite
    index = f"main/binary-{debs.architecture()}/Packages"
    (dists / index).parent.mkdir(parents=True)
    text = "".join(_stanza(root, deb) for deb in sorted(root.glob("pool/*.deb"))) if with_pool else ""
    (dists / index).write_text(text)
    (dists / f"{index}.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    release = dists / "Release"
    release.write_text(_release(dists, suite, label, [index, f"{index}.gz"]))
    _gpg(keyring, "--local-user", _user(key), "--armor", "--detach-sign", "--output", dists / "Release.gpg", release)
    _gpg(keyring, "--local-user", _user(key), "--clearsign", "--output", dists / "InRelease", release)


def _stanza(root: Path, deb: Path) -> str:
    """Return the entry of a package in an index."""
    control = cache.run("dpkg-deb", "--field", deb).strip()
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    return f"{control}\nFilename: {deb.relative_to(root)}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n\n"


def _release(dists: Path, suite: str, label: str, indexes: list[str]) -> str:
    fields: Mapping[str, str] = {
        "Origin": re.sub("-.*", "", label),
        "Label": label,
        "Suite": suite,
        "Codename": suite,
        "Date": cache.run("date", "--utc", "--rfc-email").strip().replace("+0000", "UTC"),
        "Architectures": debs.architecture(),
        "Components": "main",
    }
    sums = "".join(
        f" {hashlib.sha256((dists / name).read_bytes()).hexdigest()} {(dists / name).stat().st_size} {name}\n"
        for name in indexes
    )
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + f"SHA256:\n{sums}"
