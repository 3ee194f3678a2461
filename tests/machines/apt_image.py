"""
An image in which apt runs for real, without booting it: a throw-away overlay over a base image, entered by chroot.

Its apt reads the repositories of ``repository.py`` over HTTP on loopback, from a server that can fail on request.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap
from tests.machines import cache, image, launch
from tests.machines.repository import Repositories
from tests.machines.servers import Servers

#: the environment of a command in the image
INSIDE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}

# Positional parameters: directory of the base image, own directory. The shell stays, since the mounts end with it.
MOUNTS = """
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount --rbind /proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"
mount -t tmpfs -o noexec tmpfs "$2/root/tmp"
# No systemd runs here, and the scripts of older packages insist on one.
ln -sf /bin/true "$2/root/usr/bin/systemctl"
mkdir -p "$2/root/run/hart"
echo mounted
exec sleep infinity
"""


@dataclass
class Faults:
    """What the server does instead of serving a file, and what it was asked for."""

    #: the start of a path → how often the fault occurs (None: always), and the HTTP status or what to do instead
    planned: dict[str, tuple[int | None, int | Callable[[SimpleHTTPRequestHandler], None]]] = field(
        default_factory=dict
    )
    asked: list[str] = field(default_factory=list)
    #: path → what is served in place of the repositories' file
    files: dict[str, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def plan(self, path: str, what: int | Callable[[SimpleHTTPRequestHandler], None], times: int | None = None) -> None:
        """Let requests for paths that start with ``path`` fail, ``times`` times (default: always)."""
        self.planned[path] = (times, what)

    def clear(self) -> None:
        """Serve the repositories as they are."""
        self.planned.clear()
        self.asked.clear()
        self.files.clear()

    def take(self, path: str) -> int | Callable[[SimpleHTTPRequestHandler], None] | None:
        """Return the fault of one request, if it has one."""
        with self._lock:
            self.asked.append(path)
            for start, (times, what) in self.planned.items():
                if path.startswith(start) and times != 0:
                    self.planned[start] = (None if times is None else times - 1, what)
                    return what
        return None


def reset(request: SimpleHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    request.close_connection = True
    request.connection.close()


def serve(request: SimpleHTTPRequestHandler, status: int, body: bytes) -> None:
    """Answer a request."""
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def garbled(request: SimpleHTTPRequestHandler) -> None:
    """Serve another file than the index promises, as a mirror does in the middle of its sync."""
    serve(request, 200, b"in the middle of a sync\n")


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, faults: Faults, *arguments: Any, **options: Any) -> None:
        self.faults = faults
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        # A client with a proxy asks for a whole address: the proxy is this server, whatever the host.
        self.path = re.sub("^http://[^/]*", "", self.path)
        fault = self.faults.take(self.path)
        if fault is None and self.path in self.faults.files:
            serve(self, 200, self.faults.files[self.path])
        elif fault is None:
            super().do_GET()
        elif callable(fault):
            fault(self)
        else:
            serve(self, fault, b"")

    def log_message(self, *_: object) -> None:
        """Log nothing: ``Faults.asked`` has the requested paths."""


class AptServer:
    """The repositories of the test cloud on a port of loopback, with faults. A context manager."""

    def __init__(self) -> None:
        self.repositories = Repositories()
        self.faults = Faults()
        self._servers = Servers()

    def __enter__(self) -> AptServer:
        self.repositories.open("127.0.0.1")
        root = str(self.repositories.root)

        def handler(*arguments: Any, **options: Any) -> _Handler:
            return _Handler(self.faults, *arguments, directory=root, **options)

        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        self._servers.begin(server, "apt")
        self.repositories.url = f"http://127.0.0.1:{server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()
        self.repositories.close()


class AptImage:
    """One image. A context manager."""

    def __init__(self, name: str, server: AptServer, style: str = "deb822") -> None:
        self.server = server
        self.base = image.base(name)
        top = cache.directory() / "sessions"
        top.mkdir(parents=True, exist_ok=True)
        self.place = Path(tempfile.mkdtemp(prefix="apt-", dir=top))
        for directory in ("upper", "work", "root"):
            (self.place / directory).mkdir()
        (self.place / "upper").chmod(0o755)
        files = {"/etc/resolv.conf": "", **server.repositories.sources(image.RELEASES[name], style)}
        launch.write(self.place / "upper", files)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", MOUNTS, "mounts", self.base, self.place], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"mounted\n"

    def __enter__(self) -> AptImage:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.place)

    def command(self, script: str) -> list[str]:
        """Return the command that runs a shell script in the image."""
        inside = ["nsenter", f"--target={self._process.pid}", "--mount"]
        return [*inside, "chroot", str(self.place / "root"), "sh", "-c", script]

    def run(self, script: str, timeout: float = 300) -> tuple[int, str]:
        """Run a shell script in the image and return exit code and output."""
        done = subprocess.run(
            self.command(script), env=INSIDE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    def write(self, path: str, text: str) -> None:
        """Write a file in the image."""
        file = self.place / "root" / path.lstrip("/")
        # Through the mounted overlay, so that the image's own view has the file.
        self._enter(["sh", "-euc", 'mkdir -p "${1%/*}"; cat > "$1"', "write", str(file)], text)

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self._enter(["cat", str(self.place / "root" / path.lstrip("/"))])

    def _enter(self, command: list[str], stdin: str = "") -> str:
        inside = ["nsenter", f"--target={self._process.pid}", "--mount"]
        return subprocess.run([*inside, *command], input=stdin, capture_output=True, text=True, check=True).stdout

    def starts(self, version: str, **settings: Any) -> subprocess.Popen[bytes]:
        """Start the step ``install`` of the bootstrap script with these settings."""
        self.write("/script", self.script(version, **settings))
        return subprocess.Popen(self.command("rm -rf /run/hart; exec sh /script"), env=INSIDE, stdin=subprocess.DEVNULL)

    def installs(self, version: str, **settings: Any) -> bootstrap.Result:
        """Run that step and return the result document."""
        code = self.starts(version, **settings).wait(300)
        result = self.result()
        assert code == result.exit_code
        return result

    def result(self) -> bootstrap.Result:
        """Return the result document."""
        return bootstrap.parse_result(self.read("/run/hart/result.json"))

    def script(self, version: str, key: str = "", **settings: Any) -> str:
        """Return the bootstrap script of a minion, of which only the step ``install`` and ``after`` are left."""
        repositories = self.server.repositories
        values = Settings(**{"salt_repo": repositories.salt_url, "security_upgrades": "off", **settings})
        text = bootstrap.render(
            bootstrap.Script(
                "debian", "KEY", "ssh-ed25519 AAAA hart", "MASTER", version, values, key or repositories.salt_key
            )
        )
        begin, step = text.index("begin ssh\n"), text.index("begin install\n")
        return text[:begin] + text[step : text.index("begin hand-over\n")] + "write_after\nend_step\n"

    def versions(self, pattern: str = "salt-*") -> dict[str, str]:
        """Return the installed packages and their versions."""
        code, output = self.run(f"dpkg-query -W -f '${{db:Status-Status}} ${{Package}} ${{Version}}\\n' '{pattern}'")
        rows = [line.split() for line in output.splitlines() if code == 0]
        return {name: version for status, name, version in rows if status == "installed"}
