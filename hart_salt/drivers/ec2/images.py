"""The AMI for the setting ``image``: a code name stands for the newest image of the distribution's own account."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.base.text import suggestion
from hart_salt.drivers import tags
from hart_salt.drivers.catalog import readable, required
from hart_salt.drivers.ec2.client import Api
from hart_salt.drivers.ec2.request import filters
from hart_salt.model import Image

DEBIAN, CANONICAL = "136693071363", "099720109477"  #: accounts; anyone can publish an image with such a name
#: EC2's names of architectures, and Debian's
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
AMI = re.compile(r"ami-[0-9a-f]{8,17}")
#: the filter for images that hart can use
USABLE: Mapping[str, str] = {"state": "available", "virtualization-type": "hvm", "root-device-type": "ebs"}


@dataclass(frozen=True)
class Release:
    """The owner of a release's images, and the pattern of their names."""

    owner: str
    pattern: str

    def filter(self, architecture: str) -> str:
        """Return the name with wildcards, for a filter of the API."""
        return self.pattern.format(architecture=ARCHITECTURES[architecture], build="*")

    def has(self, name: str, architecture: str) -> bool:
        """Return whether an image is the release itself, and not a variant with a longer name."""
        pieces = [re.escape(piece) for piece in self.filter(architecture).split("*")]
        return re.fullmatch(r"[\d.-]+".join(pieces), name) is not None


#: (wiki.debian.org/Cloud/AmazonEC2Image, documentation.ubuntu.com/aws)
RELEASES: Mapping[str, Release] = {
    "bookworm": Release(DEBIAN, "debian-12-{architecture}-{build}"),
    "trixie": Release(DEBIAN, "debian-13-{architecture}-{build}"),
    "jammy": Release(CANONICAL, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{architecture}-server-{build}"),
    "noble": Release(CANONICAL, "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-{build}"),
    "resolute": Release(CANONICAL, "ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{architecture}-server-{build}"),
}


def find(api: Api, region: str, setting: str, architecture: str) -> Mapping[str, Any]:
    """
    Return EC2's description of the image for a setting: a code name, an id, or the name of the account's own image.

    architecture
        of the instance, ``x86_64`` or ``arm64``

    Raises ``InvalidRequest`` if there is no such image for the architecture.
    """
    found = [image for image in _candidates(api, region, setting, architecture) if image.get("ImageId")]
    if not found:
        near = suggestion(setting, RELEASES)
        raise InvalidRequest(f"there is no bootable image {setting} for {architecture} in {region}{near}")
    image: Mapping[str, Any] = _newest(found)
    if image.get("Architecture") != architecture:
        raise InvalidRequest(
            f"the image {setting} is for {image.get('Architecture')}, but instances of that size are {architecture}"
        )
    if not image.get("RootDeviceName"):
        raise InvalidRequest(f"the image {setting} does not name its root volume")
    return image


def _candidates(api: Api, region: str, setting: str, architecture: str) -> list[Any]:
    release = RELEASES.get(setting)
    if release is not None:
        fields = {**USABLE, "name": release.filter(architecture), "architecture": architecture}
        offered = _listed(api, region, Owners=[release.owner], Filters=filters(fields))
        return [image for image in offered if release.has(image.get("Name") or "", architecture)]
    if AMI.fullmatch(setting):
        return _listed(api, region, ImageIds=[setting])
    return _listed(api, region, Owners=["self"], Filters=filters({"state": "available", "name": setting}))


def offered(api: Api, region: str) -> Sequence[Image]:
    """Return the releases by their code names, and the account's own images by their ids."""
    # The images for x86-64 stand for both architectures: a release has both or none.
    wanted = {name: release.filter("x86_64") for name, release in RELEASES.items()}
    fields = {**USABLE, "architecture": "x86_64"}
    named = [*filters(fields), {"Name": "name", "Values": list(wanted.values())}]
    public = _listed(api, region, Owners=[DEBIAN, CANONICAL], Filters=named)
    own = _listed(api, region, Owners=["self"], Filters=[])
    return [
        *(_of_release(name, public) for name in RELEASES),
        *readable(own, _own),
    ]


def _own(image: Mapping[str, Any]) -> Image:
    return Image(required(image, "ImageId"), image.get("Name") or "", image.get("State") == "available")


def _of_release(name: str, public: Sequence[Any]) -> Image:
    release = RELEASES[name]
    found = [it for it in public if it.get("OwnerId") == release.owner and release.has(it.get("Name") or "", "x86_64")]
    return Image(name, _newest(found)["Name"] if found else release.filter("x86_64"), bool(found))


def _newest(images: Sequence[Any]) -> Any:
    """Return the newest image. An image whose date cannot be read is older than any other."""
    return max(images, key=lambda image: (tags.seconds(image.get("CreationDate")) or 0.0, image.get("ImageId") or ""))


def _listed(api: Api, region: str, **wanted: Any) -> list[Any]:
    return api.listed(region, "describe_images", "Images", **wanted)
