"""Baked images: making, listing and deleting them, and choosing the one that a new node boots."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from hart_salt.base.errors import HartError, Refused
from hart_salt.base.logs import remove_old_logs
from hart_salt.base.names import bake_id, new_batch
from hart_salt.base.text import closest, suggestion
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.images import listing, retention
from hart_salt.images.bake import Order, bake
from hart_salt.images.retention import Needs
from hart_salt.inventory.journal import Entry
from hart_salt.inventory.snapshot import take_snapshot
from hart_salt.model import BakedImage, Node
from hart_salt.operations import catalog, limits
from hart_salt.operations.baked_images import size_of
from hart_salt.planning import baked, plan, preflight
from hart_salt.planning import resolve as roles
from hart_salt.planning.digest import differences, words_of_image
from hart_salt.result import Result
from hart_salt.use_cases.money import Money
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Parts

#: settings of a role that have no meaning for a node that does not stay
WITHOUT: Mapping[str, Any] = {"script": None, "drain": None, "ttl": None, "protect": False}
#: the same for settings that only some drivers have; EC2 cannot stop a spot instance, and its volume would stay
OPTIONS_WITHOUT: Mapping[str, Any] = {"spot": False, "keep_volumes": False}
NOTHING_TO_APPLY = (
    "the role has no setting bake, so the image holds Salt and security upgrades only; set bake to the states that all "
    "its nodes have in common"
)
REMOVE = "remove_image"
#: how close a mistyped id must be to an existing one: all ids of images look alike, also that of one that is gone
ALIKE = 0.9


def for_a_bake(options: Any) -> Any:
    """Return the driver's settings of a node that is only there to become an image."""
    known = {name: value for name, value in OPTIONS_WITHOUT.items() if hasattr(options, name)}
    return options.model_copy(update=known)


