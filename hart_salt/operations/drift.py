"""Which nodes differ from what the configuration says of their role today."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from hart_salt.base.errors import HartError, Interrupted
from hart_salt.inventory.records import Record
from hart_salt.model import Instance, Node
from hart_salt.operations.baked_images import BakedImages
from hart_salt.planning import baked
from hart_salt.planning.digest import PARTS, differences, is_digest, is_made_from

#: returns a node of a role at a provider in a region as it would be created now; raises ``HartError`` if there is none
Example = Callable[["str | None", "str | None", "str | None"], Node]


@dataclass(frozen=True)
class _Wanted:
    """A node as it would be created now."""

    node: Node
    #: whether it is known which image it would boot
    image_known: bool = True
    #: why that is not known because its provider cannot say it, in a sentence; empty if it is known
    problem: str = ""


class Drift:
    """
    Compares nodes with the present configuration, and with the newest baked image if their role boots that.

    The configuration of each role, provider and region is resolved once, and each provider is asked once for its baked
    images, so thousands of nodes cost little.
    """

    def __init__(self, example: Example, images: BakedImages) -> None:
        """Keep the arguments; ask nobody."""
        self._example = example
        self._images = images
        self._places: dict[tuple[str, str, str], _Wanted | None] = {}
        self._asked: Collection[str] | None = None

    def ask_only(self, providers: Collection[str]) -> None:
        """Leave out the images of nodes of other providers, such as one that has not answered already."""
        self._asked = providers

    def of(self, record: Record, instance: Instance | None = None) -> tuple[str, ...]:
        """
        Return the parts of a node that differ, as words of ``digest.PARTS``; empty if none does, or if it is not known.

        ``instance`` is the node's instance as its provider reports it, or None if there is none or it is not known.
        """
        return tuple(self.known(record, instance) or ())

    def known(self, record: Record, instance: Instance | None = None) -> list[str] | None:
        """
        Return the same as ``of``, but None if it is not known: if the node has no digest, if its role is not configured
        any more or its settings have a fault, or for a node without a role and for a salt-master.

        The image differs if the role boots baked images and the node does not run from the newest one that fits. If
        that is not known, only the other parts are compared; ``problems`` says why.
        """
        digest = _digest_of(record, instance)
        wanted = self._wanted(record) if digest else None
        if digest is None or wanted is None:
            return None
        found = {*differences(digest, wanted.node.digest)} - {"size"}
        if not wanted.image_known:
            found.discard("image")
        # hart.resize and people can have changed the size since: what the provider reports counts.
        size = (instance.size if instance else None) or record.size
        if size and size != wanted.node.size:
            found.add("size")
        return [name for name in PARTS if name in found]

    def image(self, record: Record, instance: Instance | None = None) -> str | None:
        """Return the id of the baked image that a node runs from; None if it is a plain one, or if it is not known."""
        digest = _digest_of(record, instance)
        if digest is None or (self._asked is not None and record.provider not in self._asked):
            return None
        try:
            images = self._images.of(record.provider)
        except Interrupted:
            raise
        except HartError:
            return None
        return next((one.image_id for one in images if is_made_from(digest, one.image_id)), None)

    @property
    def problems(self) -> list[str]:
        """Why the image of some nodes could not be compared so far, a sentence for each provider."""
        found = [it.problem for it in self._places.values() if it is not None and it.problem]
        return list(dict.fromkeys(found))

    def problem(self, role: str, provider: str, region: str) -> str:
        """Return why it is not known which image nodes of a role in a place run from; empty if it is known."""
        wanted = self._place(role, provider, region)
        return wanted.problem if wanted else ""

    def _wanted(self, record: Record) -> _Wanted | None:
        if not record.role or record.kind != "minion" or not record.region:
            return None
        return self._place(record.role, record.provider, record.region)

    def _place(self, role: str, provider: str, region: str) -> _Wanted | None:
        place = (role, provider, region)
        if place not in self._places:
            self._places[place] = self._looked_up(*place)
        return self._places[place]

    def _looked_up(self, *place: str) -> _Wanted | None:
        try:
            node = self._example(*place)
        except HartError:
            return None
        return self._with_image(node)

    def _with_image(self, node: Node) -> _Wanted:
        """Return a node as it would be created now, with the digest of the baked image that it would boot."""
        if baked.is_wanted(node) and self._asked is not None and node.provider not in self._asked:
            return _Wanted(node, image_known=False)
        try:
            digest = self._images.digest_of(node)
        except Interrupted:
            raise
        except HartError as error:
            why = f"{node.provider}: it is not known which nodes run from the newest baked image"
            return _Wanted(node, image_known=False, problem=f"{why}: {error}")
        if not digest:  # without an image, no node can be created in place of another one
            return _Wanted(node, image_known=False)
        return _Wanted(replace(node, digest=digest))


def _digest_of(record: Record, instance: Instance | None) -> str | None:
    """Return what a node was made from; None if it is not known."""
    return next((it for it in (record.digest, instance.digest if instance else None) if is_digest(it)), None)
