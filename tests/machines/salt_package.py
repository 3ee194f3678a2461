"""
The packages ``salt-common`` and ``salt-minion``, laid out like Salt's own, with the Salt of this environment.

Salt's packages contain a Python and everything that Salt imports, below ``/opt/saltstack/salt``. So do these, with the
Python and the modules that the tests run with: the same version, nothing to download or to compile, and independent of
the image's own Python, so one package works on every release, as Salt's does. A Python that was built for a newer C
library than the image's would not start there; the build tests that, see ``verify``.

Bytecode is included. Salt's own packages have none: it is compiled at the installation or at the first start.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.distributions import closure
from tests.machines import cache, debs

PREFIX = "opt/saltstack/salt"
RUNTIME = f"{PREFIX}/runtime"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

#: Salt's packages leave these out, too
OMIT = ("__pycache__", "ensurepip", "idlelib", "test", "tests", "tkinter", "turtledemo", "lib2to3", "site-packages",
        "dist-packages", "*.pyc", "*.a", "config-*")  # fmt: skip

UNIT = """\
[Unit]
Description=The Salt Minion
Documentation=man:salt-minion(1) https://docs.saltproject.io/en/latest/contents.html
After=network.target salt-master.service

[Service]
KillMode=process
Type=notify
NotifyAccess=all
LimitNOFILE=8192
ExecStart=/usr/bin/salt-minion

[Install]
WantedBy=multi-user.target
"""

#: what debhelper writes for a package with a service: it respects masks and policy-rc.d
POSTINST = """\
#!/bin/sh
set -e
if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-deconfigure ] || [ "$1" = abort-remove ]; then
    deb-systemd-helper unmask salt-minion.service >/dev/null || true
    if deb-systemd-helper --quiet was-enabled salt-minion.service; then
        deb-systemd-helper enable salt-minion.service >/dev/null || true
    else
        deb-systemd-helper update-state salt-minion.service >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n "$2" ]; then action=restart; else action=start; fi
        deb-systemd-invoke $action salt-minion.service >/dev/null || true
    fi
fi
"""
#: what Salt's own scripts of some releases do beside that, as in 3007.0 and 3006.9; both fail for a masked service
OLD_POSTINST = '#!/bin/sh\nset -e\n[ "$1" = configure ] || exit 0\nsystemctl {action} {service}\n'

PRERM = """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ] && [ "$1" = remove ]; then
    deb-systemd-invoke stop salt-minion.service >/dev/null || true
fi
"""

SCRIPT = "#!/{prefix}/bin/python3\nimport sys\nfrom salt.scripts import {function}\nsys.exit({function}())\n"

#: of a release that is only installed: a service that runs, and a command that prints its version
FAKE_SERVICE = "#!/bin/sh\nsystemd-notify --ready\nexec sleep infinity\n"
FAKE_UNIT = UNIT.replace("KillMode=process\n", "")


def version() -> str:
    """Return the version of Salt in this environment."""
    return importlib.metadata.version("salt")


def other_versions() -> list[str]:
    """
    Return the other versions in the repository, all tiny packages.

    They are of an older and of a newer series, and the first one of this series.
    """
    series = int(version().split(".")[0])
    return [each for each in (f"{series - 1}.9", f"{series}.0", f"{series + 1}.0") if each != version()]


def ingredients() -> str:
    """Return a text that differs between builds with different content."""
    names = sorted(f"{name}=={found.version}" for name, found in closure("salt").items())
    code = [Path(file).read_text() for file in (__file__, debs.__file__)]
    return "\n".join([sys.version, sys.base_prefix, *names, *code])


def build(pool: Path, base: Path) -> None:
    """Build all versions in a pool; ``base`` is the image in which the real one must start."""
    with tempfile.TemporaryDirectory(dir=pool.parent) as place:
        tree = Path(place) / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        _runtime(tree)
        _modules(tree)
        _scripts(tree)
        verify(tree, base)
        common = debs.Package("salt-common", version(), debs.architecture())
        debs.build(common, tree, pool)
    debs.build_small(_minion(version()), {
        "lib/systemd/system/salt-minion.service": UNIT, "etc/salt/minion": "# The defaults are in force.\n",
        "usr/bin/salt-minion": SCRIPT.format(prefix=PREFIX, function="salt_minion"),
        "usr/bin/salt-call": SCRIPT.format(prefix=PREFIX, function="salt_call"),
    }, pool)  # fmt: skip
    for other in other_versions():
        _build_fake(other, pool)


def _minion(release: str, postinst: str = POSTINST) -> debs.Package:
    return debs.Package(
        "salt-minion", release, debs.architecture(), f"bsdmainutils, dctrl-tools, salt-common (= {release})",
        scripts={"postinst": postinst, "prerm": PRERM}, conffiles=("/etc/salt/minion",),
    )  # fmt: skip


def old_action(release: str) -> str:
    """Return what the script of one of the tiny packages does with its service: ``enable``, ``restart`` or nothing."""
    series = int(version().split(".")[0])
    return {series - 1: "restart", series: "enable"}.get(int(release.split(".")[0]), "")


def _build_fake(release: str, pool: Path) -> None:
    print_version = f"#!/bin/sh\necho 'salt-call {release}'\n"
    common = debs.Package("salt-common", release, debs.architecture())
    debs.build_small(common, {f"{PREFIX}/fake-release": f"{release}\n"}, pool)
    action = old_action(release)
    for name in ("salt-minion", "salt-master"):
        old = OLD_POSTINST.format(action=action, service=name) if action else ""
        package = _minion(release, POSTINST + old.removeprefix("#!/bin/sh\n"))
        if name == "salt-master":
            scripts = {file: text.replace("salt-minion", name) for file, text in package.scripts.items()}
            package = replace(package, name=name, scripts=scripts, conffiles=("/etc/salt/master",))
        unit = FAKE_UNIT.replace(" salt-master.service", "").replace("salt-minion", name)
        debs.build_small(package, {
            f"lib/systemd/system/{name}.service": unit,
            f"etc/salt/{name[5:]}": "# The defaults are in force.\n", f"usr/bin/{name}": FAKE_SERVICE,
            **({"usr/bin/salt-call": print_version} if name == "salt-minion" else {}),
        }, pool)  # fmt: skip


def _runtime(tree: Path) -> None:
    """Copy this environment's interpreter and its standard library, without installed modules."""
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # the one behind the environment
    binary = tree / RUNTIME / "bin" / PYTHON
    binary.parent.mkdir(parents=True)
    shutil.copy2(interpreter, binary)
    library = Path(sysconfig.get_path("stdlib"))
    # Debian's library has links to /etc and to files beside it.
    shutil.copytree(library, tree / RUNTIME / "lib" / PYTHON, ignore=shutil.ignore_patterns(*OMIT),
                    symlinks=False, ignore_dangling_symlinks=True)  # fmt: skip
    shared = re.search(r"(libpython\S+) => (\S+)", cache.run("ldd", interpreter))
    if shared:
        shutil.copy2(shared[2], tree / RUNTIME / "lib" / shared[1])
        cache.run("patchelf", "--set-rpath", f"/{RUNTIME}/lib", binary)


