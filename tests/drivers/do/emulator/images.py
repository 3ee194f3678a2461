"""
Images: the vendor's, and those that users make of droplets.

The description at hand lacks the actions of images; they follow the vendor's published reference. The texts of refusals
of these calls are not known.
"""

from __future__ import annotations

from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.do.emulator.state import Action, Droplet, Image, World
from tests.emulation.http import Answer, Request

IMAGE_TYPES = ("distribution", "application")
PENDING = "Image already has a pending event."


@route("GET", "/images")
def list_images(world: World, request: Request) -> Answer:
    """List the images. The query's ``type`` is not the image's own: ``distribution`` selects type ``base``."""
    kind, private, tag = (request.first(word) for word in ("type", "private", "tag_name"))
    if kind not in (None, *IMAGE_TYPES):
        raise Refusal(422, "type must be distribution or application.")
    images = list(world.state.images.values())
    if kind is not None:
        images = [it for it in images if it.type == "base" and kind == "distribution"]
    if private == "true":
        images = [it for it in images if not it.public]
    if tag is not None:
        images = [it for it in images if world.state.tags.get(tag.lower()) in it.tags]
    return answers.page(world, request, "images", images, answers.image)


@route("PUT", "/images/{}")
def rename_image(world: World, request: Request, name: str) -> Answer:
    """Rename an image of the account."""
    image = _own_image(world, name)
    image.name = text(body_of(request), "name")
    return Answer(200, {"image": answers.image(image)})


@route("DELETE", "/images/{}")
def delete_image(world: World, request: Request, name: str) -> Answer:
    """Delete an image of the account."""
    image = _own_image(world, name)
    if image.later:
        raise Refusal(422, PENDING)
    remove(world, image)
    return Answer(204)


def remove(world: World, image: Image) -> None:
    """Remove an image, and the disk that the machines have of it."""
    del world.state.images[image.id]
    world.machines.forget(str(image.id))


@route("POST", "/images")
def import_image(world: World, request: Request) -> Answer:
    """Refuse to import an image from the internet: the test cloud has no such images."""
    raise Refusal(501, "The test cloud imports no images.")


def _image(world: World, name: str) -> Image:
    for image in world.state.images.values():
        if name in (str(image.id), image.slug):
            return image
    raise Refusal(404)


ROUTER.shows("/images", "image", _image, lambda world, it: answers.image(it))


def _own_image(world: World, name: str) -> Image:
    image = _image(world, name)
    if image.public:
        raise Refusal(403, "You are not allowed to change this image.")
    return image


# actions of images


@route("GET", "/images/{}/actions")
def list_image_actions(world: World, request: Request, name: str) -> Answer:
    """List the actions of an image."""
    image = _image(world, name)
    actions = [it for it in world.state.actions.values() if it.resource_id == image.id]
    return answers.page(world, request, "actions", actions, lambda it: answers.action(world, it))


@route("POST", "/images/{}/actions")
def act_on_image(world: World, request: Request, name: str) -> Answer:
    """Begin to transfer an image to another region."""
    image, data = _own_image(world, name), body_of(request)
    kind = text(data, "type")
    if kind != "transfer":
        raise Refusal(501, f"The test cloud does not know the action {kind}.")
    region = text(data, "region")
    if region not in catalogue.OPEN_REGIONS:
        raise Refusal(422, "You specified an invalid region for the transfer.")
    if region in image.regions:
        raise Refusal(422, "The image is already in this region.")
    failed, done = world.settings.fails_image, world.clock() + world.settings.image_after
    image.later.append((done, lambda: None if failed else image.regions.append(region)))
    action = Action(next(world.ids), kind, image.id, region, world.clock(), done, "image", failed)
    world.tick()
    return Answer(201, {"action": answers.action(world, world.record(action))})


# making images


def snapshot(world: World, droplet: Droplet, data: dict[str, Any]) -> float:
    """Begin to make an image of a droplet, and return when that ends: only then, the image exists."""
    limit = world.settings.image_limit
    if limit is not None and sum(image.made for image in world.state.images.values()) >= limit:
        raise Refusal(422, "You have reached your snapshot limit.")
    name, failed, done = data.get("name") or droplet.name, world.settings.fails_image, world.settings.image_after

    def finish() -> None:
        if not failed:
            image = add_snapshot(world, name, droplet.image, [droplet.region])
            image.min_disk_size, image.size_gigabytes = droplet.disk or catalogue.size(droplet.size)["disk"], 2.36
            image.made = True
            world.machines.save(str(droplet.id), str(image.id))

    end = world.clock() + done
    droplet.later.append((end, finish))
    world.tick()
    return end


def add_snapshot(world: World, name: str, base: Image, regions: list[str], image_id: int | None = None) -> Image:
    """Add a snapshot, which is an image with an id and without a slug, and return it."""
    image = Image(
        id=next(world.ids) if image_id is None else image_id,
        name=name,
        slug=None,
        distribution=base.distribution,
        type="snapshot",
        public=False,
        regions=list(regions),
        min_disk_size=base.min_disk_size,
        created=world.clock(),
    )
    world.state.images[image.id] = image
    return image
