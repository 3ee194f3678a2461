"""What is known of the baked images of fleets that bake them: from providers, records and locks. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from hart_salt.base.errors import DriverError
from hart_salt.base.names import is_bake_of
from hart_salt.config.loader import Config
from hart_salt.fleets.baking import Images
from hart_salt.fleets.scene import Spec
from hart_salt.fleets.spec import baking_regions
from hart_salt.inventory.locks import Look
from hart_salt.inventory.records import BAKE, Record
from hart_salt.model import BakedImage, Node
from hart_salt.operations.baked_images import BakedImages
from hart_salt.operations.drift import Example
from hart_salt.planning.baked import REQUIRED


class ImageLook:
    """Looks at the images of roles. Each provider is asked once."""

    def __init__(
        self, config: Config, example: Example, digest: Callable[[Node], str], images: BakedImages
    ) -> None:  # fmt: skip
        """
        Keep the arguments.

        ``example`` returns a node as it would be created now, and ``digest`` what an image of such a node would be made
        from.
        """
        self._config = config
        self._example = example
        self._digest = digest
        self._images = images

    def regions(self, spec: Spec) -> tuple[str, ...]:
        """Return where the images of a fleet's role are needed: they are made in the first region."""
        return baking_regions(self._config, spec, lambda role, provider: self._example(role, provider, None).region)

    def images(self, spec: Spec) -> Images:
        """Return what is known of the images of a fleet. Raises ``HartError`` if the provider cannot say it."""
        region = self.regions(spec)[0]
        digest = self._digest(self._example(spec.role, spec.provider, region))
        nodes = {it: self._example(spec.role, spec.provider, it) for it in spec.regions}
        required = frozenset(it for it, node in nodes.items() if node.settings.image == REQUIRED)
        return Images(region, {it: self._newest(node) for it, node in nodes.items()}, digest, required)

    def running(self, spec: Spec, baking: Iterable[Record], locks: Look) -> bool:
        """
        Return whether a living call bakes the role of a fleet, with a node or with an image that it copies.

        ``baking`` are the records of bakes. Raises ``HartError`` if the provider cannot list its images.
        """
        own = (one for one in baking if one.provider == spec.provider and is_bake_of(one.minion_id, spec.role))
        return any(locks.busy(one.minion_id) for one in own) or any(
            locks.batch_lives(one.batch) for one in self._of_role(spec)
        )

    def batches(self, specs: Iterable[Spec]) -> set[str]:
        """Return the batches that made the images of these fleets, as far as they are known."""
        found: set[str] = set()
        for spec in specs:
            with suppress(DriverError):
                found |= {one.batch for one in self._of_role(spec)}
        return found

    def _newest(self, node: Node) -> BakedImage | str:
        return self._images.newest(node) or self._images.why_none(node)

    def _of_role(self, spec: Spec) -> Sequence[BakedImage]:
        return [one for one in self._images.of(spec.provider) if one.role == spec.role and one.batch]


def bakes(records: Iterable[Record]) -> list[Record]:
    """Return the records of nodes that exist only until there is an image of them."""
    return [one for one in records if one.kind == BAKE]
