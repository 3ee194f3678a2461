"""
Images that hart makes of instances: the object that implements the verbs for a driver, and the driver that has one.

A directory belongs to a driver as a whole, so the driver ``local`` implements the verbs itself.
"""

from __future__ import annotations

import abc

from hart_salt.drivers.capabilities import SnapshotSupport
from hart_salt.model import BakedImage, Instance, Leftover, NewImage, Price

#: the kind of a half-made image among the leftovers
KIND = "image"


class Images(abc.ABC):
    """The images of one account. Its methods implement verbs of ``Driver``."""

    @abc.abstractmethod
    def make(self, instance: Instance, new: NewImage) -> BakedImage:
        """Implement ``Driver.make_image``."""

    @abc.abstractmethod
    def all(self, region: str | None) -> list[BakedImage]:
        """Implement ``Driver.baked_images``."""

    @abc.abstractmethod
    def one(self, image: BakedImage) -> BakedImage | None:
        """Implement ``Driver.baked_image``."""

    @abc.abstractmethod
    def finish(self, image: BakedImage) -> None:
        """Implement ``Driver.finish_image``."""

    @abc.abstractmethod
    def delete(self, image: BakedImage) -> None:
        """Implement ``Driver.delete_image``."""

    @abc.abstractmethod
    def leftovers(self) -> list[Leftover]:
        """Return the half-made images of this master, and what is left of deleted ones."""

    @abc.abstractmethod
    def remove(self, leftover: Leftover) -> bool:
        """Remove one of ``leftovers``. Return False, and do nothing, for a leftover of another kind."""


class RegionalImages(Images):
    """The images of one account, each of which is in one region."""

    @abc.abstractmethod
    def copy(self, image: BakedImage, region: str) -> BakedImage:
        """Implement ``Driver.copy_image``."""

    @abc.abstractmethod
    def price(self, region: str) -> Price | None:
        """Implement ``Driver.image_price``."""


class Imaged(SnapshotSupport):
    """A driver whose object ``_images`` implements the verbs."""

    @property
    @abc.abstractmethod
    def _images(self) -> Images:
        """The images of the account."""

    def make_image(self, instance: Instance, new: NewImage) -> BakedImage:
        """Implement ``Driver.make_image``."""
        return self._images.make(instance, new)

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        """Implement ``Driver.baked_images``."""
        return self._images.all(region)

    def baked_image(self, image: BakedImage) -> BakedImage | None:
        """Implement ``Driver.baked_image``."""
        return self._images.one(image)

    def finish_image(self, image: BakedImage) -> None:
        """Implement ``Driver.finish_image``."""
        self._images.finish(image)

    def delete_image(self, image: BakedImage) -> None:
        """Implement ``Driver.delete_image``."""
        self._images.delete(image)


class RegionallyImaged(Imaged):
    """A driver whose images are in one region each."""

    @property
    @abc.abstractmethod
    def _images(self) -> RegionalImages:
        """The images of the account."""

    def copy_image(self, image: BakedImage, region: str) -> BakedImage:
        """Implement ``Driver.copy_image``."""
        return self._images.copy(image, region)

    def image_price(self, region: str) -> Price | None:
        """Implement ``Driver.image_price``."""
        return self._images.price(region)
