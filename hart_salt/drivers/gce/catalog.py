"""What there is at Compute Engine: regions and zones, machine types, images, subnets. Asked for once each."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hart_salt.base.errors import InvalidRequest, NotFound
from hart_salt.drivers.gce.instances import Place, last, partial
from hart_salt.drivers.sdk_driver import Answers
from hart_salt.model import Image, Node, Region, Size

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api

#: by code name: the project of a distribution's images, and the family for each architecture
FAMILIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "bookworm": ("debian-cloud", {"X86_64": "debian-12", "ARM64": "debian-12-arm64"}),
    "trixie": ("debian-cloud", {"X86_64": "debian-13", "ARM64": "debian-13-arm64"}),
    "jammy": ("ubuntu-os-cloud", {"X86_64": "ubuntu-2204-lts", "ARM64": "ubuntu-2204-lts-arm64"}),
    "noble": ("ubuntu-os-cloud", {"X86_64": "ubuntu-2404-lts-amd64", "ARM64": "ubuntu-2404-lts-arm64"}),
}
#: where an image is looked for that is named without its project, after the account's own
PUBLIC = ("debian-cloud", "ubuntu-os-cloud")
#: of subnets for instances; the others are Google's own proxies' and the like
PURPOSES = ("", "PRIVATE")


class Catalogue:
    """Answers are kept for as long as the driver object lives, which is one call of hart."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._answers = Answers()

    def _found(self, service: str, method: str = "get", **fields: Any) -> Any:
        """One thing, or None where there is no such."""

        def ask() -> Any:
            with contextlib.suppress(NotFound):
                return self._api.get(service, method, **fields)
            return None

        return self._answers.once((service, method, *sorted(fields.items())), ask)

    # places

    def regions(self) -> list[Region]:
        """All regions, each with those of its zones that can be had."""
        zones = [zone for zone in self._list("zones") if zone.status == "UP" and not zone.deprecated.state]
        return [
            Region(
                name=region.name,
                description=PLACES.get(region.name, region.description),
                zones=tuple(sorted(zone.name for zone in zones if last(zone.region) == region.name)),
                available=region.status == "UP" and not region.deprecated.state,
            )
            for region in self._list("regions")
        ]

    def zones(self, region: str) -> tuple[str, ...]:
        """The zones of a region that can be had."""
        return next((one.zones for one in self.regions() if one.name == region), ())

    def _list(self, service: str, **fields: Any) -> list[Any]:
        key = (service, "list", *sorted(fields.items()))
        return self._answers.once(key, lambda: self._api.list_of(service, **fields))

    # machine types

    def machine_type(self, zone: str, name: str) -> Any:
        """A size in a zone, also one that is made to measure, such as ``e2-custom-2-4096``; None: it is not there."""
        return self._found("machine_types", zone=zone, machine_type=name)

    def size(self, name: str, region: str) -> Size | None:
        """A size that at least one zone of the region has."""
        for zone in self.zones(region):
            found = self.machine_type(zone, name)
            if found is not None:
                return _size(found)
        return None

    def sizes(self, region: str | None) -> list[Size]:
        """Of several zones that have a size, the one that still offers it counts."""
        if region is None:
            listed = self._api.aggregated("machine_types")
        else:
            listed = [it for zone in self.zones(region) for it in self._list("machine_types", zone=zone)]
        found: dict[str, Size] = {}
        for size in map(_size, listed):
            if size.available or size.name not in found:
                found[size.name] = size
        return list(found.values())

    # images

    def image(self, setting: str, architecture: str) -> Any:
        """
        The image that a setting means for an architecture. Raises ``InvalidRequest`` for one that there is not.

        A code name is the newest image of its family; a name is looked for in the project itself, then among
        Debian's and Ubuntu's; a link, ``projects/…/global/images/…``, may also end in ``family/…``.
        """
        if setting in FAMILIES:
            project, families = FAMILIES[setting]
            found = self._found("images", "get_from_family", project=project, family=families[architecture])
        elif "/" in setting:
            found = self._linked(setting)
        else:
            places = (self._api.project, *PUBLIC)
            candidates = (self._found("images", project=place, image=setting) for place in places)
            found = next((image for image in candidates if image is not None), None)
        if found is None:
            raise InvalidRequest(f"there is no image {setting} in the project, and none of Debian's or Ubuntu's")
        return found

    def _linked(self, link: str) -> Any:
        parts = partial(link).strip("/").split("/")
        project = parts[1] if parts[0] == "projects" and len(parts) > 2 else self._api.project
        if parts[-2:-1] == ["family"]:
            return self._found("images", "get_from_family", project=project, family=parts[-1])
        return self._found("images", project=project, image=parts[-1])

    def images(self) -> list[Image]:
        """The releases that the bootstrap knows, and the project's own images."""
        shown = []
        for setting, (project, families) in FAMILIES.items():
            newest = self._found("images", "get_from_family", project=project, family=families["X86_64"])
            shown.append(Image(setting, newest.name if newest else families["X86_64"], newest is not None))
        own = self._list("images")
        return [
            *shown,
            *(Image(it.name, it.description, it.status == "READY" and not it.deprecated.state) for it in own),
        ]

    # of a node

    def place(self, node: Node) -> Place:
        """What the node's settings mean here. Raises ``InvalidRequest`` for what there is not."""
        image, subnet = self._image_of(node), self.subnet(node)
        return Place(
            image=partial(image.self_link),
            network=partial(subnet.network),
            subnet=partial(subnet.self_link),
            uefi=any(feature.type_ == "UEFI_COMPATIBLE" for feature in image.guest_os_features),
        )

    def _image_of(self, node: Node) -> Any:
        machine = self.machine_type(str(node.zone), node.size)
        if machine is None:
            raise InvalidRequest(f"{node.zone} has no size {node.size}, which other zones of {node.region} may have")
        architecture = machine.architecture or "X86_64"
        image = self.image(node.settings.image, architecture)
        if image.architecture and image.architecture != architecture:
            raise InvalidRequest(
                f"the image {node.settings.image} is for {image.architecture}, and {node.size} is {architecture}"
            )
        return image

    def objections(self, node: Node) -> list[str]:
        """What there is not of what the node names, and what its image and its subnet have against it."""
        options: Any = node.options
        found = []
        try:
            image = self._image_of(node)
            if options.volume_size < image.disk_size_gb:
                found.append(f"the image {node.settings.image} needs a volume_size of {image.disk_size_gb} or more")
        except InvalidRequest as error:
            found.append(str(error))
        try:
            subnet = self.subnet(node)
            if options.ipv6 and (subnet.stack_type, subnet.ipv6_access_type) != ("IPV4_IPV6", "EXTERNAL"):
                found.append(f"ipv6 needs a subnet with external IPv6 addresses, and {subnet.name} has none")
        except InvalidRequest as error:
            found.append(str(error))
        return found

    def subnet(self, node: Node) -> Any:
        """
        The subnet of a node: the one that is named, or the region's only one, of ``network`` if that is given.

        Raises ``InvalidRequest``, with what there is to choose from.
        """
        options: Any = node.options
        there = [it for it in self._list("subnetworks", region=node.region) if it.purpose in PURPOSES]
        if options.network:
            there = [it for it in there if last(it.network) == options.network]
        within = f"{node.region}, network {options.network}," if options.network else node.region
        if not there:
            raise InvalidRequest(f"there is no subnet in {within} that instances could be in")
        choice = ", ".join(sorted(f"{it.name} (network {last(it.network)})" for it in there))
        if options.subnet:
            named = [it for it in there if it.name == options.subnet]
            if not named:
                raise InvalidRequest(f"there is no subnet {options.subnet} in {within} but {choice}")
            return named[0]
        if len(there) > 1:
            raise InvalidRequest(f"there are several subnets in {within}: set subnet to one of {choice}")
        return there[0]


