"""Start, stop and reboot nodes. What is in that state already is a success, and nothing is changed."""

from __future__ import annotations

import functools
from typing import Any

from hart_salt.base.errors import NodeFailed
from hart_salt.operations.verbs import Nodes, Target, Verb

RUNNING, STOPPED = "running", "stopped"


def start(*, test: bool) -> Verb:
    """Return the verb that starts a node and waits for its minion."""
    return Verb("start", "started", _plan_start if test else _start, test, waits=True)


def stop(*, force: bool, test: bool) -> Verb:
    """Return the verb that stops a node; with ``force`` its power is cut at once."""
    return Verb("stop", "stopped", _plan_stop if test else functools.partial(_stop, force=force), test)


def reboot(*, force: bool, test: bool) -> Verb:
    """Return the verb that restarts a node and waits for its minion."""
    work = _plan_reboot if test else functools.partial(_reboot, force=force)
    return Verb("reboot", "rebooted", work, test, waits=True)


async def _plan_start(nodes: Nodes, target: Target) -> dict[str, Any]:
    return _planned(target, "none" if target.instance.state == RUNNING else "start")


async def _plan_stop(nodes: Nodes, target: Target) -> dict[str, Any]:
    return _planned(target, "none" if target.instance.state == STOPPED else "stop")


async def _plan_reboot(nodes: Nodes, target: Target) -> dict[str, Any]:
    _require_running(target)
    return _planned(target, "reboot")


def _planned(target: Target, action: str) -> dict[str, Any]:
    return {"action": action, "state": target.instance.state}


async def _start(nodes: Nodes, target: Target) -> dict[str, Any]:
    if target.instance.state == RUNNING:
        await nodes.look(target)
        if nodes.has_minion(target) and not await nodes.is_present(target):
            target.notes.append(f"it runs, but its minion does not answer: salt-run hart.reboot {target.minion_id}")
        return facts(target, changed=False)
    nodes.stage(target, "starting")
    nodes.expect(target)
    target.done = "the provider was asked to start it"
    await nodes.change(target, target.driver.power_on)
    target.done = "its instance runs"
    await nodes.answer(target)
    return facts(target, changed=True)


async def _stop(nodes: Nodes, target: Target, *, force: bool) -> dict[str, Any]:
    changed = target.instance.state != STOPPED
    if changed:
        nodes.stage(target, "stopping")
        target.done = "the provider was asked to stop it"
    await nodes.change(target, target.driver.power_off, force=force)  # one that is stopping is waited for
    await nodes.look(target)
    return facts(target, changed=changed)


async def _reboot(nodes: Nodes, target: Target, *, force: bool) -> dict[str, Any]:
    _require_running(target)
    before = await nodes.boot_of(target)
    nodes.stage(target, "rebooting")
    nodes.expect(target, before)
    target.done = "the provider was asked to restart it"
    await nodes.change(target, target.driver.reboot, force=force)
    try:
        await nodes.answer(target)
    except NodeFailed as error:
        raise NodeFailed(f"{error}{_hint(force=force)}") from error
    return facts(target, changed=True)


def _hint(*, force: bool) -> str:
    return "" if force else ": if its operating system hangs, force=True cuts its power"


def _require_running(target: Target) -> None:
    """Raise ``NodeFailed`` if the node does not run."""
    if target.instance.state != RUNNING:
        raise NodeFailed(f"it is {target.instance.state}: salt-run hart.start {target.minion_id} starts it")


def facts(target: Target, *, changed: bool) -> dict[str, Any]:
    """Return the facts of a node for the result."""
    record = target.record
    return {
        "changed": changed, "state": target.instance.state, "size": record.size, "public_ip": record.public_ip,
        "private_ip": record.private_ip,
    }  # fmt: skip
