"""The driver ``local``: its images are copies of an instance's directory, complete or gone after any crash."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.local import directory, image_files
from hart_salt.drivers.local.driver import Account, Local
from hart_salt.model import Access, BakedImage, Instance, NewImage
from tests.drivers.environment import CLIENT_KEY, OTHER_OWNER
from tests.parts import master_info, new_node

NAME = "hart-app-202611301200-b1"
DIGEST = "1-00000000-11111111"


@pytest.fixture
def driver(root: Path) -> Iterator[Local]:
    """Yield a driver without a machine process: its instances never run."""
    yield Local(Provider("here", "local", Account()), master_info(root))


@pytest.fixture
def base(root: Path) -> Path:
    return root / "hart/local/here"


def instance(base: Path, name: str = "web-1") -> Instance:
    """Return a stopped instance with some files."""
    claim = {"minion_id": name, "owner": "me", "batch": "b1", "role": None, "region": "local", "size": "shared"}
    directory.create(base / name, claim, "echo first", 4711.0)
    (base / name / "srv").mkdir()
    (base / name / "srv/app").write_text("of the operator")
    (base / name / "srv/app").chmod(0o640)
    (base / name / "srv/link").symlink_to("app")
    (base / name / "run/state").touch()
    (base / name / directory.ENABLED).touch()
    (base / name / directory.STATE).write_text(json.dumps({"pid": 2**22, "minion": None, "port": 1}))
    return Instance(instance_id=name, minion_id=name, state="stopped")


def new(name: str = NAME, **changes: Any) -> NewImage:
    fields: dict[str, Any] = {"role": "app", "batch": "b1", "digest": DIGEST, "release": "3008.4", "region": "local"}
    return NewImage(name, **{**fields, **changes})


def files(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir() or path.is_symlink())


def test_an_image_has_the_files_of_the_instance_and_nothing_of_its_machine(driver: Local, base: Path) -> None:
    made = instance(base)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(base / "web-1/srv/socket"))
        image = driver.make_image(made, new())
    assert files(base / image_files.IMAGES / NAME / "files") == ["srv/app", "srv/link"]
    copied = base / image_files.IMAGES / NAME / "files/srv"
    assert ((copied / "app").read_text(), (copied / "app").stat().st_mode & 0o777) == ("of the operator", 0o640)
    assert (copied / "link").readlink() == Path("app")
    assert files(base / "web-1") != []
    assert (image.name, image.image_id, image.state, image.complete) == (NAME, NAME, "available", False)
    assert (image.role, image.batch, image.digest, image.release) == ("app", "b1", DIGEST, "3008.4")
    assert image.size_gb is not None
    assert 15e-9 <= image.size_gb < 1e-3
    assert abs((image.created or 0.0) - time.time()) < 3600


def test_the_mark_makes_a_half_made_image_a_complete_one(driver: Local, base: Path) -> None:
    image = driver.make_image(instance(base), new())
    (left,) = driver.leftovers()
    assert (left.kind, left.name, left.batch) == ("image", NAME, "b1")
    assert [one.available for one in driver.images(None)] == [False]
    driver.finish_image(image)
    driver.finish_image(image)
    assert driver.leftovers() == []
    (listed,) = driver.baked_images("local")
    assert (listed.complete, listed.regions, listed.created) == (True, (), image.created)
    assert [(one.setting, one.available) for one in driver.images("local")] == [(NAME, True)]
    driver.remove(left)
    assert driver.baked_images() == [listed], "what was half made a moment ago is complete"
    driver.delete_image(BakedImage("", NAME, "available"))
    driver.delete_image(image)
    assert driver.baked_images() == []
    assert list((base / image_files.IMAGES).iterdir()) == []
    with pytest.raises(NotFound):
        driver.finish_image(image)


def test_a_node_of_an_image_begins_with_its_files(
    driver: Local, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(directory, "start", lambda path: None)
    driver.finish_image(driver.make_image(instance(base), new()))
    access = Access("b2", CLIENT_KEY)
    plain = driver.launch(new_node("web-2", settings=Settings(image="debian-12")), "echo second", access)
    node = new_node("web-3", settings=Settings(image=NAME), baked=NAME)
    made = driver.launch(node, "echo third", access)
    assert files(base / plain.instance_id) == ["instance.json", "user-data"]
    assert files(base / made.instance_id) == ["instance.json", "srv/app", "srv/link", "user-data"]
    assert (base / "web-3/user-data").read_text() == "echo third"
    assert (base / "web-3").stat().st_mode & 0o777 == 0o700
    claim = directory.read_claim(base / "web-3") or {}
    assert (claim["minion_id"], claim["batch"], directory.end_of(base / "web-3")) == ("web-3", "b2", None)
    (base / "web-3/srv/app").write_text("of the node")
    driver.delete_image(BakedImage(NAME, NAME, "available"))
    assert (base / "web-3/srv/app").read_text() == "of the node"
    with pytest.raises(InvalidRequest, match=f"no local image {NAME} any more"):
        driver.launch(new_node("web-4", settings=Settings(image=NAME), baked=NAME), "", access)
    assert not (base / "web-4").exists()


def test_an_image_of_a_running_instance_and_a_second_one_of_the_same_name_are_refused(
    driver: Local, base: Path
) -> None:  # fmt: skip
    made = instance(base)
    driver.make_image(made, new())
    with pytest.raises(InvalidRequest, match="already a local image"):
        driver.make_image(made, new(batch="b2"))
    for name in ("../web-1", ".new-x", "", "a/b"):
        with pytest.raises(InvalidRequest, match="cannot be the name"):
            driver.make_image(made, new(name))
    (base / "web-1" / directory.STATE).unlink()
    (base / "web-1").touch()  # a machine that starts
    with pytest.raises(InvalidRequest, match="runs: stop it"):
        driver.make_image(made, new("other"))
    with pytest.raises(NotFound):
        driver.make_image(Instance(instance_id="web-9", minion_id="", state="stopped"), new("other"))
    assert [path.name for path in (base / image_files.IMAGES).iterdir()] == [NAME]


CUT = """
import os, shutil, sys
from pathlib import Path
from hart_salt.drivers.local import image_files
def cut(*_, **__): os.kill(os.getpid(), 9)
if sys.argv[2] == "save":
    shutil.copytree = cut
    image_files.save(Path(sys.argv[1]), "name", {"batch": "b7", "owner": sys.argv[3]}, Path("/tmp"))
