"""What Compute Engine offers: regions and zones, machine types, images, subnets. Each is requested once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hart_salt.base.errors import InvalidRequest, NotFound
from hart_salt.base.text import suggestion
from hart_salt.drivers.catalog import readable
from hart_salt.drivers.gce.instances import Place, last, partial
from hart_salt.drivers.sdk_driver import Answers
from hart_salt.model import OK, PROBLEM, UNKNOWN, Check, Image, Node, Region, Size

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api

#: the project of a distribution's images and the family for each architecture, by code name
FAMILIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "bookworm": ("debian-cloud", {"X86_64": "debian-12", "ARM64": "debian-12-arm64"}),
    "trixie": ("debian-cloud", {"X86_64": "debian-13", "ARM64": "debian-13-arm64"}),
    "jammy": ("ubuntu-os-cloud", {"X86_64": "ubuntu-2204-lts", "ARM64": "ubuntu-2204-lts-arm64"}),
    "noble": ("ubuntu-os-cloud", {"X86_64": "ubuntu-2404-lts-amd64", "ARM64": "ubuntu-2404-lts-arm64"}),
    "resolute": ("ubuntu-os-cloud", {"X86_64": "ubuntu-2604-lts-amd64", "ARM64": "ubuntu-2604-lts-arm64"}),
}
#: the projects to search, after the account's own, for an image named without a project
PUBLIC = ("debian-cloud", "ubuntu-os-cloud")
#: the purposes of subnets for instances; others are for Google's proxies, for example
PURPOSES = ("", "PRIVATE")


class Catalogue:
    """Lookups, cached for the life of the driver object, which is one call of hart."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._answers = Answers()

    def _found(self, service: str, method: str = "get", **fields: Any) -> Any:
        """Return one resource, or None if it does not exist."""

        def ask() -> Any:
            with contextlib.suppress(NotFound):
                return self._api.get(service, method, **fields)
            return None

        return self._answers.once((service, method, *sorted(fields.items())), ask)

    # places

    def regions(self) -> list[Region]:
        """Return all regions, each with its available zones."""
        zones = [zone for zone in self._list("zones") if zone.status == "UP" and not zone.deprecated.state]
        return [
            Region(
                name=region.name,
                description=PLACES.get(region.name, region.description),
                zones=tuple(sorted(zone.name for zone in zones if zone.name and last(zone.region) == region.name)),
                available=region.status == "UP" and not region.deprecated.state,
            )
            for region in self._list("regions")
            if region.name
        ]

    def zones(self, region: str) -> tuple[str, ...]:
        """Return the available zones of a region."""
        return next((one.zones for one in self.regions() if one.name == region), ())

    def _list(self, service: str, **fields: Any) -> list[Any]:
        key = (service, "list", *sorted(fields.items()))
        return self._answers.once(key, lambda: self._api.list_of(service, **fields))

    # machine types

    def machine_type(self, zone: str, name: str) -> Any:
        """Return a size in a zone, also a custom one such as ``e2-custom-2-4096``, or None if the zone lacks it."""
        return self._found("machine_types", zone=zone, machine_type=name)

    def size(self, name: str, region: str) -> Size | None:
        """Return a size that at least one zone of the region has, or None."""
        for zone in self.zones(region):
            found = self.machine_type(zone, name)
            if found is not None:
                return next(iter(readable([found], _size)), None)
        return None

    def sizes(self, region: str | None) -> list[Size]:
        """Return the sizes of a region, or of all. A size is available if at least one zone still offers it."""
        if region is None:
            listed = self._api.aggregated("machine_types")
        else:
            listed = [it for zone in self.zones(region) for it in self._list("machine_types", zone=zone)]
        found: dict[str, Size] = {}
        for size in readable(listed, _size):
            if size.available or size.name not in found:
                found[size.name] = size
        return list(found.values())

    # images

    def image(self, setting: str, architecture: str) -> Any:
        """
        Return the image for a setting and an architecture.

        A code name stands for the newest image of its family. A name is searched in the account's project, then in
        Debian's and Ubuntu's. A link, ``projects/…/global/images/…``, can also end in ``family/…``.

        Raises ``InvalidRequest`` if there is no such image.
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
            near = suggestion(setting, FAMILIES)
            raise InvalidRequest(f"there is no image {setting} in the project, nor in Debian's or Ubuntu's{near}")
        return found

    def _linked(self, link: str) -> Any:
        parts = partial(link).strip("/").split("/")
        project = parts[1] if parts[0] == "projects" and len(parts) > 2 else self._api.project
        if parts[-2:-1] == ["family"]:
            return self._found("images", "get_from_family", project=project, family=parts[-1])
        return self._found("images", project=project, image=parts[-1])

    def images(self) -> list[Image]:
        """Return the releases that the bootstrap supports, and the project's own images."""
        shown = []
        for setting, (project, families) in FAMILIES.items():
            newest = self._found("images", "get_from_family", project=project, family=families["X86_64"])
            shown.append(Image(setting, newest.name if newest else families["X86_64"], newest is not None))
        own = self._list("images")
        return [
            *shown,
            *(_own_image(it) for it in own if it.name),
        ]

    # of a node

    def quota(self, node: Node, count: int) -> Check:
        """Compare the region's quotas with what is used. The list of regions contains both."""
        region = next((it for it in self._list("regions") if it.name == node.region), None)
        quotas = {it.metric: it for it in region.quotas} if region is not None else {}
        machine = self.machine_type(str(node.zone), node.size)
        cpus = float(machine.guest_cpus) if machine is not None else 1.0
        wanted = {"INSTANCES": 1.0, "CPUS": cpus, **({"IN_USE_ADDRESSES": 1.0} if node.settings.public_ip else {})}
        known = {name: quotas[name] for name in wanted if name in quotas}
        said = ", ".join(f"{it.usage:g} of {it.limit:g} {name}" for name, it in known.items())
        short = [name for name, it in known.items() if it.usage + wanted[name] * count > it.limit]
        if short:
            more = f"{count} more of the size {node.size} exceed {' and '.join(short)}"
            return Check("quota", PROBLEM, f"{node.region} uses {said}; {more}: request a higher quota in the console")
        return Check("quota", OK if known else UNKNOWN, f"{node.region} uses {said or 'quotas that are not reported'}")

    def place(self, node: Node) -> Place:
        """
        Look up what the node's settings name.

        Raises ``InvalidRequest`` if something does not exist.
        """
        image, subnet = self.image_of(node), self.subnet(node)
        return Place(
            image=partial(image.self_link),
            network=partial(subnet.network),
            subnet=partial(subnet.self_link),
            uefi=any(feature.type_ == "UEFI_COMPATIBLE" for feature in image.guest_os_features),
        )

    def image_of(self, node: Node) -> Any:
        """Return the image for the architecture of the node's size. Raises ``InvalidRequest`` if there is none."""
        machine = self.machine_type(str(node.zone), node.size)
        if machine is None:
            raise InvalidRequest(f"{node.zone} has no size {node.size}; other zones of {node.region} may have it")
        architecture = machine.architecture or "X86_64"
        image = self.image(node.settings.image, architecture)
        if image.architecture and image.architecture != architecture:
            raise InvalidRequest(
                f"the image {node.settings.image} is for {image.architecture}, but {node.size} is {architecture}"
            )
        return image

    def objections(self, node: Node) -> list[str]:
        """Return objections: what the node names and does not exist, and what does not fit its image or subnet."""
        options: Any = node.options
        found = []
        try:
            image = self.image_of(node)
            if options.volume_size < image.disk_size_gb:
                found.append(f"the image {node.settings.image} needs a volume_size of {image.disk_size_gb} or more")
        except InvalidRequest as error:
            found.append(str(error))
        try:
            subnet = self.subnet(node)
            if options.ipv6 and (subnet.stack_type, subnet.ipv6_access_type) != ("IPV4_IPV6", "EXTERNAL"):
                found.append(f"ipv6 needs a subnet with external IPv6 addresses, but {subnet.name} has none")
        except InvalidRequest as error:
            found.append(str(error))
        return found

    def subnet(self, node: Node) -> Any:
        """
        Return the subnet of a node: the one that it names, or the only one in the region, of ``network`` if set.

        Raises ``InvalidRequest``, which lists the choices, if that is ambiguous or does not exist.
        """
        options: Any = node.options
        there = [it for it in self._list("subnetworks", region=node.region) if it.purpose in PURPOSES]
        if options.network:
            there = [it for it in there if last(it.network) == options.network]
        within = f"network {options.network} in {node.region}" if options.network else node.region
        if not there:
            raise InvalidRequest(f"there is no subnet for instances in {within}")
        choice = ", ".join(sorted(f"{it.name} (network {last(it.network)})" for it in there))
        if options.subnet:
            named = [it for it in there if it.name == options.subnet]
            if not named:
                raise InvalidRequest(f"there is no subnet {options.subnet} in {within}; set subnet to one of {choice}")
            return named[0]
        if len(there) > 1:
            raise InvalidRequest(f"there are several subnets in {within}: set subnet to one of {choice}")
        return there[0]


def _own_image(image: Any) -> Image:
    return Image(image.name, image.description, image.status == "READY" and not image.deprecated.state)


def _size(machine: Any) -> Size:
    """Convert a machine type. Raises ``ValueError`` if its name, its memory or its CPUs are missing."""
    if not (machine.name and machine.memory_mb and machine.guest_cpus):
        raise ValueError(f"the machine type {machine.name or machine.id} has no name or no size")
    return Size(
        name=machine.name,
        memory_mb=int(machine.memory_mb),
        cpus=float(machine.guest_cpus),
        available=not machine.deprecated.state,
        description=machine.description,
        # An older API does not report it; then ``resources`` takes it for x86 too.
        arch="arm64" if machine.architecture == "ARM64" else "amd64",
    )


#: the places of the regions, which the API does not report (cloud.google.com/compute/docs/regions-zones)
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
