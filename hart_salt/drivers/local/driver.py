"""
The driver ``local``: instances on this machine, without an account, root or a container.

An instance is a directory in the master's cachedir with a machine process (``machine.py``) that stands in for
firmware, init and sshd. The path from launch to sealed minion is the same as for every cloud.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import pwd
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil

from hart_salt.base.errors import InvalidRequest, NotFound, Protected, TemporaryFailure
from hart_salt.base.machine import local_instances
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers.capabilities import PowerSupport, SnapshotSupport
from hart_salt.drivers.local import directory, image_files
from hart_salt.drivers.local.settings import REGION, SIZE
from hart_salt.drivers.local.settings import SCHEMA as SCHEMA
from hart_salt.drivers.local.settings import Account as Account
from hart_salt.drivers.local.settings import Options as Options
from hart_salt.drivers.tags import digest_in
from hart_salt.model import (
    IMAGE_AVAILABLE,
    IMAGE_FAILED,
    IMAGE_PENDING,
    Access,
    BakedImage,
    Image,
    Instance,
    Leftover,
    MasterInfo,
    NewImage,
    Node,
    Price,
    Region,
    Size,
)

#: the kind of a leftover that is a half-made image
IMAGE = "image"
BOOT_LOOKS = 300  #: looks, ``poll_interval`` apart, until a machine process listens


class Local(PowerSupport, SnapshotSupport):
    """Instances as directories; see the module."""

    schema: ClassVar[Schema] = SCHEMA
    no_addresses: ClassVar[str] = "a node of the driver local is a process of this machine and shares its addresses"
    no_resize: ClassVar[str] = "a node of the driver local is a process of this machine and has its whole size"
    no_tags: ClassVar[str] = "a node of the driver local has no tags"
    platform: ClassVar[str] = "local"
    poll_interval: ClassVar[float] = 0.1
    images_everywhere: ClassVar[bool] = True

    def __init__(self, provider: Provider, master: MasterInfo) -> None:
        super().__init__(provider, master)
        self._base = local_instances(master.cachedir, provider.name)

    def check(self) -> str:
        """Check the directory; there are no credentials."""
        base = self._base
        while not os.path.lexists(base):
            base = base.parent
        if not base.is_dir():
            raise InvalidRequest(f"{base} is not a directory: the driver local keeps its instances there; move it away")
        if not os.access(base, os.W_OK):
            raise InvalidRequest(f"{base} is not writable for this user: the driver local keeps its instances there")
        return f"instances below {self._base}"

    def objections(self, node: Node) -> Sequence[str]:
        """Check the Salt version: a node runs its master's Salt and no other."""
        wanted, have = node.settings.salt_version, self.master.salt_version
        if wanted and not f"{have}.".startswith(wanted.removesuffix("*").removesuffix(".") + "."):
            return [f"salt_version is {wanted}, but a node of the driver local runs its master's Salt, {have}"]
        sockets = directory.socket_dir(self._base / node.minion_id).parent
        if not os.access(sockets, os.W_OK | os.X_OK, effective_ids=True):
            return [f"{sockets} is not writable for this user: nodes of the driver local have their sockets there"]
        return []

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """Open nothing: a machine process listens on loopback only."""
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """
        Make the directory, which claims the minion id, and start its machine process.

        If ``image`` names an image of ``make_image``, the directory begins with its files. Any other value has no
        effect: a node runs its master's Python and Salt.
        """
        path = self._base / node.minion_id
        claim = {
            "minion_id": node.minion_id,
            "owner": self.master.owner,
            "role": node.role,
            "batch": access.batch,
            "region": node.region,
            "size": node.size,
            "digest": node.digest or None,
        }
        with _copying(f"the files of the local instance {node.minion_id}"):
            directory.create(path, claim, user_data, node.ends, self._fill(node))
        directory.start(path)
        return _instance(path, claim)

    def _fill(self, node: Node) -> Callable[[Path], object]:
        """Return what fills the directory of a new instance. Raises ``InvalidRequest`` if the node's image is gone."""
        image = self._image(node.settings.image)
        if image is not None:
            return functools.partial(image_files.copy_files, image.path / image_files.FILES)
        if node.baked:
            raise InvalidRequest(f"there is no local image {node.baked} any more")
        return str

    def _image(self, image_id: Any) -> image_files.Saved | None:
        """Return an image of this master."""
        found = image_files.find(self._base, image_id)
        return found if found is not None and self._is_ours(found.claim) else None

    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Return this master's instance directories, with the state of their processes.

        A directory whose claim cannot be read counts as this master's, because it is in its cachedir; it has no minion
        id.
        """
        return [_instance(path, claim) for path, claim in self._claims()]

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """Return the same for the directories whose claims name the batch; only their processes are looked up."""
        return [_instance(path, claim) for path, claim in self._claims() if claim.get("batch") == batch]

    def _claims(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for path in directory.listing(self._base):
            claim = directory.read_claim(path)
            if claim is not None and self._is_ours(claim):
                yield path, claim

    def _is_ours(self, claim: Mapping[str, Any] | None) -> bool:
        """Return whether a claim names this master. Without a readable claim, the cachedir proves it."""
        return not claim or claim.get("owner") == self.master.owner

    def protect(self, instance: Instance, *, on: bool) -> None:
        """Write a mark into the instance's directory, or remove it."""
        path = self._path(instance)
        if path is not None and directory.read_claim(path) is not None:
            directory.protect(path, on=on)
        elif on:
            raise NotFound(f"{self.provider.name}: there is no local instance {instance.instance_id}")

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Write the end into a file of the instance's directory, or remove that."""
        directory.set_end(self._existing(instance), ends)

    def terminate(self, instance: Instance) -> None:
        """Kill every process of the instance and remove its directory, unless it is protected."""
        path = self._path(instance)
        if path is None:
            return
        if directory.is_protected(path):
            said = f"the local instance {path.name} is protected"
            raise Protected(f"{self.provider.name}: {said}; salt-run hart.unprotect removes the protection")
        directory.destroy(path)

    def _path(self, instance: Instance) -> Path | None:
        """Return the directory of an instance, which need not exist; None for an id that no instance has."""
        path = self._base / instance.instance_id
        return path if path.parent == self._base and path.name not in ("..", "") else None

    def power_on(self, instance: Instance) -> None:
        """Start the machine process, which starts the minion."""
        path = self._existing(instance)
        if directory.machine_state(path)[0] == "stopped":
            directory.power_on(path)
        for _ in range(BOOT_LOOKS):
            if directory.machine_state(path)[0] == "running":
                return
            time.sleep(self.poll_interval)
        raise TemporaryFailure(f"the machine process of {path.name} does not start: see {path}/var/log/machine.log")

    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        """End every process of the instance and keep its directory."""
        directory.power_off(self._existing(instance), force=force)

    def reboot(self, instance: Instance, *, force: bool = False) -> None:
        """End every process of the instance, and start the machine process."""
        path = self._existing(instance)
        if directory.machine_state(path)[0] != "running":
            raise InvalidRequest(f"the local instance {path.name} does not run: it can only be started")
        directory.power_off(path, force=force)
        self.power_on(instance)

    def _existing(self, instance: Instance) -> Path:
        """Return the directory of an instance. Raises ``NotFound`` if there is none."""
        path = self._path(instance)
        if path is None or not directory.read_claim(path):
            raise NotFound(f"there is no local instance {instance.instance_id}")
        return path

    def leftovers(self) -> list[Leftover]:
        """Return this master's directories of instances and images that a crash left half made or half removed."""
        found = [("directory", *one) for one in directory.unfinished(self._base)]
        found += [(IMAGE, *one) for one in image_files.unfinished(self._base)]
        half_made = [one for one in self._saved() if not one.is_finished]
        found += [(IMAGE, one.path, one.claim.get("batch") or "") for one in half_made]
        return [
            Leftover(kind, path.name, path.name, batch, REGION, created)
            for kind, path, batch in found
            if (created := directory.born(path)) is not None and self._is_ours(directory.read_claim(path))
        ]

    def remove(self, leftover: Leftover) -> None:
        """Remove one of these directories."""
        if leftover.kind == IMAGE:
            image_files.remove_unfinished(self._base, leftover.handle)
            return
        path = self._base / leftover.handle
        if path.parent == self._base and path.name.startswith((directory.NEW, directory.GONE)):
            directory.remove(path)

    def regions(self) -> Sequence[Region]:
        """Return one region: this machine."""
        return [Region(REGION, "this machine")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return one size: the whole machine, shared with everything else on it."""
        memory = psutil.virtual_memory().total // 2**20
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
        return [Size(SIZE, memory, float(os.cpu_count() or 1), None, 0.0, True, "this machine, shared", arch=arch)]

    def images(self, region: str | None) -> Sequence[Image]:
        """Return the baked images: without one, a node runs its master's Python and Salt, and no other files."""
        there = [one for one in self.baked_images() if one.image_id]
        return [Image(one.image_id, f"baked for the role {one.role}", one.complete) for one in there]

    def make_image(self, instance: Instance, new: NewImage) -> BakedImage:
        """Copy the directory of a stopped instance; the image is available at once."""
        path = self._existing(instance)
        if directory.machine_state(path)[0] != "stopped":
            raise InvalidRequest(f"the local instance {path.name} runs: stop it before an image is made of it")
        tags = {name: getattr(new, name) or None for name in ("role", "batch", "digest", "release", "arch")}
        claim = {**tags, "owner": self.master.owner}
        with _copying(f"the files of the local image {new.name}"):
            image_files.save(self._base, new.name, claim, path)
        found = image_files.find(self._base, new.name)
        if found is None:
            raise TemporaryFailure(f"the local image {new.name} was deleted as soon as it was made")
        return _baked(found)

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        """Return this master's images; a directory whose claim cannot be read counts as one."""
        half = [one for one in image_files.being_filled(self._base) if self._is_ours(one.claim)]
        return [_baked(one) for one in self._saved()] + [_being_filled(one) for one in half]

    def _saved(self) -> list[image_files.Saved]:
        return [one for one in image_files.listing(self._base) if self._is_ours(one.claim)]

    def finish_image(self, image: BakedImage) -> None:
        """Write the mark into the directory of the image; it has its tags since it was made."""
        found = self._image(image.image_id or image.name)
        if found is None:
            raise NotFound(f"{self.provider.name}: there is no local image {image.image_id or image.name}")
        image_files.finish(found)

    def delete_image(self, image: BakedImage) -> None:
        """Remove the directory of an image. Instances that were made of it have their own copies."""
        image_files.delete(self._base, image.image_id or image.name)

    def image_price(self, region: str) -> Price | None:
        """Return nothing to pay."""
        return Price(0.0)

    def minion_defaults(self, node: Node) -> Mapping[str, Any]:
        """Return configuration that keeps all files in the directory and sets the ports of this master."""
        root = self._base / node.minion_id
        return {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            # Salt would prepend any other root to the socket directory too.
            "root_dir": "/",
            "pki_dir": str(root / "etc/salt/pki/minion"),
            "cachedir": str(root / "var/cache/salt/minion"),
            "extension_modules": str(root / "var/cache/salt/minion/extmods"),
            "log_file": str(root / "var/log/salt/minion"),
            "pidfile": str(root / "run/salt-minion.pid"),
            "sock_dir": str(directory.socket_dir(root)),
            "publish_port": self.master.publish_port,
            "master_port": self.master.return_port,
        }

    def root(self, instance: Instance) -> str:
        """Return the instance's directory."""
        return str(self._base / instance.instance_id)


DRIVER = Local


@contextmanager
def _copying(what: str) -> Iterator[None]:
    """Report a failure to write files, such as a full disk, as one of the provider."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__  # an error of shutil lists every file
        raise TemporaryFailure(f"{what} cannot be written: {reason}") from error


def _baked(saved: image_files.Saved) -> BakedImage:
    """Return the report of an image; one whose claim was damaged by a crash of this machine has failed."""
    claim = saved.claim
    return BakedImage(
        image_id=saved.path.name,
        name=saved.path.name,
        state=IMAGE_AVAILABLE if claim else IMAGE_FAILED,
        complete=saved.is_finished,
        role=claim.get("role"),
        batch=claim.get("batch") or "",
        digest=digest_in(claim.get("digest")),
        release=claim.get("release"),
        arch=claim.get("arch") or "",
        created=image_files.number(claim.get("created")) or directory.born(saved.path),
        size_gb=(image_files.number(claim.get("size")) or 0.0) / 1e9,
        problem="" if claim else "its description cannot be read",
    )


def _being_filled(saved: image_files.Saved) -> BakedImage:
    """Return the report of an image without an id: its files are being copied, or a crash ended that."""
    name = str(saved.claim[image_files.NAME])
    return dataclasses.replace(_baked(saved), image_id="", name=name, state=IMAGE_PENDING, size_gb=None)


def _instance(path: Path, claim: Mapping[str, Any]) -> Instance:
    state, port = directory.machine_state(path)
    return Instance(
        instance_id=path.name,
        minion_id=claim.get("minion_id") or "",
        state=state,
        role=claim.get("role"),
        batch=claim.get("batch") or "",
        region=claim.get("region"),
        size=claim.get("size"),
        public_ip="127.0.0.1" if port else None,
        private_ip="127.0.0.1" if port else None,
        ssh_port=port or 22,
        created=directory.born(path),
        digest=digest_in(claim.get("digest")),
        ends=directory.end_of(path),
        protected=directory.is_protected(path),
    )