else:
    shutil.rmtree = lambda path, ignore_errors=False: ignore_errors or cut()
    image_files.delete(Path(sys.argv[1]), sys.argv[3])
"""


def test_what_a_killed_call_leaves_is_a_leftover_of_its_batch_and_no_image_to_boot(driver: Local, base: Path) -> None:
    driver.finish_image(driver.make_image(instance(base), new()))
    for arguments in (["save", driver.master.owner], ["delete", NAME]):
        subprocess.run([sys.executable, "-c", CUT, str(base), *arguments], check=False)
    (half,) = driver.baked_images()
    assert (half.image_id, half.name, half.state, half.complete, half.batch) == ("", "name", "pending", False, "b7")
    assert driver.images(None) == []
    left = sorted(driver.leftovers(), key=lambda one: one.batch)
    assert [(one.kind, one.batch) for one in left] == [("image", "b1"), ("image", "b7")]
    others = Local(driver.provider, master_info(base.parents[2], OTHER_OWNER))
    assert (others.leftovers(), others.baked_images()) == ([], [])
    for one in left:
        driver.remove(one)
        driver.remove(one)
    assert driver.leftovers() == []
    assert files(base / image_files.IMAGES) == []


def test_an_image_that_a_killed_call_left_can_be_deleted_by_its_name(driver: Local, base: Path) -> None:
    (base / image_files.IMAGES).mkdir(parents=True)
    subprocess.run([sys.executable, "-c", CUT, str(base), "save", driver.master.owner], check=False)
    for half in driver.baked_images():
        driver.delete_image(half)
        driver.delete_image(half)
    assert (driver.baked_images(), driver.leftovers(), files(base / image_files.IMAGES)) == ([], [], [])


def test_an_image_whose_description_a_crash_damaged_is_removed_as_a_half_made_one(driver: Local, base: Path) -> None:
    driver.finish_image(driver.make_image(instance(base), new()))
    (base / image_files.IMAGES / NAME / directory.CLAIM).write_text("")
    (listed,) = driver.baked_images()
    assert (listed.state, listed.complete, listed.problem != "") == ("failed", False, True)
    (left,) = driver.leftovers()
    driver.remove(left)
    assert driver.baked_images() == []


def test_images_of_another_master_are_neither_listed_nor_booted(
    driver: Local, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(directory, "start", lambda path: None)
    image = driver.make_image(instance(base), new())
    others = Local(driver.provider, master_info(base.parents[2], OTHER_OWNER))
    assert (others.baked_images(), others.leftovers()) == ([], [])
    with pytest.raises(NotFound):
        others.finish_image(image)
    with pytest.raises(InvalidRequest):
        others.launch(new_node("web-5", settings=Settings(image=NAME), baked=NAME), "", Access("b2", CLIENT_KEY))
    assert image_files.find(base, NAME) is not None


def test_a_full_disk_is_a_temporary_failure_and_leaves_nothing(
    driver: Local, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    made = instance(base)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(TemporaryFailure, match="No space left"):
        driver.make_image(made, new())
    assert list((base / image_files.IMAGES).iterdir()) == []
