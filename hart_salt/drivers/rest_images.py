"""
Images that hart makes of instances: what the drivers for JSON APIs have in common.

A vendor's class knows how its API names, marks and lists an image; ``RestImages`` has the order of the calls, the
lookup after a lost answer, and the bounded waits.
"""

from __future__ import annotations

import abc
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from hart_salt.base.errors import AuthError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry
from hart_salt.drivers.catalog import ODD, readable, required
from hart_salt.drivers.images import KIND, Imaged, Images
from hart_salt.drivers.retry import Busy, StillThere
from hart_salt.model import IMAGE_PENDING, BakedImage, Instance, Leftover, NewImage

Report = Mapping[str, Any]  #: an image as the API reports it

log = logging.getLogger(__name__)


class RestImages(Images):
    """The images of one account. The abstract methods are the vendor's calls."""

    vendor: ClassVar[str]
    #: the path of the images in the API, and the field of an answer that holds one image
    path: ClassVar[str]
    field: ClassVar[str]
    #: the form of an image's id: any other text could become another call
    id_pattern: ClassVar[re.Pattern[str]]

    def __init__(self, api: Callable[[], Any], owner: str, sleep: Callable[[float], None]) -> None:
        """
        Store the arguments; make no call.

        api
            returns the API's client, which it makes on the first call
        owner
            this master's mark in its images
        """
        self._get_api = api
        self._owner = owner
        self._sleep = sleep

    @property
    def _api(self) -> Any:
        return self._get_api()

    # the vendor's calls

    @abc.abstractmethod
    def begin(self, instance: Instance, new: NewImage) -> Report:
        """Make the create call, and return the report of the image in its answer."""

    @abc.abstractmethod
    def reports(self) -> list[dict[str, Any]]:
        """Return all pages of the account's images, at least those of this master."""

    @abc.abstractmethod
    def read(self, report: Report) -> BakedImage | None:
        """Convert a report; None if the image is not this master's or is gone. Only the id must be there."""

    @abc.abstractmethod
    def is_gone(self, report: Report) -> bool:
        """Return whether a report is that of a deleted image."""

    @abc.abstractmethod
    def mark(self, image: BakedImage) -> None:
        """Set the tags of an image and the mark of a complete one. Raises ``NotFound`` if it is gone."""

    # the verbs of ``Driver``

    def make(self, instance: Instance, new: NewImage) -> BakedImage:
        """
        Implement ``Driver.make_image``. While the instance is locked, make the call again for about three minutes.

        An image whose marks the vendor did not keep would never be found again: it is deleted at once.
        """
        try:
            report = retry.again(
                lambda: self.begin(instance, new), Busy, self._sleep, retry.TERMINATE_ATTEMPTS, retry.TERMINATE_WAIT
            )
            made = self._read(report)
        except TemporaryFailure as error:
            found = retry.look(lambda: self._named(new), self._sleep) if error.uncertain else None
            if found is None:
                raise
            return found
        if made is None or not _is_of(made, new):
            self._delete(str(report["id"]))
            raise InvalidRequest(
                f"{self.vendor} did not keep the marks by which hart knows the image {new.name}: hart deleted the image"
            )
        return made

    def _named(self, new: NewImage) -> BakedImage | None:
        return next((one for one in self.all() if _is_of(one, new)), None)

    def all(self, region: str | None = None) -> list[BakedImage]:
        """Implement ``Driver.baked_images``. Each image can be used in every region."""
        return [one for one in readable(self.reports(), self._required) if one is not None]

    def _required(self, report: Report) -> BakedImage | None:
        required(report, "id")
        return self.read(report)

    def _read(self, report: Report) -> BakedImage | None:
        """Convert a report like ``read``. Raises ``TemporaryFailure`` if it has no id or cannot be read."""
        try:
            return self._required(report)
        except ODD as error:
            raise TemporaryFailure(
                f"{self.vendor}: the report of an image cannot be read ({error!r})", uncertain=True
            ) from error

    def one(self, image: BakedImage) -> BakedImage | None:
        """Implement ``Driver.baked_image``, with one call."""
        if image.image_id:
            return self._by_id(image.image_id)
        return next((one for one in self.all() if one.name == image.name), None)

    def _by_id(self, image_id: str) -> BakedImage | None:
        report = self._report(image_id)
        return None if report is None else self._read(report)

    def _report(self, image_id: str) -> Report | None:
        """Return the report of any image of the account that exists, or None."""
        if not self.id_pattern.fullmatch(image_id):
            return None
        try:
            report: Report = self._api.get(f"{self.path}/{image_id}", self.field)
        except NotFound:
            return None
        return None if self.is_gone(report) else report

    def finish(self, image: BakedImage) -> None:
        """Implement ``Driver.finish_image``."""
        if not self.id_pattern.fullmatch(image.image_id):
            raise NotFound(f"{self.vendor}: there is no image {image.image_id}")
        self.mark(image)

    def delete(self, image: BakedImage) -> None:
        """Implement ``Driver.delete_image``. While the vendor refuses it, try again for about three minutes."""
        image_id = image.image_id or getattr(self.one(image), "image_id", "")
        if self.id_pattern.fullmatch(image_id):
            self._delete(image_id)

    def _delete(self, image_id: str) -> None:
        retry.until_gone(lambda: self._delete_once(image_id), self._sleep)

    def _delete_once(self, image_id: str) -> None:
        try:
            self._api.delete(f"{self.path}/{image_id}")
        except InvalidRequest as error:
            # The texts of refusals during the creation are not known.
            found = self._by_id(image_id)
            if found is not None and found.state == IMAGE_PENDING:
                raise StillThere(str(error)) from error
            if self._report(image_id) is not None:
                raise
        else:
            if self._report(image_id) is not None:
                raise StillThere(f"{self.vendor}: the image {image_id} is still there after it was deleted")

    def leftovers(self) -> list[Leftover]:
        """
        Return the half-made images of this master, for ``Driver.leftovers``.

        Credentials that cannot list images cannot make them either: then there are none.
        """
        try:
            images = self.all()
        except AuthError as error:
            log.info("half-made images are not looked for: %s", error)
            return []
        return [
            Leftover(KIND, one.name, f"{self.path}/{one.image_id}", one.batch, created=one.created)
            for one in images
            if not one.complete
        ]

    def remove(self, leftover: Leftover) -> bool:
        """Delete a half-made image. One that is complete by now stays: another call has finished it."""
        if leftover.kind != KIND:
            return False
        image_id = leftover.handle.removeprefix(f"{self.path}/")
        found = self._by_id(image_id)
        if found is not None and not found.complete:
            self._delete(image_id)
        return True


class RestImaged(Imaged):
    """A driver whose images can be used in every region, and whose half-made ones are among its leftovers."""

    images_everywhere: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def _images(self) -> RestImages:
        """The images of the account."""

    def leftovers(self) -> list[Leftover]:
        """Return the half-made images too."""
        return [*super().leftovers(), *self._images.leftovers()]

    def remove(self, leftover: Leftover) -> None:
        """Delete a half-made image, or another leftover."""
        if not self._images.remove(leftover):
            super().remove(leftover)


def _is_of(one: BakedImage, new: NewImage) -> bool:
    return (one.name, one.batch) == (new.name, new.batch)
