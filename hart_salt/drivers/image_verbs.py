"""The part of the driver contract that is about images of nodes. Here is what holds for a driver without them."""

from __future__ import annotations

from typing import ClassVar

from hart_salt.base.errors import InvalidRequest
from hart_salt.config.schema import Provider
from hart_salt.model import BakedImage, Instance, NewImage, Price


class ImageVerbs:
    """
    The verbs for images that hart makes of nodes. ``SnapshotSupport`` requires them; see ``Driver`` for the rest.

    An image passes three steps: ``make_image`` begins it, ``baked_image`` reports it until it is available, and
    ``finish_image`` marks it as complete. What has no such mark is half made, whatever its state: ``Driver.leftovers``
    reports it with the kind ``image``, and ``Driver.remove`` deletes it.
    """

    provider: Provider
    #: whether it can make images; see ``SnapshotSupport``
    makes_images: ClassVar[bool] = False
    #: the reason for refusing to make an image, in one sentence
    no_snapshots: ClassVar[str] = "its driver cannot make images of instances"
    #: whether an image can be used in every region of the account, so that it is never copied
    images_everywhere: ClassVar[bool] = False

    def make_image(self, instance: Instance, new: NewImage) -> BakedImage:
        """
        Begin to make an image of a stopped instance, and return its first report, usually ``pending``.

        The driver makes one create call. It contains the name of the image, which has the owner's mark and the batch,
        and the tags, where the API takes them in that call: from then on ``baked_images`` and ``leftovers`` report the
        image, with this batch. The call is never retried blindly: if the outcome is uncertain, the driver looks first.
        It uses ``instance_id``, ``region`` and ``zone`` only.

        Raises ``QuotaExceeded`` if the account can have no more images. ``TemporaryFailure`` with ``uncertain`` set
        means that an image may be in the making.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_snapshots}")

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        """
        Return every image that this master made, half made ones included, from all pages of the list.

        The driver checks the owner itself, whatever filter the API applies. By default, there are none.

        region
            list those that can be used in this region (default: in any region)
        """
        return []

    def baked_image(self, image: BakedImage) -> BakedImage | None:
        """
        Return one image as the provider reports it now, or None if it does not exist.

        It uses ``image_id``, ``name`` and ``regions`` only: some APIs give an image its id when it is available, and
        ``image_id`` is empty until then. hart calls it to wait until an image is available. The default
        implementation searches ``baked_images``.
        """
        return next((one for one in self.baked_images() if _is_same(one, image)), None)

    def finish_image(self, image: BakedImage) -> None:
        """
        Set the mark of a complete image, and the tags that ``make_image`` could not set. Idempotent.

        The tags are those of ``image``: role, batch, digest, release, arch. Raises ``NotFound`` if the image is gone.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_snapshots}")

    def copy_image(self, image: BakedImage, region: str) -> BakedImage:
        """
        Begin to copy an available image to another region, and return the copy: ``pending``, in that region.

        Where the API makes a second image, the copy has an id, the batch and the tags of its own, and no mark of a
        complete image. Where it extends the first image to the region, the copy has the same id. Not called if
        ``images_everywhere``.

        Raises ``InvalidRequest`` if the region cannot have it.
        """
        raise InvalidRequest(f"{self.provider.name}: it cannot copy images to another region")

    def delete_image(self, image: BakedImage) -> None:
        """
        Delete an image and the disk snapshots that belong to it. Idempotent: an absent image is a success.

        It uses ``image_id``, ``name`` and ``regions`` only. An image that is still in the making is deleted too,
        after a bounded wait if the API insists on that.
        """
        raise InvalidRequest(f"{self.provider.name}: {self.no_snapshots}")

    def image_price(self, region: str) -> Price | None:
        """Return what one GB of an image costs in a month, before tax; None if it is not known."""
        return None


def _is_same(one: BakedImage, image: BakedImage) -> bool:
    """Return whether two reports are of one image; without an id, the name decides."""
    return one.image_id == image.image_id if image.image_id else one.name == image.name
