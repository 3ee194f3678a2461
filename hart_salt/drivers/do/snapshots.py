"""
Images that hart makes of droplets: DigitalOcean's snapshots.

The call that makes a snapshot is an action of the droplet and has no field but the name; the answer has no id. The
snapshot is listed when the action has completed, and only then it can get tags. So hart marks the droplet with the
name of the image before the call (``BAKING``, ``IMAGE``), and the name of the snapshot ends with this master's id: from
the first call on, each later call of hart finds the image. Facts about the API come from DigitalOcean's own description
(digitalocean/openapi at 7c1300c: resources/droplets, images, actions, tags).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import tenacity

from hart_salt.base.errors import DriverError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers import retry, tags
from hart_salt.drivers.catalog import ODD, number, required
from hart_salt.drivers.do.addresses import PENDING
from hart_salt.drivers.images import KIND, RegionalImages
from hart_salt.drivers.retry import Busy, StillThere
from hart_salt.model import (
    IMAGE_AVAILABLE,
    IMAGE_FAILED,
    IMAGE_PENDING,
    BakedImage,
    Instance,
    Leftover,
    NewImage,
    Price,
)

#: names of the tags of a droplet of which an image is being made: with the owner, and with owner and name of the image
BAKING, IMAGE = "hart-baking", "hart-image"
ID = re.compile("[0-9]+")
#: states of an image that does not exist any more
GONE = ("deleted", "retired")
#: dollars for one GB and month, in however many regions it is
#: (docs.digitalocean.com/products/images/snapshots/details/pricing)
PRICE = 0.06
#: looks at an action that must end before its image can be deleted: about 15 minutes
ATTEMPTS = 95
WAIT = tenacity.wait_exponential(multiplier=1, max=10)

Report = Mapping[str, Any]


class DropletImages(RegionalImages):
    """The baked images of one account that belong to one master."""

    def __init__(
        self, api: Callable[[], Any], owner: str, tagged: Callable[[str], list[dict[str, Any]]],
        sleep: Callable[[float], None],
    ) -> None:  # fmt: skip
        """
        Store the arguments; make no call.

        api
            returns the API's client, which it makes on the first call
        tagged
            returns the droplets that have a tag
        """
        self._get_api = api
        self._owner = owner
        self._tagged = tagged
        self._sleep = sleep
        #: ids of the actions that copy images, by image id and region: an action does not say where it copies to
        self._copying: dict[tuple[str, str], Any] = {}

    @property
    def _api(self) -> Any:
        return self._get_api()

    # names and tags

    @property
    def _suffix(self) -> str:
        return f"-{self._owner}"

    def _mark(self, name: str) -> str:
        """Return the tag of a droplet of which the image ``name`` is being made."""
        return f"{IMAGE}:{self._owner}:{name}"

    def _digest_tag(self, image: BakedImage) -> str:
        """Return the tag with the digest. It is unique, so that it can be deleted with the image: tags outlive them."""
        return f"{tags.DIGEST}:{self._owner}:{image.batch}:{image.digest}"

    def batch_of_tag(self, tag: str) -> str:
        """Return the batch that a tag of one image contains; empty if the tag is none of this master's."""
        kind, _, rest = tag.partition(f":{self._owner}:")
        if kind == IMAGE:
            return _batch(rest)
        batch, _, digest = rest.partition(":")
        return batch if kind == tags.DIGEST and digest else ""

    def _tags_of(self, image: BakedImage) -> list[str]:
        """Return the tags of a complete image; the mark comes last."""
        marks = tags.image_marks(image)
        digest = [self._digest_tag(image)] if marks.pop(tags.DIGEST, "") else []
        role = [f"hart-role:{_flat(image.role)}"] if image.role else []
        own = ["hart", f"hart-owner:{self._owner}", *role, *digest]
        return [*own, *(f"{name}:{_flat(value)}" for name, value in marks.items()), tags.COMPLETE]

    def _tag(self, kind: str, resource_id: str, tag: str) -> None:
        self._api.add("tags", {"name": tag})  # success if it exists
        body = {"resources": [{"resource_id": resource_id, "resource_type": kind}]}
        self._api.add(f"tags/{tag}/resources", body)

    # making

    def make(self, instance: Instance, new: NewImage) -> BakedImage:
        """Implement ``Driver.make_image``. Wait about three minutes while another action is in progress."""
        begun = BakedImage(
            "", new.name, IMAGE_PENDING, role=new.role, batch=new.batch, digest=new.digest, release=new.release,
            arch=new.arch, regions=(new.region,),
        )  # fmt: skip
        try:
            return self._begin(instance.instance_id, begun)
        except DriverError as error:
            if not getattr(error, "uncertain", False):
                with contextlib.suppress(DriverError):
                    self._api.delete(f"tags/{self._mark(new.name)}")
            raise

    def _begin(self, droplet: str, begun: BakedImage) -> BakedImage:
        """Mark the droplet, and make the create call. If its answer is lost, look whether there is an image."""
        for tag in (self._mark(begun.name), f"{BAKING}:{self._owner}"):
            self._tag("droplet", droplet, tag)
        try:
            self._ask(droplet, begun.name)
        except TemporaryFailure as error:
            found = retry.look(lambda: self._begun(droplet, begun), self._sleep) if error.uncertain else None
            if found is None:
                raise
            return found
        return begun

    def _ask(self, droplet: str, name: str) -> None:
        body = {"type": "snapshot", "name": f"{name}{self._suffix}"}

        def ask() -> None:
            try:
                self._api.post(f"droplets/{droplet}/actions", body, "action")
            except InvalidRequest as error:
                if PENDING in str(error):
                    raise Busy(str(error)) from error
                raise

        retry.again(ask, Busy, self._sleep, retry.TERMINATE_ATTEMPTS, retry.TERMINATE_WAIT)

    def _begun(self, droplet: str, begun: BakedImage) -> BakedImage | None:
        """Return an image whose create call got no answer, if it exists or is in the making."""
        newest = self._newest(f"droplets/{droplet}/actions", "snapshot")
        return begun if newest and newest.get("status") == "in-progress" else self._listed_as(begun.name)

    def _listed_as(self, name: str) -> BakedImage | None:
        return next((one for one in self._listed() if one.name == name), None)

    def _newest(self, path: str, kind: str, known: Any = None) -> Report | None:
        """Return the action with the id ``known``, or else the newest of its kind; None if there was none."""
        try:
            actions = [one for one in self._api.listed(path, "actions") if one.get("type") == kind]
        except NotFound:
            return None
        chosen = [one for one in actions if one["id"] == known] or actions
        return max(chosen, key=lambda one: int(one["id"]), default=None)

    # reports

    def all(self, region: str | None = None) -> list[BakedImage]:
        """Implement ``Driver.baked_images``, with a list of the account's images and one of its marked droplets."""
        announced = list(self._announced())  # first: what is made in between must be in one of the lists
        listed = self._listed()
        names = {one.name for one in listed}
        found = [*listed, *(one for one in announced if one.name not in names)]
        return [one for one in found if region is None or region in one.regions]

    def _listed(self) -> list[BakedImage]:
        """Return the images that exist. The list has no filter: one without tags must be in it."""
        listed = self._api.listed("images", "images", private="true")
        own = (one for one in listed if isinstance(one, dict) and self._is_own(one))
        return [self._read(one) for one in own if one.get("status") not in GONE]

    def _is_own(self, report: Report) -> bool:
        """Return whether this master made an image: by its name, or, if it is complete, by its tags."""
        given = report.get("tags") or []
        name = str(report.get("name") or "")
        made = name.startswith("hart-") and name.endswith(self._suffix)
        return made or (f"hart-owner:{self._owner}" in given and tags.COMPLETE in given)

    def _announced(self) -> Iterator[BakedImage]:
        """Yield the images that marks of droplets name, if they are in the making or were given up."""
        prefix = self._mark("")
        for droplet in self._tagged(f"{BAKING}:{self._owner}"):
            names = [tag.removeprefix(prefix) for tag in droplet.get("tags") or [] if tag.startswith(prefix)]
            action = self._newest(f"droplets/{droplet['id']}/actions", "snapshot") if names else None
            # The image of a completed action is listed, or is gone.
            if not action or action.get("status") != "completed":
                yield from (self._in_the_making(droplet, action, name) for name in names)

    def _in_the_making(self, droplet: Report, action: Report | None, name: str) -> BakedImage:
        status = (action or {}).get("status")
        region = (droplet.get("region") or {}).get("slug")
        problem = "" if status == "in-progress" else _ended("snapshot", status)
        return BakedImage(
            "", name, IMAGE_FAILED if problem else IMAGE_PENDING, batch=_batch(name), problem=problem,
            regions=(region,) if region else (), created=tags.seconds((action or {}).get("started_at")),
        )  # fmt: skip

    def _read(self, report: Report) -> BakedImage:
        """
        Convert a report.

        Raises ``TemporaryFailure`` if it cannot be read: the image would count as gone.
        """
        try:
            return self._converted(report)
        except ODD as error:
            raise TemporaryFailure(
                f"DigitalOcean: the report of the image {report.get('id') or report.get('name')} cannot be read "
                f"({error!r})", uncertain=True,
            ) from error  # fmt: skip

    def _converted(self, report: Report) -> BakedImage:
        given: Sequence[str] = report.get("tags") or []
        values = tags.values(given)
        name = str(report.get("name") or "")
        made = name.endswith(self._suffix)
        status, problem = report.get("status") or "available", str(report.get("error_message") or "").strip()
        return BakedImage(
            image_id=str(required(report, "id")),
            name=name.removesuffix(self._suffix),
            state=IMAGE_AVAILABLE if status == "available" else IMAGE_FAILED if problem else IMAGE_PENDING,
            complete=tags.COMPLETE in given,
            role=values.get("hart-role", "").replace(":", ".") or None,
            batch=_batch(name.removesuffix(self._suffix)) if made else self._batch_in(given),
            digest=tags.digest_in(values.get(tags.DIGEST, "").rpartition(":")[2]),
            release=values.get(tags.RELEASE, "").replace(":", ".") or None,
            arch=values.get(tags.ARCH, ""),
            regions=tuple(report.get("regions") or ()),
            created=tags.seconds(report.get("created_at")),
            size_gb=number(report.get("size_gigabytes")),
            disk_gb=number(report.get("min_disk_size")),
            problem="" if status == "available" else problem,
        )

    def _batch_in(self, given: Sequence[str]) -> str:
        """Return the batch of an image that somebody gave another name."""
        return next(filter(None, map(self.batch_of_tag, given)), "")

    def one(self, image: BakedImage) -> BakedImage | None:
        """Implement ``Driver.baked_image``, with one call if it has an id. A copy is pending until it is there."""
        if not image.image_id:
            return next((one for one in self.all() if one.name == image.name), None)
        report = self._report(image.image_id)
        if report is None:
            return None
        found = self._read(report)
        missing = [region for region in image.regions if region not in found.regions]
        return replace(found, **self._copied(image.image_id, missing[0])) if missing else found

    def _report(self, image_id: str) -> Report | None:
        if not ID.fullmatch(image_id):
            return None
        try:
            report: Report = self._api.get(f"images/{image_id}", "image")
        except NotFound:
            return None
        return None if report.get("status") in GONE else report

    # copies

    def copy(self, image: BakedImage, region: str) -> BakedImage:
        """Implement ``Driver.copy_image``: the image keeps its id, and gets another region."""
        report = self._report(image.image_id)
        if report is None:
            raise NotFound(f"DigitalOcean: there is no image {image.image_id}")
        if region not in (report.get("regions") or ()):
            self._copying[image.image_id, region] = self._transfer(image.image_id, region)
        return replace(self._read(report), state=IMAGE_PENDING, regions=(region,))

    def _transfer(self, image_id: str, region: str) -> Any:
        """Start the action, and return its id."""
        path = f"images/{image_id}/actions"
        try:
            return self._api.post(path, {"type": "transfer", "region": region}, "action").get("id")
        except TemporaryFailure as error:
            found = retry.look(lambda: self._transferring(path), self._sleep) if error.uncertain else None
            if found is None:
                raise
            return found["id"]

    def _transferring(self, path: str) -> Report | None:
        found = self._newest(path, "transfer")
        return found if found and found.get("status") != "errored" else None

    def _copied(self, image_id: str, region: str) -> dict[str, Any]:
        """Return the state of an image in a region that does not have it."""
        action = self._newest(f"images/{image_id}/actions", "transfer", self._copying.get((image_id, region)))
        status = (action or {}).get("status")
        problem = _ended("transfer", status) if status == "errored" else ""
        return {"state": IMAGE_FAILED if problem else IMAGE_PENDING, "problem": problem, "regions": (region,)}

    # completion and end

    def finish(self, image: BakedImage) -> None:
        """Implement ``Driver.finish_image``, with two calls for each tag that it lacks."""
        report = self._report(image.image_id)
        if report is None:
            raise NotFound(f"DigitalOcean: there is no image {image.image_id or image.name}")
        for tag in self._tags_of(image):
            if tag not in (report.get("tags") or []):
                self._tag("image", image.image_id, tag)
        self._api.delete(f"tags/{self._mark(self._read(report).name)}")

    def delete(self, image: BakedImage) -> None:
        """Implement ``Driver.delete_image``. Wait up to 15 minutes for the end of the action that makes it."""
        if image.image_id and not ID.fullmatch(image.image_id):
            return
        image_id = image.image_id or self._made(image.name)
        own = [self._mark(image.name)] if image.name else []
        if image_id:
            report = self._report(image_id) or {}
            own += [tag for tag in report.get("tags") or [] if self.batch_of_tag(tag)]
            retry.until_gone(lambda: self._delete_once(image_id), self._sleep)
        for tag in own:
            self._api.delete(f"tags/{tag}")

    def _made(self, name: str) -> str:
        """
        Return the id of an image by its name, once it is made; empty if there is none.

        Raises ``StillThere`` if it is still in the making after 15 minutes.
        """

        def find() -> BakedImage | None:
            found = next((one for one in self.all() if one.name == name), None)
            if found and found.state == IMAGE_PENDING and not found.image_id:
                raise StillThere(f"DigitalOcean: the image {name} is still in the making, so it cannot be deleted yet")
            return found

        found = retry.again(find, StillThere, self._sleep, ATTEMPTS, WAIT)
        if found is None:  # a list may show a new image late
            self._sleep(retry.LOOK_INTERVAL)
            found = self._listed_as(name)
        return found.image_id if found else ""

    def _delete_once(self, image_id: str) -> None:
        try:
            self._api.delete(f"images/{image_id}")
        except InvalidRequest as error:
            if PENDING not in str(error):
                raise
            raise StillThere(str(error)) from error
        if self._report(image_id) is not None:
            raise StillThere(f"DigitalOcean: the image {image_id} is still there after it was deleted")

    def leftovers(self) -> list[Leftover]:
        """Return the images without the mark of a complete one."""
        return [
            Leftover(KIND, one.name, one.image_id, one.batch, created=one.created)
            for one in self.all()
            if not one.complete
        ]

    def remove(self, leftover: Leftover) -> bool:
        """Delete a half-made image. One that is complete by now stays: another call has finished it."""
        if leftover.kind != KIND:
            return False
        image = BakedImage(leftover.handle, leftover.name, IMAGE_PENDING)
        found = self.one(image)
        if found is None or not found.complete:
            self.delete(image)
        return True

    def price(self, region: str) -> Price | None:
        """Return the price of DigitalOcean's list; its API has none."""
        return Price(PRICE)


def _batch(name: str) -> str:
    """Return the batch with which the name of an image ends."""
    return name.rpartition("-")[2]


def _flat(text: str | None) -> str:
    """Replace dots by colons: tags cannot contain dots."""
    return (text or "").replace(".", ":")


def _ended(kind: str, status: str | None) -> str:
    """Return why an image was given up. DigitalOcean does not say why an action ended with an error."""
    return f"DigitalOcean: the action {kind} {'ended with an error' if status == 'errored' else 'never began'}"