def _size(machine: Any) -> Size:
    return Size(
        name=machine.name,
        memory_mb=int(machine.memory_mb),
        cpus=float(machine.guest_cpus),
        available=not machine.deprecated.state,
        description=machine.description,
    )


#: where the regions are: the API does not tell (cloud.google.com/compute/docs/regions-zones)
PLACES: Mapping[str, str] = {
    "africa-south1": "Johannesburg, South Africa",
    "asia-east1": "Changhua County, Taiwan",
    "asia-east2": "Hong Kong",
    "asia-northeast1": "Tokyo, Japan",
    "asia-northeast2": "Osaka, Japan",
    "asia-northeast3": "Seoul, South Korea",
    "asia-south1": "Mumbai, India",
    "asia-south2": "Delhi, India",
    "asia-southeast1": "Jurong West, Singapore",
    "asia-southeast2": "Jakarta, Indonesia",
    "australia-southeast1": "Sydney, Australia",
    "australia-southeast2": "Melbourne, Australia",
    "europe-central2": "Warsaw, Poland",
    "europe-north1": "Hamina, Finland",
    "europe-north2": "Stockholm, Sweden",
    "europe-southwest1": "Madrid, Spain",
    "europe-west1": "St. Ghislain, Belgium",
    "europe-west10": "Berlin, Germany",
    "europe-west12": "Turin, Italy",
    "europe-west2": "London, England",
    "europe-west3": "Frankfurt, Germany",
    "europe-west4": "Eemshaven, Netherlands",
    "europe-west6": "Zürich, Switzerland",
    "europe-west8": "Milan, Italy",
    "europe-west9": "Paris, France",
    "me-central1": "Doha, Qatar",
    "me-central2": "Dammam, Saudi Arabia",
    "me-west1": "Tel Aviv, Israel",
    "northamerica-northeast1": "Montréal, Canada",
    "northamerica-northeast2": "Toronto, Canada",
    "northamerica-south1": "Querétaro, Mexico",
    "southamerica-east1": "São Paulo, Brazil",
    "southamerica-west1": "Santiago, Chile",
    "us-central1": "Council Bluffs, Iowa, USA",
    "us-east1": "Moncks Corner, South Carolina, USA",
    "us-east4": "Ashburn, Virginia, USA",
    "us-east5": "Columbus, Ohio, USA",
    "us-south1": "Dallas, Texas, USA",
    "us-west1": "The Dalles, Oregon, USA",
    "us-west2": "Los Angeles, California, USA",
    "us-west3": "Salt Lake City, Utah, USA",
    "us-west4": "Las Vegas, Nevada, USA",
}
