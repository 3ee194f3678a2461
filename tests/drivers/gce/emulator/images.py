"""Images: those of the project, which users make of disks, and those of Debian and Ubuntu."""

from __future__ import annotations

from typing import Any

from tests.drivers.gce.emulator import answers
from tests.drivers.gce.emulator.answers import Refusal, invalid, missing, when
from tests.drivers.gce.emulator.create import NAME, check_labels, image_by_link
from tests.drivers.gce.emulator.filter import parse
from tests.drivers.gce.emulator.routes import body_of, repeatable, route
from tests.drivers.gce.emulator.state import Disk, Image, Operation, World, fingerprint
from tests.emulation.http import Answer, Request

#: bytes of an image in its store
ARCHIVED = 1_342_177_280
#: the code and text of an operation that fails
FAILED = ("INTERNAL_ERROR", "The image could not be made of the disk.")


@route("GET", "/global/images", "ImageList")
def list_images(world: World, request: Request, project: str) -> Answer:
    """List the images of one project, including deprecated ones."""
    matches = parse(request.first("filter"))
    shown = [_image(image) for image in world.state.images if image.project == project]
    return answers.listing(world, request, "imageList", [it for it in shown if matches(it)])


@route("GET", "/global/images/{}", "Image")
def get_image(world: World, request: Request, project: str, name: str) -> Answer:
    """Return an image of a project."""
    return Answer(200, _image(_found(world, f"projects/{project}/global/images/{name}")))


@route("GET", "/global/images/family/{}", "Image")
def get_family(world: World, request: Request, project: str, family: str) -> Answer:
    """Return the newest image of a family that is not deprecated."""
    return Answer(200, _image(_found(world, f"projects/{project}/global/images/family/{family}")))


def _found(world: World, path: str) -> Image:
    image = image_by_link(world, path)
    if image is None:
        raise missing(path)
    return image


def _image(it: Image) -> dict[str, Any]:
    shown = {
        "kind": "compute#image", "id": str(it.id), "name": it.name,
        "description": it.description or f"Made from {it.made_of}",
        "status": it.status, "diskSizeGb": str(it.disk_size), "architecture": it.architecture, "sourceType": "RAW",
        "creationTimestamp": when(it.created), "guestOsFeatures": [{"type": feature} for feature in it.features],
        "selfLink": answers.link(f"projects/{it.project}/global/images/{it.name}"),
        "labelFingerprint": fingerprint(it.labels),
    }  # fmt: skip
    is_made = bool(it.source) and it.status == "READY"
    return {
        **shown,
        **({"family": it.family} if it.family else {}),
        **({"labels": it.labels} if it.labels else {}),
        **({"archiveSizeBytes": str(ARCHIVED)} if is_made else {}),
        **({"sourceDisk": answers.link(f"projects/{it.project}/{it.source}")} if it.source else {}),
        **({"deprecated": {"state": "DEPRECATED"}} if it.deprecated else {}),
    }


# make


@route("POST", "/global/images", body="Image")
@repeatable
def insert(world: World, request: Request, project: str) -> Operation:
    """Begin to make an image of a disk that no running instance uses; it exists at once, and is pending."""
    body, state, settings = body_of(request, "Image"), world.state, world.settings
    for field in ("name", *(["family"] if "family" in body else [])):
        if not NAME.fullmatch(body.get(field, "")):
            raise invalid(f"resource.{field}", body.get(field, ""), f"Must be a match of regex '{NAME.pattern}'")
    check_labels("resource.labels", body.get("labels", {}))
    path = f"projects/{project}/global/images/{body['name']}"
    if image_by_link(world, path) is not None:
        raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
    disk = _disk(world, project, body.get("sourceDisk", ""))
    limit = settings.image_limit
    if limit is not None and sum(bool(it.source) for it in state.images) >= limit:
        raise Refusal(403, f"Quota 'IMAGES' exceeded. Limit: {limit}.0", "quotaExceeded")
    number = next(world.ids)
    image = Image(
        id=number, project=project, name=body["name"], family=body.get("family", ""), made_of=str(number),
        architecture=disk.architecture, created=world.clock(), disk_size=disk.size, status="PENDING",
        description=body.get("description", ""), labels=body.get("labels", {}),
        source=f"zones/{disk.zone}/disks/{disk.name}",
    )  # fmt: skip
    state.images.append(image)
    world.machines.save(str(disk.user), image.made_of)
    return _make(world, image, fails=settings.fails_image)


def _make(world: World, image: Image, *, fails: bool) -> Operation:
    def end() -> None:
        image.status = "FAILED" if fails else "READY"
        if fails and world.settings.drops_failed_images:
            _drop(world, image)

    after = max(world.settings.image_after, world.settings.operation_after)
    operation = world.begin("insert", "global", f"global/images/{image.name}", image.id, after, end)
    operation.errors = [FAILED] if fails else []
    return operation


def _disk(world: World, project: str, link: str) -> Disk:
    """Return the source of a new image. The API refuses a disk that a running instance uses."""
    found = [it for it in world.state.disks.values() if link.endswith(f"zones/{it.zone}/disks/{it.name}")]
    if not found:
        raise invalid("resource.sourceDisk", link, "The referenced disk resource cannot be found.")
    (disk,) = found
    user = world.state.instances.get(disk.user or 0)
    if user is None:
        raise invalid("resource.sourceDisk", link, "Here, only the disk of an instance has any content.")
    place = f"projects/{project}/zones/{disk.zone}"
    if user.is_busy() or user.deleting:
        raise Refusal(400, f"The resource '{place}/instances/{user.name}' is not ready", "resourceNotReady")
    if not user.stopped:
        why = f"The disk resource '{place}/disks/{disk.name}' is already being used by '{place}/instances/{user.name}'"
        raise Refusal(400, why, "resourceInUseByAnotherResource")
    return disk


# change, delete


@route("POST", "/global/images/{}/setLabels", body="GlobalSetLabelsRequest")
@repeatable
def set_labels(world: World, request: Request, project: str, name: str) -> Operation:
    """Replace all labels of an image."""
    image = _found(world, f"projects/{project}/global/images/{name}")
    body = body_of(request, "GlobalSetLabelsRequest")
    if body.get("labelFingerprint") != fingerprint(image.labels):
        raise Refusal(412, "Labels fingerprint either invalid or resource labels have changed", "conditionNotMet")
    labels = body.get("labels", {})
    check_labels("labels", labels)
    return _begin(world, "setLabels", image, lambda: setattr(image, "labels", labels))


@route("DELETE", "/global/images/{}")
@repeatable
def delete_image(world: World, request: Request, project: str, name: str) -> Operation:
    """Delete an image, which exists until the operation has ended; one that is being made is refused."""
    path = f"projects/{project}/global/images/{name}"
    image = _found(world, path)
    if image.status in ("PENDING", "DELETING"):
        raise Refusal(400, f"The resource '{path}' is not ready", "resourceNotReady")
    image.status = "DELETING"
    return _begin(world, "delete", image, lambda: _drop(world, image))


def _begin(world: World, kind: str, image: Image, effect: Any) -> Operation:
    after = world.settings.operation_after
    return world.begin(kind, "global", f"global/images/{image.name}", image.id, after, effect)


def _drop(world: World, image: Image) -> None:
    world.state.images.remove(image)
    world.machines.forget(image.made_of)
