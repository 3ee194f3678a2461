"""Which nodes differ from the present configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import HartError, Interrupted, InvalidRequest, Refused, TemporaryFailure
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local.driver import Options
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.records import Record
from hart_salt.model import IMAGE_AVAILABLE, IMAGE_PENDING, BakedImage, Instance, MasterInfo, Node, Size
from hart_salt.operations.baked_images import BakedImages
from hart_salt.operations.drift import Drift
from hart_salt.planning.digest import with_image, with_plain_image
from tests.functional.fakes import EmptyDriver

NOW = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"
#: with another size, another image and other settings
OLD = "1-65107e62-00000000-00000000-8b02980e-00000000-2ef8519c"


def record(**changes: Any) -> Record:
    plain = Record("web-1", "do", "do", "nyc3", "s-1", "ready", "me", "b1", 1.0, "app", digest=NOW)
    return dataclasses.replace(plain, **changes)


def instance(**changes: Any) -> Instance:
    return dataclasses.replace(Instance("i-1", "web-1", "running", "app", size="s-1"), **changes)


INFO = MasterInfo("m", "me", "", "3008.3", "", 4505, 4506, "", "")
PLAIN = "debian-13"  #: the image under the baked ones


def baked(name: str, created: float, **changes: Any) -> BakedImage:
    """Return a complete image of the role app for every region."""
    plain = BakedImage(
        f"i-{name}", name, IMAGE_AVAILABLE, True, "app", "b1", release="3008.3", arch="amd64", created=created
    )
    return dataclasses.replace(plain, **changes)


class Images(EmptyDriver):
    """A provider whose lists are counted, and can fail."""

    def __init__(self) -> None:
        super().__init__("do", INFO)
        self.there: list[BakedImage] = []
        self.lists = self.looks = 0
        self.list_error: HartError | None = None
        self.size_error: HartError | None = None

    def instances(self, region: str | None = None) -> list[Instance]:
        raise AssertionError("a comparison neither lists nor changes instances")

    def terminate(self, instance: Instance) -> None:
        raise AssertionError("a comparison neither lists nor changes instances")

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        self.lists += 1
        if self.list_error:
            raise self.list_error
        return self.there

    def size(self, name: str, region: str) -> Size | None:
        self.looks += 1
        if self.size_error:
            raise self.size_error
        return Size(name, 1024, 1, 20.0, arch="amd64")


class World:
    """A configuration that has one role at one provider."""

    def __init__(self) -> None:
        self.driver_of_do = Images()
        self.image = PLAIN
        self.asked: list[tuple[str | None, str | None, str | None]] = []
        self.size = "s-1"

    def example(self, role: str | None, provider: str | None, region: str | None) -> Node:
        self.asked.append((role, provider, region))
        if role != "app" or provider != "do":
            raise Refused(f"there is no role {role}")
        settings = Settings(image=self.image, base_image=PLAIN)
        return Node("x", role, provider, "do", str(region), None, self.size, settings, Options(), {}, digest=NOW)

    def driver(self, name: str) -> Driver:
        assert name == "do"
        return self.driver_of_do


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def drift(world: World) -> Drift:
    return Drift(world.example, BakedImages(world.driver, INFO))


def test_a_node_that_is_as_configured_has_not_drifted(drift: Drift) -> None:
    assert drift.of(record(), instance()) == ()
    assert drift.known(record(), instance()) == drift.known(record()) == []


def test_the_words_of_the_parts_that_differ_are_returned(drift: Drift) -> None:
    assert drift.of(record(digest=OLD)) == ("image", "settings")


def test_the_instances_digest_counts_if_the_record_has_none(drift: Drift) -> None:
    assert drift.known(record(digest=None), instance(digest=OLD)) == ["image", "settings"]
    assert drift.known(record(digest="nonsense"), instance(digest=OLD)) == ["image", "settings"]
    assert drift.known(record(digest=NOW), instance(digest=OLD)) == [], "the record was written before the create call"


@pytest.mark.parametrize(
    ("in_record", "at_provider", "configured", "words"),
    [("s-1", "s-1", "s-1", []), ("s-1", "s-2", "s-1", ["size"]), ("s-1", "s-2", "s-2", []), ("s-1", None, "s-1", []),
     ("s-1", None, "s-2", ["size"]), ("s-2", "s-1", "s-1", [])],
)  # fmt: skip
@pytest.mark.parametrize("digest", [NOW, OLD.replace("-00000000-00000000-8", "-00000000-fe2fd151-8")])
def test_the_size_is_that_of_now(
    drift: Drift, world: World, in_record: str, at_provider: str | None, configured: str, words: list[str], digest: str
) -> None:
    """``hart.resize`` changes it after the creation, and so can people."""
    world.size = configured
    found = drift.known(record(size=in_record, digest=digest), instance(size=at_provider))
    assert found == [*words, *(["settings"] if digest != NOW else [])]


@pytest.mark.parametrize(
    "changes",
    [{"digest": None}, {"digest": ""}, {"digest": "1-2-3"}, {"role": None}, {"role": "gone"}, {"provider": "gone"},
     {"kind": "master"}, {"region": ""}],
)  # fmt: skip
def test_what_cannot_be_compared_has_not_drifted(drift: Drift, changes: dict[str, Any]) -> None:
    """A node of before digests, or an imported one, and a role that is not configured any more."""
    one = record(**{"size": "s-9", **changes})
    assert drift.known(one, instance()) is None
    assert drift.of(one) == ()


def test_the_configuration_of_a_place_is_resolved_once(drift: Drift, world: World) -> None:
    for number in range(100):
        drift.of(record(minion_id=f"web-{number}", region="fra1" if number % 2 else "nyc3"))
        drift.of(record(minion_id=f"db-{number}", role="gone"))
    assert sorted(map(str, world.asked)) == sorted(
        map(str, [("app", "do", "nyc3"), ("app", "do", "fra1"), ("gone", "do", "nyc3")])
    )


# baked images


def image_part(drift: Drift, digest: str, **changes: Any) -> bool:
    """Return whether the image of a node with this digest differs."""
    return "image" in drift.of(record(digest=digest, **changes))


def of(image: str) -> str:
    return with_image(NOW, f"i-{image}")


def test_a_node_differs_unless_it_runs_from_the_newest_baked_image(drift: Drift, world: World) -> None:
    world.image = "baked"
    world.driver_of_do.there = [baked("old", 1.0), baked("new", 3.0), baked("middle", 2.0)]
    assert not image_part(drift, of("new"))
    assert image_part(drift, of("old"))
    assert image_part(drift, of("deleted"))
    assert image_part(drift, with_plain_image(NOW, PLAIN)), "an unbaked node"
    assert drift.known(record(digest=of("new"))) == [], "nothing else of it differs"
    assert drift.problems == []


@pytest.mark.parametrize(
    "unfit",
    [{"complete": False}, {"state": IMAGE_PENDING}, {"role": "db"}, {"role": None}, {"regions": ("fra1",)},
     {"arch": "arm64"}, {"disk_gb": 30.0}, {"release": "3007.1"}],
)  # fmt: skip
def test_an_image_that_the_node_cannot_boot_makes_no_drift(drift: Drift, world: World, unfit: dict[str, Any]) -> None:
    world.image = "baked"
    world.driver_of_do.there = [baked("old", 1.0), baked("new", 3.0, **unfit)]
    assert not image_part(drift, of("old"))
    assert image_part(drift, of("new"))


def test_without_an_image_that_fits_nodes_are_compared_with_the_plain_one(drift: Drift, world: World) -> None:
    world.image = "baked"
    assert not image_part(drift, with_plain_image(NOW, PLAIN))
    assert image_part(drift, with_plain_image(NOW, "debian-12"))
    assert image_part(drift, of("deleted"))


def test_without_an_image_nodes_that_need_one_stay_as_they_are(drift: Drift, world: World) -> None:
    """No node could be created in their place."""
    world.image = "baked!"
    assert not image_part(drift, of("deleted"))
    assert drift.problems == []


def test_a_role_that_needs_a_baked_image_is_compared_with_the_newest_one(drift: Drift, world: World) -> None:
    world.image = "baked!"
    world.driver_of_do.there = [baked("new", 3.0)]
    assert (image_part(drift, of("new")), image_part(drift, of("old"))) == (False, True)


@pytest.mark.parametrize("what", ["list_error", "size_error"])
def test_what_the_provider_does_not_say_is_no_drift(drift: Drift, world: World, what: str) -> None:
    world.image = "baked"
    world.driver_of_do.there = [baked("new", 3.0)]
    setattr(world.driver_of_do, what, TemporaryFailure("do: it does not answer"))
    differs = of("old").replace("644b00b0", "00000000")
    assert drift.known(record(digest=differs, size="s-9")) == ["size", "settings"], "the other parts are compared"
    (problem,) = drift.problems
    assert problem.startswith("do: it is not known which nodes run from the newest baked image: do: it does not")
    assert drift.problem("app", "do", "nyc3") == problem
    assert drift.problem("app", "do", "fra1") == problem
    assert drift.problems == [problem], "it is said once"


def test_a_size_that_does_not_exist_any_more_is_no_reason_not_to_compare(drift: Drift, world: World) -> None:
    world.image = "baked"
    world.driver_of_do.there = [baked("new", 3.0)]
    world.driver_of_do.size_error = InvalidRequest("do: there is no size s-1")
    assert (image_part(drift, of("new")), image_part(drift, of("old"))) == (False, True)


def test_a_signal_is_not_taken_for_a_failure_of_the_provider(drift: Drift, world: World) -> None:
    world.image = "baked"
    world.driver_of_do.list_error = Interrupted(15, "SIGTERM")
    with pytest.raises(Interrupted):
        drift.of(record())


def test_a_provider_is_asked_once_and_only_for_roles_that_boot_baked_images(drift: Drift, world: World) -> None:
    drift.of(record())
    assert world.driver_of_do.lists == 0
    world.image = "baked"
    world.driver_of_do.there = [baked("new", 3.0)]
    for number in range(100):
        drift.of(record(minion_id=f"web-{number}", region="fra1" if number % 2 else "ams3"))
    assert (world.driver_of_do.lists, world.driver_of_do.looks) == (1, 2), "a look at the size for each region"


def test_a_provider_that_has_not_answered_is_not_asked_for_images(drift: Drift, world: World) -> None:
    world.image = "baked"
    drift.ask_only(["other"])
    assert drift.known(record(digest=of("old"))) == []
    assert (world.driver_of_do.lists, drift.problems) == (0, [])


@pytest.mark.parametrize(
    ("in_record", "in_tag", "ends"),
    [(None, None, None), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 7.0, 7.0), (9.0, 7.0, 9.0)],
)  # fmt: skip
def test_the_later_of_two_ends_counts(in_record: float | None, in_tag: float | None, ends: float | None) -> None:
    assert end_of(record(ends=in_record), instance(ends=in_tag)) == ends
    assert end_of(record(ends=in_record), None) == in_record
    assert end_of(None, instance(ends=in_tag)) == in_tag
