"""
The driver ``trial``: ``local`` with faults, for the tests of this directory.

``tools.tried`` installs this file as a package, as anybody adds a driver. It uses the directory that ``HART_TRIAL``
names: ``plan.json`` says what happens at which point, ``reached/`` gets a file for each point that was reached, and a
file in ``go/`` releases a point that holds. It is a witness in the runner too: it records the SSH keys that are made,
every byte of text of the verified session, and each request to rotate the master's AES key.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import salt.crypt

from hart_salt.base import concurrency, errors
from hart_salt.drivers import tags
from hart_salt.drivers.local.driver import SCHEMA, Local
from hart_salt.inventory.records import Record, Store
from hart_salt.master.keys import Acceptance, Keys
from hart_salt.model import Access, Instance, Node
from hart_salt.node import ssh

ANY = "any"  #: stands for each node in a plan, if its name is not known before
HOLD_SECONDS = 90  # a runner that its test has forgotten continues at last
_lock = threading.Lock()
_failed: dict[str, int] = {}


def directory() -> Path:
    return Path(os.environ["HART_TRIAL"])


def plan() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory() / "plan.json").read_text())
    return found


def reach(point: str, minion_id: str) -> None:
    """Report that the run has reached a point, then do what the plan says."""
    for name in (f"{point}@{minion_id}", f"{point}@{ANY}"):
        _reach(name, point)


def _reach(name: str, point: str) -> None:
    (directory() / "reached" / name).touch()
    deadline = time.monotonic() + HOLD_SECONDS
    while name in plan()["hold"] and not (directory() / "go" / name).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    fault = plan()["fail"].get(name)
    if fault is None:
        return
    with _lock:
        _failed[name] = _failed.get(name, 0) + 1
        if _failed[name] > fault["times"]:
            return
    if fault["error"] == "disk full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise getattr(errors, fault["error"], RuntimeError)(f"a planned fault at {point}")


def note(name: str, entry: Any) -> None:
    with _lock, (directory() / name).open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _is_hidden(instance_id: str) -> bool:
    """Return whether this list does not show the instance."""
    lists = plan()["hidden"].get(instance_id)
    if lists is None:
        return False
    with _lock:
        path = directory() / f"lists-{instance_id}"
        number = len(path.read_text()) if path.exists() else 0
        path.write_text("." * (number + 1))
    return int(lists[0]) <= number < int(lists[1])


class Trial(Local):
    """Return the instances of ``local``, changed by the plan."""

    schema = dataclasses.replace(SCHEMA, driver="trial")

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        reach("access", "batch")
        opened = directory() / f"temporary-access-{batch}"
        opened.touch()
        try:
            reach("opened", "batch")
            yield Access(batch, client_public_key)
        finally:
            opened.unlink()
            reach("closed", "batch")

    def objections(self, node: Node) -> list[str]:
        """Quote a refused tag, as the drivers of clouds do."""
        return [*super().objections(node), *tags.tag_objections(node)]

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        reach("launch", node.minion_id)
        (directory() / "user-data" / node.minion_id).write_text(user_data)
        changes = plan()["user_data"]
        for old, new in [*changes.get(ANY, []), *changes.get(node.minion_id, [])]:
            if old not in user_data:
                raise ValueError(f"the user-data has no {old!r}")
            user_data = user_data.replace(old, new)
        instance = super().launch(node, user_data, access)
        reach("launched", node.minion_id)
        return self._as_planned(instance)

    def instances(self, region: str | None = None) -> list[Instance]:
        return self._shown(super().instances(region))

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        return self._shown(super().instances_of(batch, region))

    def _shown(self, instances: list[Instance]) -> list[Instance]:
        found = [self._as_planned(instance) for instance in instances]
        for instance in found:
            reach("instances", instance.instance_id)
        return [instance for instance in found if not _is_hidden(instance.instance_id)]

    def _as_planned(self, instance: Instance) -> Instance:
        return dataclasses.replace(instance, **plan()["seen"].get(instance.minion_id, {}))

    def terminate(self, instance: Instance) -> None:
        reach("terminate", instance.instance_id)
        super().terminate(instance)
        reach("terminated", instance.instance_id)

    def settle(self, instance: Instance) -> None:
        reach("settle", instance.minion_id)

    def sizes(self, region: str | None) -> Any:
        reach("checks", "call")
        return super().sizes(region)


def _witness(owner: Any, name: str, seen: Callable[..., Callable[..., Any]]) -> None:
    setattr(owner, name, functools.wraps(getattr(owner, name))(seen(getattr(owner, name))))


def _make_key(real: Any) -> Any:
    def make_key(comment: str) -> ssh.Key:
        if not comment.startswith("hart-bootstrap-"):  # the batch's: all checks are done, nothing is claimed
            note("begun", os.getpid())
            reach("begun", "call")
        key: ssh.Key = real(comment)
        note("ssh-keys", {"comment": comment, "private": key.private, "public": key.public})
        return key

    return make_key


def _stream(real: Any) -> Any:
    async def stream(session: ssh.Session, command: str, on_lines: Callable[[list[str]], None]) -> int:
        def heard(lines: list[str]) -> None:
            for line in lines:
                note("session", {"from": line})
            on_lines(lines)

        note("session", {"to": command})
        status: int = await real(session, command, heard)
        return status

    return stream


def _follow(real: Any) -> Any:
    async def follow(session: ssh.Session, command: str, on_lines: Callable[[list[str]], None], **more: Any) -> str:
        async def work(session: ssh.Session, command: str, on_lines: Callable[[list[str]], None]) -> str:
            output: str = await real(session, command, on_lines, **more)
            note("session", {"from": output})
            return output

        return str(await _stream(work)(session, command, on_lines))

    return follow


def _run(real: Any) -> Any:
    async def run(session: ssh.Session, command: str, *, stdin: str | bytes = b"", **more: Any) -> str:
        note("session", {"to": command, "stdin": stdin if isinstance(stdin, str) else stdin.decode()})
        output: str = await real(session, command, stdin=stdin, **more)
        note("session", {"from": output})
        return output

    return run


def _accept_many(real: Any) -> Any:
    """A planned fault is the outcome of its own node only, as each error of Salt is."""

    def accept_many(keys: Keys, wanted: Mapping[str, str]) -> dict[str, Acceptance]:
        failed = _failures("accept", wanted)
        outcomes: dict[str, Acceptance] = real(keys, {one: pem for one, pem in wanted.items() if one not in failed})
        return {**outcomes, **failed, **_failures("accepted", outcomes)}

    return accept_many


def _failures(point: str, minion_ids: Iterable[str]) -> dict[str, Acceptance]:
    """Reach a point for each of these ids, and return the outcome of those with a planned fault there."""
    failed = {}
    for minion_id in minion_ids:
        try:
            reach(point, minion_id)
        except Exception as error:
            failed[minion_id] = Acceptance(error=error)
    return failed


def _put(real: Any) -> Any:
    def put(store: Store, record: Record) -> None:
        # Without states to apply, the write for sealed is the last one.
        point = "done" if "applying" in record.seconds else "sealed" if record.sealed else record.stage
        reach(f"put-{point}", record.minion_id)
        real(store, record)

    return put


def _cancel(real: Any) -> Any:
    def cancel(work: Any) -> None:
        real(work)
        (directory() / "reached" / "cancelled@call").touch()

    return cancel


def _dropfile(real: Any) -> Any:
    def dropfile(*arguments: Any, **keywords: Any) -> None:
        note("rotations", time.time())
        real(*arguments, **keywords)

    return dropfile


if "HART_TRIAL" in os.environ:
    _witness(ssh, "make_key", _make_key)
    _witness(ssh.Session, "stream", _stream)
    _witness(ssh.Session, "follow", _follow)
    _witness(ssh.Session, "run", _run)
    _witness(Keys, "accept_many", _accept_many)
    _witness(Store, "put", _put)
    _witness(concurrency._Work, "cancel", _cancel)
    _witness(salt.crypt, "dropfile", _dropfile)