class Images:
    """The use cases of ``Service`` for baked images."""

    def __init__(
        self, parts: Parts, offers: Offers, money: Money, sweep_dead: Callable[[str | None], None]
    ) -> None:  # fmt: skip
        self._parts = parts
        self._offers = offers
        self._money = money
        self._sweep_dead = sweep_dead

    # making

    def bake(
        self,
        role: str,
        *,
        provider: str | None = None,
        regions: Sequence[str] = (),
        apply: str | Sequence[str] | None = None,
        keep: int | None = None,
        settings: Mapping[str, Any] | None = None,
        test: bool = False,
        takes: Sequence[str] = (),
    ) -> Result:
        """
        Make an image of a role: create a node, apply its states, make the image, destroy the node.

        ``regions`` holds the region of the node and those that get a copy (default: the role's region). ``apply`` holds
        the states (default: the setting ``bake``), and ``keep`` is how many images stay in each region (default: the
        setting ``bake_keep``). For ``takes`` see ``resolve.resolve``.

        Returns, for the role, ``result`` and the image or the error.

        Raises ``Refused`` before anything is changed.
        """
        node, order, notes, boots_it = self._planned(role, provider, regions, apply, settings or {}, takes)
        keep = node.settings.bake_keep if keep is None else keep
        self._parts.changes(test=test)
        driver = self._parts.driver(node.provider)
        _refuse_without(driver)
        self._parts.master.require_running()
        if not test:
            self._sweep_dead(node.provider)
        else:
            driver.ask_again()
        order, more = _places(order, node, driver)
        (node,) = preflight.fit(
            [node], driver, self._parts.context, lambda zones: [_in_zone(node, zones)],
            states="bake" if apply is None else "apply",
        )  # fmt: skip
        order = dataclasses.replace(order, arch=_arch(driver, node))
        odd = self._odd(order, driver, node.region) if boots_it else []
        with self._money.within_limits(limits.creation(node, 1), test=test) as claimed:
            if test:
                return self._plan(node, order, driver, keep, [*notes, *more, *odd])
            remove_old_logs(self._parts.info.log_dir, node.settings.log_days, time.time())
            entry, interrupted, problems = bake(node, order, driver, self._parts.context, claimed)
        entry = {"provider": node.provider, "region": node.region, **entry}
        entry["notes"] = [*notes, *more, *entry.get("notes", ())]
        if entry["result"]:
            entry["notes"] += odd
            entry["deleted"], kept = self._retain(driver, role, keep)
            entry["notes"] += kept
        return Result({role: entry}, bool(entry["result"]) and not problems, interrupted, problems=problems)

    def _planned(
        self,
        role: str,
        provider: str | None,
        regions: Sequence[str],
        states: Any,
        settings: Mapping[str, Any],
        takes: Sequence[str],
    ) -> tuple[Node, Order, list[str], bool]:
        """Return the node of a bake, what is made of it, notes, and whether nodes of the role boot baked images."""
        parts, now = self._parts, datetime.now(timezone.utc)
        given = {**settings, **({} if states is None else {"bake": states})}
        node = roles.resolve(
            parts.config, parts.schemas, parts.info, role=role, provider=provider,
            region=regions[0] if regions else None, arguments=given, minion_id=bake_id(role),
            batch=new_batch(now.timestamp()), now=now, takes=takes,
        )  # fmt: skip
        states = node.settings.bake
        order = Order(
            role, self._parts.image_digest(node), copies=[one for one in dict.fromkeys(regions) if one != node.region]
        )
        update = {**WITHOUT, "image": node.settings.base_image, "apply": states}
        # Without a role in its tags and its record, it is none of the role's nodes; its grains have the role.
        bare = dataclasses.replace(
            node, role=None, settings=node.settings.model_copy(update=update), options=for_a_bake(node.options),
            digest="", ends=None, image_set_by=node.base_image_set_by,
        )  # fmt: skip
        notes = [] if states else [NOTHING_TO_APPLY]
        usual = self._with_its_own_image(node, role, given)
        if not baked.is_wanted(usual):
            notes.append(
                f"the nodes of the role {role} boot {usual.settings.image}: set image to baked to boot the image"
            )
        return bare, order, notes, baked.is_wanted(node)

    def _odd(self, order: Order, driver: Driver, region: str) -> list[str]:
        """Return a note if arguments make an image that the configuration of the role would not make."""
        changed = self._changed(order.digest, order.role, driver, region)
        if not changed:
            return []
        return [
            f"new nodes of the role {order.role} boot this image from now on, although it differs from the "
            f"configuration: {changed}; the next salt-run hart.bake {order.role} makes one that does not"
        ]

    def _with_its_own_image(self, node: Node, role: str, given: Mapping[str, Any]) -> Node:
        """Return the node with the role's setting ``image``: as an argument, it is only for this bake."""
        names = {"image", *(name for name, alias in Settings.ALIASES.items() if alias.name == "image")}
        if not names & set(given):
            return node
        others = {name: value for name, value in given.items() if name not in names}
        return self._offers.example(role, node.provider, node.region, others)

    def _plan(self, node: Node, order: Order, driver: Driver, keep: int, notes: Sequence[str]) -> Result:
        price = driver.image_price(node.region)
        entry = plan.creation([node])[node.minion_id]
        going, kept = self._surplus(driver, order.role, keep, [retention.expected(order, node.region, driver)])
        facts = {
            "action": "bake", "role": order.role, "base_image": node.settings.image, "apply": node.settings.apply,
            "copies": list(order.copies), "image_price_gb": price.amount if price else None,
            "image_currency": price.currency if price else None, "keep": keep,
            "deleted": [one.image_id for one in going], "notes": [*notes, *kept],
        }  # fmt: skip
        return Result({order.role: {**entry, **facts}})

    # deleting

    def _retain(self, driver: Driver, role: str, keep: int) -> tuple[list[str], list[str]]:
        """Delete the oldest images of a role; return their ids, and why others stay, or why none could be deleted."""
        going, notes = self._surplus(driver, role, keep)
        deleted = []
        for image in going:
            problem = self._delete(driver, image)
            if problem:
                notes.append(f"the image {image.image_id} could not be deleted: {problem}")
            else:
                deleted.append(image.image_id)
        return deleted, notes

    def _surplus(
        self, driver: Driver, role: str, keep: int, more: Sequence[BakedImage] = ()
    ) -> tuple[list[BakedImage], list[str]]:
        """Return the old images of a role that can go, and why others stay; ``more`` holds images not made yet."""
        try:
            needs = self._needs(driver)
            return retention.surplus([*driver.baked_images(), *more], role, keep, needs)
        except HartError as error:
            return [], [f"no old image is deleted: {error}"]

    def remove(self, image: str, *, provider: str | None, force: bool, test: bool) -> Result:
        """
        Delete a baked image, by its id or its name.

        Raises ``Refused`` if there is no such image, if a node runs from it or, without ``force``, if a role needs it.
        """
        self._parts.changes(test=test)
        driver, found, every = self._found(image, provider)
        if why := retention.refusal(found, every, self._needs(driver), force=force):
            raise Refused(why)
        name = found.image_id or found.name
        facts = {"action": "delete", "name": found.name, "role": found.role, "provider": driver.provider.name}
        if test:
            return Result({name: {"result": None, **facts}})
        problem = self._delete(driver, found)
        entry = {"result": not problem, **facts, **({"error": problem} if problem else {})}
        return Result({name: entry}, not problem)

    def _delete(self, driver: Driver, image: BakedImage) -> str:
        """Delete an image and write it to the journal; return why it could not be deleted, or an empty text."""
        problem = ""
        try:
            self._parts.context.locks.check_alive()
            driver.delete_image(image)
        except HartError as error:
            problem = str(error)
        self._parts.context.journal.write(
            Entry(
                REMOVE, image.name or image.image_id, not problem, kind="image", role=image.role,
                provider=driver.provider.name, batch=image.batch or None, created=image.created,
                details={"image": image.image_id}, error=problem,
            )
        )  # fmt: skip
        return problem

    def _found(self, wanted: str, provider: str | None) -> tuple[Driver, BakedImage, Sequence[BakedImage]]:
        """Return the image, with its driver and all images there."""
        names: list[str] = []
        problems: list[str] = []
        for driver in self._parts.drivers_for(provider):
            try:
                every = driver.baked_images()
            except HartError as error:
                problems.append(str(error))
                continue
            for one in every:
                if wanted in (one.image_id, one.name):
                    return driver, one, every
            names += [one.image_id or one.name for one in every]
        close = closest(wanted, names, ALIKE)
        meant = f" (did you mean {close}?)" if close else ""
        where = f" at {provider}" if provider else ""
        known = f"; the images are {', '.join(names[:12])}" if names else ""
        failed = f"; not every provider could be asked: {'; '.join(problems)}" if problems else ""
        raise Refused(f"there is no baked image {wanted}{where}{meant}{known}{failed}")

    def _needs(self, driver: Driver) -> Needs:
        """
        Return what may need the images of a provider.

        Raises ``Refused`` if that cannot be known, because the provider does not answer.
        """
        config, name = self._parts.config, driver.provider.name
        of_baked = []
        for role in config.role_names():
            with contextlib.suppress(HartError):  # it cannot be at this provider, or nothing can be made of it
                if baked.is_wanted(self._offers.example(role, name, None)):
                    of_baked.append(role)
        return Needs(self._digests(driver), of_baked, retention.named(config, name))

    def _digests(self, driver: Driver) -> dict[str, str | None]:
        """Return the digests of all nodes of a provider, by minion id. Raises ``Refused`` if it does not answer."""
        seen = take_snapshot([driver], self._parts.context.store, self._parts.context.master)
        if driver.provider.name not in seen.asked:
            raise Refused("; ".join(seen.problems))
        listed = {one.instance.minion_id: one.instance.digest for one in seen.found}
        recorded = {
            one.minion_id: one.digest for one in seen.records.values() if one.provider == driver.provider.name
        }  # fmt: skip
        return {**recorded, **{name: digest for name, digest in listed.items() if digest or name not in recorded}}

    # listing

    def listed(self, provider: str | None, region: str | None) -> Result:
        """Return the images of a provider, by the value for the setting ``image``, with what is known of baked ones."""
        parts = self._parts
        driver = parts.driver(roles.choose_provider(parts.config, None, provider).name)
        place = catalog.region_of(driver, parts.config, region)
        data = catalog.images(driver, place)
        every = listing.by_id(driver.baked_images(place))
        if not every:
            return Result(data)
        notes: list[str] = []
        try:
            digests = self._digests(driver)
        except HartError as error:
            digests, notes = {}, [f"which nodes run from the images is not known: {error}"]
        price = driver.image_price(place or "")
        wanted = {role: self._wanted(role, driver, place) for role in {one.role for one in every.values()} if role}
        now = time.time()
        facts = {
            name: listing.facts(one, digests, price, now, wanted.get(one.role or "")) for name, one in every.items()
        }
        return Result({**data, **facts}, notes=notes)

    def _wanted(self, role: str, driver: Driver, region: str | None) -> str | None:
        """Return the digest that an image of a role would have now; None if the role is not configured any more."""
        with contextlib.suppress(HartError):
            return self._parts.image_digest(self._offers.example(role, driver.provider.name, region))
        return None

    # using

    def fitted(self, nodes: Sequence[Node], driver: Driver) -> list[Node]:
        """
        Return the nodes with the image that they boot; see ``baked.chosen``. All nodes have one role and place.

        Raises ``Refused`` if their role needs a baked image and none fits.
        """
        if not baked.is_wanted(nodes[0]):
            return list(nodes)
        images = driver.baked_images(nodes[0].region)
        found = baked.chosen(nodes, images, self._parts.info, size_of(driver, nodes[0]))
        notes = [
            f"it boots the newest image of the role {one.role}, {one.name}, which differs from the configuration: "
            f"{changed}; salt-run hart.bake {one.role} makes one that does not"
            for one in images
            if one.image_id == found[0].baked
            and (changed := self._changed(one.digest, one.role or "", driver, nodes[0].region))
        ]
        return [dataclasses.replace(one, notes=(*one.notes, *notes)) for one in found]

    def _changed(self, digest: str | None, role: str, driver: Driver, region: str) -> str:
        """Return what of an image differs from the configuration of its role, in words; empty if nothing does."""
        wanted = self._wanted(role, driver, region)
        return words_of_image(differences(digest, wanted)) if wanted else ""


def _arch(driver: Driver, node: Node) -> str:
    size = size_of(driver, node)
    return size.arch if size else ""


def _in_zone(node: Node, zones: Sequence[str]) -> Node:
    return dataclasses.replace(node, zone=zones[0])


def _refuse_without(driver: Driver) -> None:
    if not driver.makes_images:
        raise Refused(f"{driver.provider.name} cannot have baked images: {driver.no_snapshots}")


def _places(order: Order, node: Node, driver: Driver) -> tuple[Order, list[str]]:
    """
    Return the order without copies where one image can be used in every region, with a note on that.

    Raises ``Refused`` for a region that does not exist.
    """
    if not order.copies:
        return order, []
    known = {one.name for one in driver.regions()}
    if unknown := [one for one in order.copies if one not in known]:
        near = suggestion(unknown[0], known)
        raise Refused(f"region: {node.provider} has no region {unknown[0]}{near}; hart.list_regions shows them")
    if driver.images_everywhere:
        note = f"an image of {node.provider} can be used in every region, so none was copied"
        return dataclasses.replace(order, copies=()), [note]
    return order, []
