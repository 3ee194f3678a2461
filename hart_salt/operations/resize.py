"""
Change the size of nodes: stop, change, start, and wait for the minion. If anything fails, the old size comes back.

A node that is off stays off, and nothing proves that it starts with its new size.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from hart_salt.base import concurrency
from hart_salt.base.errors import HartError, NodeFailed, Refused
from hart_salt.base.text import suggestion
from hart_salt.drivers.contract import Driver
from hart_salt.model import Size
from hart_salt.operations.power import RUNNING, STOPPED, facts
from hart_salt.operations.verbs import Nodes, Target, Verb

WAS_OFF = "it was off and stays off, so nothing shows yet whether it starts with this size"


def resize(size: str, *, test: bool) -> Verb:
    """Return the verb that changes the size of a node."""
    work = functools.partial(_plan if test else _resize, size=size)
    return Verb("resize", "resized", work, test, waits=True, details={"size": size})


async def _plan(nodes: Nodes, target: Target, *, size: str) -> dict[str, Any]:
    wanted, old = await _checked(nodes, target, size)
    running = target.instance.state == RUNNING
    return {
        "action": "resize", "state": target.instance.state, "size": wanted.name, "before": _size_of(target),
        "monthly_price": wanted.monthly_price, "monthly_price_before": old.monthly_price if old else None,
        "currency": wanted.currency, "restarts": running, "can_be_undone": not target.driver.no_way_back,
    }  # fmt: skip


def _size_of(target: Target) -> str:
    return target.instance.size or target.record.size


async def _checked(nodes: Nodes, target: Target, size: str) -> tuple[Size, Size | None]:
    """
    Return the wanted size and the present one, as far as the provider still has it.

    Raises ``Refused`` with everything that speaks against the change.
    """
    driver, now, region = target.driver, _size_of(target), target.record.region
    if type(driver).resize is Driver.resize:
        raise Refused(driver.no_resize)
    if size == now:
        raise Refused(f"it has the size {size} already")
    wanted = await nodes.calls.driver(driver.size, size, region)
    if wanted is None:
        names = [one.name for one in await nodes.calls.driver(driver.sizes, region)]
        near = suggestion(size, names)
        raise Refused(
            f"{driver.provider.name} has no size {size} in {region}{near}; salt-run hart.list_sizes shows all"
        )
    old = await nodes.calls.driver(driver.size, now, region)
    problems = [] if wanted.available else [f"{size} is not available in {region} now"]
    if old and old.disk_gb is not None and wanted.disk_gb is not None and wanted.disk_gb < old.disk_gb:
        problems.append(
            f"the disk of {size} has {wanted.disk_gb:g} GB, and that of {now} {old.disk_gb:g} GB: a disk cannot shrink"
        )
    problems += await nodes.calls.driver(driver.resize_objections, target.instance, wanted)
    if problems:
        raise Refused("; ".join(dict.fromkeys(problems)))
    return wanted, old


async def _resize(nodes: Nodes, target: Target, *, size: str) -> dict[str, Any]:
    wanted, _ = await _checked(nodes, target, size)
    old, ran = _size_of(target), target.instance.state == RUNNING
    nodes.stage(target, "resizing")
    try:
        await _change(nodes, target, size, ran=ran)
    except BaseException as error:
        patient = not isinstance(error, asyncio.CancelledError)
        await concurrency.uninterrupted(_undo(nodes, target, old, ran=ran, waits=patient))
        raise
    await nodes.remember(target, monthly_price=wanted.monthly_price, currency=wanted.currency)
    if not ran:
        target.notes.append(WAS_OFF)
    return {**facts(target, changed=True), "before": old}


async def _change(nodes: Nodes, target: Target, size: str, *, ran: bool) -> None:
    driver = target.driver
    target.done = "the provider was asked to stop it"
    await nodes.change(target, driver.power_off)
    target.done = f"the provider was asked for the size {size}"
    await nodes.change(target, driver.resize, size)
    await nodes.look(target)
    if ran:
        nodes.expect(target)
        await nodes.change(target, driver.power_on)
        await nodes.answer(target)
    elif target.instance.state != STOPPED:  # the provider starts it with its new size
        await nodes.change(target, driver.power_off)
        await nodes.look(target)


async def _undo(nodes: Nodes, target: Target, old: str, *, ran: bool, waits: bool) -> None:
    """Give the node its old size again, and start it if it ran; with ``waits``, wait for its minion."""
    driver = target.driver
    try:
        await nodes.look(target)
        size = _size_of(target)
        if size != old and not driver.no_way_back:
            await nodes.change(target, driver.power_off)
            await nodes.change(target, driver.resize, old)
            await nodes.look(target)
        if ran:
            nodes.expect(target)
            await nodes.change(target, driver.power_on)
            await nodes.look(target)
    except HartError as error:
        target.done = f"it could not be undone: {error}; salt-run hart.show {target.minion_id} shows the node"
        return
    kept = size == old or not driver.no_way_back
    target.done = (
        f"it was undone: the size is {old}" if kept else f"it keeps the size {size}, because {driver.no_way_back}"
    )
    if ran and waits and nodes.has_minion(target):
        await _verify(nodes, target)


async def _verify(nodes: Nodes, target: Target) -> None:
    try:
        await nodes.answering.answer_of(target.minion_id, target.timeout)
    except NodeFailed as error:
        target.done = f"{target.done}, but its minion does not answer: {error}"
    else:
        target.done = f"{target.done}, and its minion answers"
