"""
Make a release. ``tools/release.sh`` starts it with the environment's Python.

Everything happens in a clone of the checkout first: the version and the changelog's date are written, committed and
tagged there, and what is built of it is checked. Only when all of that worked do the commit and the tag go into the
checkout, and the two files into its ``dist/``. A dry run ends before that.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
VERSION_FILE = Path("hart_salt/__init__.py")
CHANGELOG = Path("CHANGELOG.md")
UNRELEASED = "Unreleased"
#: what the checks of the built files are, and the variable that names the directory of these files to them
CHECKS = "tests/functional/test_metadata.py"
CHECKS_LOOK_AT = "HART_DIST"
#: the heading of a section: a version or ``Unreleased``, in brackets or without, and a date or none
HEADING = re.compile(r"^## +\[?([^\s\]]+)\]?.*$", re.MULTILINE)
#: a release, or a candidate for one
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:rc(\d+))?")
ASSIGNMENT = re.compile(r'^__version__ = "([^"]*)"$', re.MULTILINE)
#: settings of a repository's own that a clone does not have, and that say who commits and who signs
IDENTITY = ("user.name", "user.email", "user.signingkey", "commit.gpgsign", "tag.gpgsign", "gpg.format", "gpg.program")


class Refused(Exception):
    """The release cannot be made; the message says why, and nothing was changed."""


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Return what a command prints. Raises ``Refused`` with its output if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        line = shlex.join(map(str, command))
        raise Refused(f"{line} ended with exit code {done.returncode}:\n{done.stdout}".rstrip())
    return done.stdout


def git(*arguments: str | Path, cwd: Path) -> str:
    """Return what a git command prints, without the space around it. Raises ``Refused`` if it fails."""
    return run("git", *arguments, cwd=cwd).strip()


def order(version: str) -> tuple[int, ...]:
    """Return what versions are sorted by: a candidate comes before its release. Raises ``Refused`` if it is none."""
    found = VERSION.fullmatch(version)
    if not found:
        raise Refused(f"'{version}' is not a version; write three numbers, such as 1.0.1, or 1.0.1rc1 for a candidate")
    *numbers, candidate = found.groups()
    return (*map(int, numbers), 0 if candidate else 1, int(candidate or 0))


def current_version(root: Path) -> str:
    """Return the version that the package has. Raises ``Refused`` if it cannot be found."""
    found = ASSIGNMENT.search((root / VERSION_FILE).read_text(encoding="utf-8"))
    if not found:
        raise Refused(f'{VERSION_FILE} has no line __version__ = "…"')
    return found[1]


def dated(changelog: str, version: str, today: str) -> str:
    """
    Return the changelog with the version and the date as the heading of its first section.

    That section is the version's, or ``Unreleased``. Raises ``Refused`` if it is another or if it says nothing.
    """
    sections = list(HEADING.finditer(changelog))
    if not sections:
        raise Refused(f"{CHANGELOG} has no section; begin one with '## [{UNRELEASED}]'")
    first = sections[0]
    if first[1] not in (version, UNRELEASED):
        raise Refused(f"{CHANGELOG} begins with '{first[1]}'; write '## [{version}]' or '## [{UNRELEASED}]' above it")
    text = changelog[first.end() : sections[1].start() if len(sections) > 1 else len(changelog)]
    if not re.search(r"^[^#\s]", text, re.MULTILINE):
        raise Refused(f"{CHANGELOG}: the section '{first[1]}' is empty; write what is new for users")
    return f"{changelog[: first.start()]}## [{version}] - {today}{changelog[first.end() :]}"


def check_checkout(root: Path, version: str) -> None:
    """Raise ``Refused`` if the checkout is not one to release this version from."""
    if not (root / ".git").exists():
        raise Refused(f"{root} is no git checkout; a release is made in one")
    branch = git("branch", "--show-current", cwd=root)
    if branch != BRANCH:
        raise Refused(f"the checkout is on {f'the branch {branch}' if branch else 'no branch'}; switch to {BRANCH}")
    if changes := git("status", "--porcelain", cwd=root).splitlines():
        raise Refused(f"the checkout has {len(changes)} change(s) that are not committed; git status lists them")
    tags = [tag[1:] for tag in git("tag", "--list", "v*", cwd=root).split() if VERSION.fullmatch(tag[1:])]
    if version in tags:
        raise Refused(f"the tag v{version} exists; choose another version")
    newest = max(tags, key=order, default=None)
    if newest and order(version) < order(newest):
        raise Refused(f"{version} is lower than the newest release, {newest}; choose a higher version")


def write(root: Path, version: str, today: str) -> None:
    """Write the version and the changelog's date into a source tree."""
    source, changelog = root / VERSION_FILE, root / CHANGELOG
    source.write_text(
        ASSIGNMENT.sub(f'__version__ = "{version}"', source.read_text(encoding="utf-8")), encoding="utf-8"
    )
    changelog.write_text(dated(changelog.read_text(encoding="utf-8"), version, today), encoding="utf-8")