def _modules(tree: Path) -> None:
    """Copy Salt and what it imports, as a virtual environment of the copied interpreter."""
    target = tree / PREFIX / "lib" / PYTHON / "site-packages"
    target.mkdir(parents=True)
    for distribution in closure("salt").values():
        for file in files_of(distribution):
            copy = target / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(distribution.locate_file(file)), copy)
    (tree / PREFIX / "pyvenv.cfg").write_text(f"home = /{RUNTIME}/bin\ninclude-system-site-packages = false\n")
    (tree / PREFIX / "bin").mkdir()
    for name in ("python3", PYTHON):
        (tree / PREFIX / "bin" / name).symlink_to(f"../runtime/bin/{PYTHON}")
    compile_below(tree)


def compile_below(tree: Path) -> None:
    """Compile the bytecode of a tree, with the paths that its files will have when they are installed."""
    cache.run(sys.executable, "-c", _COMPILE, str(tree))


# In a separate process, since it forks. Some packages contain templates that are not Python; they are no error.
_COMPILE = """
import compileall, sys
compileall.compile_dir(sys.argv[1], quiet=2, workers=0, stripdir=sys.argv[1], prependdir="/", maxlevels=50)
"""


def files_of(distribution: importlib.metadata.Distribution) -> Iterator[Path]:
    """Return the files of a distribution that are beside its modules, without tests and bytecode."""
    for listed in distribution.files or []:
        file = Path(listed)
        unwanted = file.is_absolute() or {"..", "__pycache__", "test", "tests"} & set(file.parts)
        if not unwanted and Path(str(distribution.locate_file(file))).is_file():
            yield file


def _scripts(tree: Path) -> None:
    """
    Write the programs.

    Salt's packages have links to them in /usr/bin; here the package of the minion contains them there itself.
    """
    for function in ("salt_minion", "salt_call"):
        script = tree / PREFIX / function.replace("_", "-")
        script.write_text(SCRIPT.format(prefix=PREFIX, function=function))
        script.chmod(0o755)
    (tree / "etc/salt/minion.d").mkdir(parents=True)
    (tree / "etc/salt/pki/minion").mkdir(parents=True)
    for directory in ("var/cache/salt", "var/log/salt"):
        (tree / directory).mkdir(parents=True)


def verify(tree: Path, base: Path) -> None:
    """Start the tree's Python in the image, so that an error shows here and not in a machine's log."""
    with tempfile.TemporaryDirectory(dir=tree.parent) as place:
        script = 'mount -t overlay overlay -o "lowerdir=$1:$2" "$3"; mount --rbind /proc "$3/proc"; '
        script += 'chroot "$3" /opt/saltstack/salt/salt-call --version'
        output = cache.run("unshare", "--mount", "sh", "-euc", script, "verify", tree, base, place)
    if version() not in output:
        raise RuntimeError(f"Salt in the package says {output!r} and not {version()}")
