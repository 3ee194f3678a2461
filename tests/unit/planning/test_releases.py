"""Images that hart cannot boot are refused by their names; a name that says nothing is not."""

from __future__ import annotations

import re

import pytest

from hart_salt.drivers.do import driver as do_driver
from hart_salt.planning import releases

REFUSED = (
    "bullseye", "buster", "stretch", "focal", "bionic", "mantic", "oracular", "questing", "Bullseye",
    "debian-11", "debian-11-x64", "debian-10", "debian-11-bullseye-v20260901", "ubuntu-20-04-x64",
    "ubuntu-20.04", "ubuntu-2004-lts", "ubuntu-2004-focal-v20250101", "ubuntu-18-04-x64",
    "ubuntu-minimal-2004-lts", "ubuntu-24.10", "ubuntu-2410-amd64", "ubuntu-25-10-x64", "20.04", "18.04",
    "24.10", "projects/debian-cloud/global/images/family/debian-11", "debian-cloud/debian-11",
    "ubuntu-os-cloud/ubuntu-2004-lts", "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-20240101",
    "ubuntu 18.04.6 LTS", "20.04.1", "Debian GNU/Linux 10 (buster)", "debian11", "win2022",
    "rocky-linux-9-optimized-gcp-v20260101",
    "centos", "centos-7", "centos-stream-9-x64", "CentOS-Stream-9", "rocky", "rocky-9", "rockylinux-9-x64",
    "almalinux-9-x64", "alma-9", "rhel-9", "projects/rhel-cloud/global/images/family/rhel-9", "fedora",
    "fedora-43-x64", "amzn2-ami-hvm-2.0", "al2023-ami-2023", "amazon-linux", "opensuse-15", "sles-15",
    "arch-linux", "archlinux", "alpine", "fedora-coreos", "flatcar", "cos-stable", "cos-cloud/cos-stable",
    "freebsd", "freebsd-14", "windows", "windows-2022", "windows-cloud/windows-2022", "oracle-linux-9",
)  # fmt: skip
NAMED = (
    "Debian 11 x64 (bullseye)", "Ubuntu 20.04 LTS x64", "Windows 2022 Standard x64", "FreeBSD 14 x64",
    "CentOS 9 Stream x64", "Rocky Linux 9 x64", "AlmaLinux 9 x64", "Alpine Linux x64", "Fedora 43 x64",
)  # fmt: skip
FREE = (
    "bookworm", "trixie", "jammy", "noble", "resolute", "debian-12", "debian-13-x64",
    "debian-12-bookworm-v20260901", "ubuntu-22-04-x64", "ubuntu-2404-lts-amd64", "ubuntu-24.04",
    "ubuntu-26-04-x64", "ubuntu-2604-lts-arm64", "ubuntu-minimal-2204-lts",
    "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101",
    "projects/debian-cloud/global/images/family/debian-12", "ami-0123456789abcdef0", "123456789", "2136",
    "1a2b3c4d-0000-1111-2222-333344445555", "my-snapshot", "web-2026-11", "archive-7", "cosmos",
    "windowsill-app", "arches", "app-on-debian", "suse2debian", "projects/mine/global/images/web", "forky",
    "sid", "22.04", "24.04", "alma2026x", "debian-1234", "salt-minion-18",
)  # fmt: skip
#: names of people's own images, which begin like a distribution, a code name or a version
OWN = (
    "oracle-db-golden", "oracle-19", "cos-web", "arch-base-2026", "focal-point", "buster-keaton", "windows-free",
    "projects/p/global/images/rocky-web", "debian-1", "debian-2-node", "debian-11-web", "ubuntu-3", "10-04-app",
    "10.10.3.4", "20.04.2026", "18.04-app", "alpine_proxy", "Rocky Linux 9 web",
)  # fmt: skip


@pytest.mark.parametrize("image", [*REFUSED, *NAMED])
def test_an_image_whose_name_says_that_hart_cannot_boot_it_is_refused(image: str) -> None:
    said = releases.refusal(image, "hart:image")
    assert said.startswith(
        f"hart:image: hart cannot boot {image}, only Debian 12 (bookworm) and 13 (trixie), and Ubuntu"
    )


def test_the_code_names_in_the_sentence_are_those_that_drivers_know() -> None:
    named = set(re.findall(r"\((\w+)\)", releases.BOOTABLE))
    assert named == set(do_driver.IMAGES)


@pytest.mark.parametrize("image", [*FREE, *OWN])
def test_other_images_are_not_refused(image: str) -> None:
    assert releases.refusal(image) == ""