def clone(root: Path, target: Path) -> None:
    """Clone the checkout's branch, and let the same person commit and sign there."""
    git("clone", "--quiet", "--no-hardlinks", "--single-branch", "--branch", BRANCH, root, target, cwd=root)
    for name in IDENTITY:
        found = subprocess.run(("git", "config", "--get", name), cwd=root, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            git("config", name, found.stdout.strip(), cwd=target)


def commit(root: Path, version: str) -> None:
    """Commit the two files, if they changed, and tag the commit."""
    git("add", VERSION_FILE, CHANGELOG, cwd=root)
    if git("status", "--porcelain", cwd=root):
        git("commit", "--quiet", "--message", f"Release {version}", cwd=root)
    git("tag", "--annotate", "--message", f"hart-salt {version}", f"v{version}", cwd=root)


def build(root: Path, target: Path) -> list[Path]:
    """Build the source distribution, and of it the wheel, and check both. Raises ``Refused`` if a check fails."""
    python = (sys.executable, "-m")
    run(*python, "build", "--no-isolation", "--outdir", target, root, cwd=root)
    files = sorted(target.iterdir())
    names = [file.name for file in files]
    say(run(*python, "twine", "--no-color", "check", "--strict", *names, cwd=target))
    environment = {**os.environ, CHECKS_LOOK_AT: str(target)}
    say(run(*python, "pytest", "-q", "-p", "no:cacheprovider", CHECKS, cwd=root, environment=environment))
    return files


def publish(made: Path, files: Sequence[Path], root: Path, version: str) -> None:
    """Bring the commit, the tag and the files into the checkout. Raises ``Refused`` if it changed in between."""
    git("fetch", "--quiet", "--no-tags", made, BRANCH, cwd=root)
    git("merge", "--quiet", "--ff-only", "FETCH_HEAD", cwd=root)
    git("fetch", "--quiet", "--no-tags", made, f"refs/tags/v{version}:refs/tags/v{version}", cwd=root)
    (root / "dist").mkdir(exist_ok=True)
    for file in files:
        shutil.copy2(file, root / "dist")


def release(root: Path, version: str | None, *, dry_run: bool) -> None:
    """Make the release. Raises ``Refused`` if something is not as it has to be; then nothing was changed."""
    version = version or current_version(root)
    order(version)
    check_checkout(root, version)
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    dated((root / CHANGELOG).read_text(encoding="utf-8"), version, today)
    with tempfile.TemporaryDirectory(prefix="hart-release.") as temporary:
        made, built = Path(temporary, "checkout"), Path(temporary, "dist")
        clone(root, made)
        write(made, version, today)
        commit(made, version)
        say(git("diff", "--no-color", "--unified=0", f"origin/{BRANCH}", "HEAD", cwd=made))
        files = build(made, built)
        if not dry_run:
            publish(made, files, root, version)
    report(version, [file.name for file in files], dry_run=dry_run)


def report(version: str, names: Sequence[str], *, dry_run: bool) -> None:
    """Say what was made, or would be, and what comes next."""
    would = "would be" if dry_run else "is"
    say(f"{version} {would} tagged v{version} on {BRANCH}, and in dist/:")
    for name in names:
        say(f"    {name}")
    if dry_run:
        say("This was a dry run: nothing was changed. After a release, these commands publish it:")
    else:
        say("These commands publish it:")
    say(f"    git push --atomic origin {BRANCH} v{version}")
    say(f"    twine upload {' '.join(f'dist/{name}' for name in names)}")


def say(text: str) -> None:
    """Print what happens."""
    print(text.rstrip(), flush=True)


class Arguments(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise ``Refused``."""
        raise Refused(f"{message}; usage: {self.prog} [--dry-run] [VERSION]")


def main() -> int:
    """Return the exit code."""
    parser = Arguments(prog="tools/release.sh", description="Makes a release; see docs/contributing/release.md.")
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    parser.add_argument("version", nargs="?", metavar="VERSION", help="otherwise the one in hart_salt/__init__.py")
    try:
        arguments = parser.parse_args()
        release(ROOT, arguments.version, dry_run=arguments.dry_run)
    except Refused as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted; nothing was changed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
