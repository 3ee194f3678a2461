"""Sources, locks and proxy of apt."""

from __future__ import annotations

from tests.machines.overlay import Overlay
from tests.machines.variants.base import Around, Variant, service

#: where the programs in the machine write what they saw
SEEN = "/var/lib/test-cloud"
LOCKS = ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend", "/var/cache/apt/archives/lock")
#: waits until another process opens a file
INOTIFY = """\
#!/usr/bin/python3
import ctypes, fcntl, os, subprocess, time

libc = ctypes.CDLL(None)
SEEN = "/var/lib/test-cloud"
os.makedirs(SEEN, exist_ok=True)


def watch(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    inotify = libc.inotify_init()
    libc.inotify_add_watch(inotify, path.encode(), 0x20)  # IN_OPEN
    return file, inotify


def opened(inotify):
    os.read(inotify, 4096)
"""
#: each lock is held until somebody has tried to get it, and two seconds more
HOLD = f"""{INOTIFY}
files = {LOCKS!r}
watched = [watch(path) for path in files]
for file, _ in watched:
    fcntl.lockf(file, fcntl.LOCK_EX)
subprocess.run(["systemd-notify", "--ready"], check=True)
for path, (file, inotify) in zip(files, watched):
    opened(inotify)
    with open(SEEN + "/held", "a") as seen:
        seen.write(path + "\\n")
    time.sleep(2)
    os.close(file)
"""
PERIODIC = 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'
AT_BOOT = "[Timer]\nOnCalendar=\nOnBootSec=1s\nRandomizedDelaySec=0\n"


def _locks(root: Overlay, around: Around) -> None:
    for name in ("apt-daily", "apt-daily-upgrade"):
        root.link(f"/etc/systemd/system/{name}.timer", f"/lib/systemd/system/{name}.timer")
        root.write(f"/etc/systemd/system/{name}.timer.d/at-boot.conf", AT_BOOT)
    root.write("/etc/apt/apt.conf.d/20auto-upgrades", PERIODIC)
    service(root, "hold-locks", HOLD)


def _failing_sources(root: Overlay, around: Around) -> None:
    parts = "/etc/apt/sources.list.d"
    root.write(f"{parts}/vendor-missing.list", f"deb {around.missing_url} stable main\n")
    root.write(f"{parts}/vendor-refused.list", f"deb {around.refused_url} stable main\n")
    stanza = f"Types: deb\nURIs: {around.unsigned_url}\nSuites: stable\nComponents: main\n"
    root.write(f"{parts}/vendor-unsigned.sources", stanza)


def _proxy(root: Overlay, around: Around) -> None:
    root.write("/etc/apt/apt.conf.d/00proxy", f'Acquire::http::Proxy "{around.proxy_url}";\n')


VARIANTS = (
    Variant("apt's locks", _locks),
    Variant("failing sources", _failing_sources),
    Variant("proxy", _proxy),
)
