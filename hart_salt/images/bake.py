"""
Make an image of a node that exists only for that.

``Bake.run`` reads from top to bottom as the life of such a node. It never becomes ready and is never sealed: a failure
or a cancellation rolls back the image first, and then the node as every other one that failed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from hart_salt.base.concurrency import uninterrupted, within
from hart_salt.base.errors import DriverError, NodeFailed, RateLimited, TemporaryFailure
from hart_salt.base.names import slug
from hart_salt.images import generalise
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import BAKE as BAKED_ACTION
from hart_salt.inventory.records import BAKE
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_FAILED, BakedImage, Instance, NewImage, Node
from hart_salt.node import ssh
from hart_salt.node.batch import NodeKind
from hart_salt.node.bootstrap import Result
from hart_salt.node.lifecycle import COMMAND_TIMEOUT, MINION, Lifecycle
from hart_salt.node.progress import facts_of
from hart_salt.node.undo import UNDO_ATTEMPTS, UNDO_INTERVAL
from hart_salt.operations import create

#: seconds for the commands that remove what a node has of its own
GENERALISE_TIMEOUT = 600.0
#: the longest pause between two looks at an image that is in the making, in seconds; the first is the driver's interval
LONGEST_PAUSE = 15.0
#: seconds for which the provider need not report a new image yet
UNSEEN = 120.0


@dataclass(frozen=True)
class Order:
    """What an image is made of."""

    role: str
    #: what the image is made from: ``digest.digest_of_image``
    digest: str
    #: ``amd64`` or ``arm64``; empty if unknown
    arch: str = ""
    #: regions that get a copy, beside that of the node
    copies: Sequence[str] = ()


def bake(
    node: Node, order: Order, driver: Any, context: Context, claimed: Callable[[], object]
) -> tuple[dict[str, Any], int | None, list[str]]:  # fmt: skip
    """
    Make an image of a new node, and destroy the node.

    ``node`` has no role and an id of ``names.bake_id``; its ``apply`` holds the states. ``claimed`` is as for
    ``create.create_all``.

    Returns the outcome, the number of the signal that interrupted the work, or None, and what could not be removed.
    """
    kind = NodeKind(
        BAKE, MINION.become, course=functools.partial(_course, order), action=BAKED_ACTION, role=order.role,
        goal="baked",
    )  # fmt: skip
    data, interrupted = create.create_all([node], driver, context, kind, claimed)
    problems = data.pop("errors", [])
    return data[node.minion_id], interrupted, problems


async def _course(order: Order, life: Lifecycle) -> None:
    await Bake(order, life).run()


class Bake:
    """One image in the making."""

    def __init__(self, order: Order, life: Lifecycle) -> None:
        self._order = order
        self._life = life
        self._batch = life.batch
        self._driver = life.batch.driver
        self._new: NewImage | None = None
        #: the answer of the call that began the image; None: there was none
        self._begun: BakedImage | None = None
        #: by region, the id of the copy there
        self._copies: dict[str, str] = {}

    async def run(self) -> None:
        """
        Bring the node up, apply its states, make the image, and destroy the node.

        Raises ``HartError`` if that failed, and the cancellation if it was cancelled, in both cases after the undo.
        """
        life = self._life
        async with life.undo.on_failure():
            async with life.bootstrapped() as (session, result):
                await self._batch.kind.become(life, session, result)
                await life.after(session)
                await self._apply()
                await self._generalise(session)
            async with self._deleted_on_failure():
                image = await self._make(result)
            self._report(image)
            await life.advance("destroying")
            await uninterrupted(self._end())
        self._batch.applying(life.node.minion_id)  # only copies remain, which can take an hour
        if self._order.copies:
            life.show("copying")
        for region in self._order.copies:
            await self._copy(image, region)
        life.state.outcome = {**(life.state.outcome or {}), "result": True}
        life.state.outcome.pop("error", None)
        life.show("done")

    # the node

    async def _apply(self) -> None:
        """Apply the states; unlike those of a node that stays, a failure is one of the bake."""
        if not self._life.node.settings.apply:
            return
        await self._life.apply()
        if problems := self._life.state.problems:
            raise NodeFailed(f"the states could not be applied: {'; '.join(problems)}")

    async def _generalise(self, session: ssh.Session) -> None:
        """Remove what the node has of its own, and turn it off at once, so that nothing is written after that."""
        life, instance = self._life, self._life.state.instance
        assert instance is not None  # noqa: S101 - there is a session with it
        await life.advance("generalising")
        root, key = self._driver.root(instance), self._batch.client_key.public
        known = generalise.commands(self._driver.platform, root, key, life.node.minion_id)
        await session.run(known.keep, stdin=known.script, timeout=COMMAND_TIMEOUT)
        if status := await life.follow(session, known.run, "the preparation of the image", GENERALISE_TIMEOUT):
            raise NodeFailed(f"the node could not be prepared for an image: exit code {status}, see its last output")

    async def _end(self) -> None:
        """Destroy the node, and say so. Its copies follow, so that it is not the last stage."""
        life = self._life
        await life.undo.end()
        self._batch.progress.event(life.node.minion_id, "destroyed", facts_of(life.node, life.state.instance))

    # the image

    async def _make(self, result: Result) -> BakedImage:
        """Turn the node off, begin the image, wait until it is available, and mark it as complete."""
        life, instance = self._life, self._life.state.instance
        assert instance is not None  # noqa: S101 - the node was reached
        await life.advance("imaging")
        await uninterrupted(self._batch.calls.driver(functools.partial(self._driver.power_off, instance, force=True)))
        self._new = self._named(result)
        image = await self._available(await self._begin(instance), self._life.node.region)
        await uninterrupted(self._batch.calls.driver(self._driver.finish_image, self._marked(image)))
        return dataclasses.replace(self._marked(image), complete=True)

    async def _begin(self, instance: Instance) -> BakedImage:
        """Make the one call that begins the image, and wait for its answer even if the bake is cancelled."""

        async def begin() -> None:
            make = self._driver.make_image
            self._begun = await self._batch.calls.driver(make, instance, self._new)

        await uninterrupted(begin())
        assert self._begun is not None  # noqa: S101 - begin has returned
        return self._begun

    def _named(self, result: Result) -> NewImage:
        node, order = self._life.node, self._order
        time = datetime.now(timezone.utc)
        name = "-".join(filter(None, ["hart", slug(order.role), f"{time:%Y%m%d%H%M}", node.batch]))
        # Of a package's version, which can have an epoch before it and a build after it.
        release = re.search(r"\d{4}(\.\d+)*", result.salt_version)
        salt = release[0] if release else ""
        return NewImage(name, order.role, node.batch, order.digest, salt, node.region, order.arch)

    def _marked(self, image: BakedImage) -> BakedImage:
        """Return the report of an image with what its tags are to say."""
        new = self._new
        assert new is not None  # noqa: S101 - _make has named it
        return dataclasses.replace(
            image, name=image.name or new.name, role=new.role, batch=new.batch, digest=new.digest, release=new.release,
            arch=image.arch or new.arch,
        )  # fmt: skip

    async def _available(self, image: BakedImage, region: str) -> BakedImage:
        """Wait until instances can be made of an image in a region. Raises ``NodeFailed`` after ``image_timeout``."""
        timeout = self._life.node.settings.image_timeout
        try:
            return await within(self._looked_up(image, region), timeout)
        except asyncio.TimeoutError as error:
            raise NodeFailed(f"the image {image.name} did not become available within {timeout:g} s") from error

    async def _looked_up(self, image: BakedImage, region: str) -> BakedImage:
        pause, waited = self._driver.poll_interval, 0.0
        while True:
            found = await self._look(image)
            if found is None and waited >= UNSEEN:
                raise NodeFailed(f"the provider does not have the image {image.name} any more")
            if found is not None and found.state == IMAGE_FAILED:
                raise NodeFailed(f"the provider could not make the image {found.name}: {found.problem or 'no reason'}")
            if found is not None and found.state == IMAGE_AVAILABLE and region in (found.regions or (region,)):
                return found
            await self._batch.calls.sleep(pause)
            waited = 0.0 if found is not None else waited + pause
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _look(self, image: BakedImage) -> BakedImage | None:
        """Return the image as it is now; a look that fails for the moment is one that saw it as it was."""
        self._batch.locks.check_alive()
        try:
            return await self._batch.calls.driver(self._driver.baked_image, image)
        except (TemporaryFailure, RateLimited) as error:
            self._batch.progress.line(self._life.node.minion_id, f"hart: {error}")
            return image

    @asynccontextmanager
    async def _deleted_on_failure(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await uninterrupted(self._delete_all())
            raise

    async def _delete_all(self) -> None:
        """
        Delete every image of this batch; what cannot be deleted is reported, and left to sweep.

        An image whose create call had no answer is looked for several times: it can be listed seconds later.
        """
        if self._new is None:
            return
        left = ""
        for attempt in range(UNDO_ATTEMPTS):
            if attempt:
                await self._batch.calls.sleep(UNDO_INTERVAL)
            try:
                if await self._delete_found():
                    return
                left = ""
            except DriverError as error:
                left = f"the image {self._new.name} could not be deleted: {error}; salt-run hart.sweep removes it"
        if left:
            self._life.undo.beside.append(left)

    async def _delete_found(self) -> bool:
        """Delete the images of this batch that are known or listed; return whether there was one."""
        calls, driver, batch = self._batch.calls, self._driver, self._life.node.batch
        listed = await calls.driver(driver.baked_images, self._life.node.region)
        found = {image.image_id or image.name: image for image in listed if image.batch == batch}
        if self._begun is not None:  # a list may not have it yet
            found.setdefault(self._begun.image_id or self._begun.name, self._begun)
        for image in found.values():
            await calls.driver(driver.delete_image, image)
        return bool(found)

    def _report(self, image: BakedImage) -> None:
        """Say what was made: from now on there is a complete image, whatever becomes of the node and of copies."""
        node = self._life.node
        self._life.state.outcome = {
            "result": False, "image": image.image_id, "name": image.name, "role": self._order.role,
            "provider": node.provider, "region": node.region, "release": image.release, "arch": image.arch or None,
            "size_gb": image.size_gb, "copies": self._copies,
            "error": f"interrupted; the image {image.image_id} is complete",
        }  # fmt: skip
        self._life.show("baked", image=image.image_id, name=image.name, baked_role=self._order.role)

    # copies

    async def _copy(self, image: BakedImage, region: str) -> None:
        """Copy the image to a region. A copy that fails is deleted; the image stays."""
        try:
            copy = await uninterrupted(self._batch.calls.driver(self._driver.copy_image, image, region))
            copy = await self._available(copy, region)
            if copy.image_id != image.image_id:
                await uninterrupted(self._batch.calls.driver(self._driver.finish_image, self._marked(copy)))
        except BaseException as error:
            left = await uninterrupted(self._delete_copies(image, region))
            self._life.state.left += left  # which keeps the claim for sweep
            if isinstance(error, NodeFailed | DriverError):
                words = f"the image {image.image_id} is complete, but it could not be copied to {region}: {error}"
                raise NodeFailed("; ".join([words, *left])) from error
            raise
        self._copies[region] = copy.image_id

    async def _delete_copies(self, image: BakedImage, region: str) -> list[str]:
        """Delete the copy of a region that is not complete; return what could not be deleted."""
        try:
            for one in await self._batch.calls.driver(self._driver.baked_images, region):
                if one.batch == self._life.node.batch and one.image_id != image.image_id and not one.complete:
                    await self._batch.calls.driver(self._driver.delete_image, one)
        except DriverError as error:
            return [f"the copy in {region} could not be deleted: {error}; salt-run hart.sweep removes it"]
        return []
