"""The functions of the runner for baked images, on a master with a fake provider, without daemons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.drivers import OWN, schemas
from hart_salt.images.bake import Order
from hart_salt.model import BakedImage, Price
from hart_salt.planning.digest import with_image
from hart_salt.runners import hart as runner
from hart_salt.use_cases.images import for_a_bake
from tests.functional.test_use_cases import CLOUD, HART, Cloud, Place, call, place, refusal

__all__ = ["place"]

DIGEST = "1-" + "-".join(["0" * 8] * 6)


class ImageCloud(Cloud):
    """A provider with baked images, of which each can be used in one region."""

    makes_images: ClassVar[bool] = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stored: dict[str, BakedImage] = {}
        self.undeletable: Exception | None = None
        #: how often the images were listed
        self.lists = 0

    def add(self, image_id: str, created: float = 1.0, role: str = "app", **more: Any) -> BakedImage:
        facts: dict[str, Any] = {
            "state": "available", "complete": True, "release": "", "regions": ("here",), "size_gb": 2.0, **more,
        }  # fmt: skip
        made = BakedImage(image_id, f"hart-{role}-{image_id}", role=role, created=created, **facts)
        self.stored[image_id] = made
        return made

    def baked_images(self, region: str | None = None) -> list[BakedImage]:
        self.lists += 1
        if self.error:
            raise self.error
        return [one for one in self.stored.values() if region in (None, *one.regions)]

    def delete_image(self, image: BakedImage) -> None:
        if self.undeletable:
            raise self.undeletable
        del self.stored[image.image_id]

    def image_price(self, region: str) -> Price | None:
        return Price(0.05)


def configured(monkeypatch: pytest.MonkeyPatch, place: Place, **role: Any) -> ImageCloud:
    """Change the role ``app``, and return a provider with images."""
    roles = {**HART["roles"], "app": {**HART["roles"]["app"], **role}}
    monkeypatch.setitem(place.opts, "hart", {**HART, "roles": roles})
    cloud = ImageCloud(CLOUD, place.info)
    place.clouds[CLOUD] = cloud
    return cloud


def running_from(place: Place, minion_id: str, image_id: str) -> None:
    """Make a ready node of an image; only its tags say so."""
    place.start(minion_id)
    account = place.clouds[CLOUD].account
    account[f"i-{minion_id}"] = replace(account[f"i-{minion_id}"], digest=with_image(DIGEST, image_id))


# baking


def test_no_other_node_gets_an_id_of_a_bake(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep decides from the id whether an instance without a record is to go although its key is accepted."""
    configured(monkeypatch, place, role_naming_scheme="hart-bake-{role}-0a1b2c3d")
    for function, name in (("create", "hart-bake-db-0a1b2c3d"), ("create_role", "app")):
        given = {"role": "app"} if function == "create" else {}
        assert "only hart.bake makes such ids" in refusal(call(function, name, **given))
    said = refusal(call("create_master", "hart-bake-db-0a1b2c3d", provider=CLOUD))
    assert said.startswith("hart-bake-db-0a1b2c3d: only hart.bake makes such ids")
    assert list(place.store.all()) == []


def test_the_plan_of_a_bake_has_node_states_and_prices(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place, image="baked", base_image="bookworm", script="/no/such/file")
    entry = call("bake", "app", region="here", test=True)["app"]
    assert (entry["result"], entry["action"], entry["role"], entry["region"]) == (None, "bake", "app", "here")
    assert (entry["base_image"], entry["apply"], entry["copies"]) == ("bookworm", None, [])
    assert (entry["monthly_price"], entry["image_price_gb"], entry["image_currency"]) == (5.0, 0.05, "USD")
    assert len(entry["notes"]) == 1
    assert "the role has no setting bake" in entry["notes"][0]


@pytest.mark.parametrize("setting", ["bake", "apply", "drain"])
def test_a_check_says_which_states_of_a_role_this_master_does_not_have(
    place: Place, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    configured(monkeypatch, place, **{setting: ["no.such"]})
    document = runner.check(role="app")
    line = document["checks"][f"{CLOUD} app states"]
    assert line.startswith(f"problem: {setting}: there is no state no.such")
    assert document["retcode"] == 1
    configured(monkeypatch, place)
    assert f"{CLOUD} app states" not in runner.check(role="app")["checks"]


def test_a_check_says_which_files_of_a_role_cannot_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place, script="/no/such/file")
    line = call("check", role="app")[f"{CLOUD} app files"]
    assert line.startswith("problem: script: /no/such/file: No such file or directory")


NOT_BOOTED = "the nodes of the role app boot bookworm: set image to baked to boot the image"


@pytest.mark.parametrize(
    ("image", "given", "noted"),
    [
        ("baked", {"image": "bookworm"}, False),
        ("baked!", {"debian_codename": "bookworm"}, False),
        ("bookworm", {"image": "baked"}, True),
        ("bookworm", {"image": "trixie"}, True),
        ("bookworm", {}, True),
    ],
)
def test_a_bake_notes_if_the_role_does_not_boot_baked_images_whatever_it_starts_from(
    place: Place, monkeypatch: pytest.MonkeyPatch, image: str, given: dict[str, Any], noted: bool
) -> None:
    configured(monkeypatch, place, image=image, bake=["base"])
    monkeypatch.setattr("hart_salt.master.client.unknown_states", lambda *_: [])
    assert call("bake", "app", **given, test=True)["app"]["notes"] == [NOT_BOOTED] * noted


@pytest.mark.parametrize(
    ("hart", "role", "path"),
    [
        ({"image": "bullseye"}, {"image": "baked"}, "hart:image"),
        ({"image": "trixie"}, {"image": "baked", "base_image": "bullseye"}, "hart:roles:app:base_image"),
        ({"base_image": "trixie"}, {"image": "bullseye"}, "hart:roles:app:image"),
    ],
)
def test_an_image_that_hart_cannot_boot_is_refused_with_its_setting(
    place: Place, monkeypatch: pytest.MonkeyPatch, hart: dict[str, Any], role: dict[str, Any], path: str
) -> None:
    configured(monkeypatch, place, **role)
    monkeypatch.setitem(place.opts, "hart", {**place.opts["hart"], **hart})
    assert refusal(call("create_role", "app")).startswith(f"{path}: hart cannot boot bullseye, only Debian 12")
    checks = call("check", role="app")
    assert checks[f"{CLOUD} app image"].startswith(f"problem: {path}: hart cannot boot bullseye")
    if role["image"] == "baked":
        assert refusal(call("bake", "app")).startswith(f"{path}: hart cannot boot bullseye")


def test_further_regions_get_copies(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place)
    assert call("bake", "app", region="here,there,here", test=True)["app"]["copies"] == ["there"]
    monkeypatch.setattr(cloud, "images_everywhere", True)
    entry = call("bake", "app", region=["here", "there"], test=True)["app"]
    assert entry["copies"] == []
    assert f"an image of {CLOUD} can be used in every region, so none was copied" in entry["notes"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"role": "ap"}, "there is no role ap, did you mean app?"),
        ({"role": "app", "region": "here,thre"}, "region: cloud has no region thre, did you mean there?"),
        ({"role": "app", "region": "her"}, "no region her"),
        ({"role": "app", "keep": 0}, "keep must be a whole number"),
        ({"role": "app", "apply": "no.such"}, "apply: there is no state no.such"),
        ({"role": "app", "bake": "no.such"}, "bake: there is no state no.such"),
        ({"role": "app", "base_image": "baked"}, "must name an image, such as trixie, and not baked"),
        ({"role": "app", "szie": "small"}, "argument:szie: unknown setting"),
        ({"role": "app", "region": []}, "region must not be empty"),
    ],
)
def test_what_is_wrong_is_refused_with_nothing_done(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], error: str
) -> None:
    configured(monkeypatch, place)
    assert error in refusal(call("bake", **arguments))
    assert list(place.store.all()) == []


def test_a_provider_without_images_is_refused(place: Place) -> None:
    assert refusal(call("bake", "db")) == "other cannot have baked images: its driver cannot make images of instances"


def test_a_bake_whose_node_cannot_be_created_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place)
    document = runner.bake("app")
    assert document["bakes"]["app"]["result"] is False
    assert document["bakes"]["app"]["error"] == "the account may have 0 instances"
    assert document["retcode"] == 1
    assert list(place.store.all()) == []


@pytest.mark.parametrize("driver", sorted(set(OWN) - {"local", "vultr"}))
def test_the_node_of_a_bake_is_no_spot_instance_and_keeps_no_volume(driver: str) -> None:
    """EC2 cannot stop a spot instance, and a volume that stays would be one more after each bake."""
    section = schemas()[driver].options
    own = {name: True for name in ("spot", "keep_volumes") if name in section.model_fields}
    made = for_a_bake(section(**own))
    assert [getattr(made, name) for name in own] == [False] * len(own)
    assert made == section()


def baking_well(*_: Any) -> tuple[dict[str, Any], int | None, list[str]]:
    return {"result": True, "notes": []}, None, []


def baking_into(cloud: ImageCloud) -> Any:
    """Return a bake that makes an image like the newest one."""

    def bake(*_: Any) -> tuple[dict[str, Any], int | None, list[str]]:
        newest = list(cloud.stored.values())[-1]
        cloud.add("new", created=99.0, regions=newest.regions)
        return baking_well()

    return bake


def test_the_oldest_images_are_deleted_after_a_bake(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, bake_keep=2)
    monkeypatch.setattr("hart_salt.use_cases.images.bake", baking_well)
    for number in range(1, 6):
        cloud.add(f"i-{number}", created=float(number))
    running_from(place, "web", "i-1")
    entry = call("bake", "app")["app"]
    assert entry["deleted"] == ["i-3", "i-2"]
    assert "the image i-1 (hart-app-i-1) stays although it is old: web runs from it" in entry["notes"]
    assert list(cloud.stored) == ["i-1", "i-4", "i-5"]
    assert call("bake", "app", keep=1)["app"]["deleted"] == ["i-4"]


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_plan_has_the_images_that_the_bake_deletes(
    place: Place, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    cloud = configured(monkeypatch, place, bake_keep=3)
    monkeypatch.setattr(cloud, "images_everywhere", everywhere)
    monkeypatch.setattr("hart_salt.use_cases.images.bake", baking_into(cloud))
    for number in range(1, 5):
        cloud.add(f"i-{number}", created=float(number), regions=() if everywhere else ("here",))
    running_from(place, "web", "i-1")
    planned = call("bake", "app", test=True)["app"]
    assert (planned["keep"], planned["deleted"]) == (3, ["i-2"])
    assert "the image i-1 (hart-app-i-1) stays although it is old: web runs from it" in planned["notes"]
    assert call("bake", "app", keep=1, test=True)["app"]["deleted"] == ["i-4", "i-3", "i-2"]
    assert list(cloud.stored) == ["i-1", "i-2", "i-3", "i-4"]
    assert call("bake", "app")["app"]["deleted"] == planned["deleted"]


def test_a_plan_says_why_nothing_is_deleted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, bake_keep=1)
    cloud.add("old")

    def unknown(*_: Any) -> Any:
        raise AuthError("no")

    monkeypatch.setattr("hart_salt.use_cases.images.take_snapshot", unknown)
    planned = call("bake", "app", test=True)["app"]
    assert planned["deleted"] == []
    assert "no old image is deleted: no" in planned["notes"]


def test_old_images_that_cannot_be_deleted_fail_no_bake(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, bake_keep=1)
    monkeypatch.setattr("hart_salt.use_cases.images.bake", baking_well)
    cloud.add("old")
    cloud.add("new", created=2.0)
    cloud.undeletable = AuthError("no")
    document = runner.bake("app")
    assert document["bakes"]["app"]["result"] is True
    assert "the image old could not be deleted: no" in document["bakes"]["app"]["notes"]
    assert "retcode" not in document


# using


def test_a_plan_says_which_image_boots_and_why_another_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = configured(monkeypatch, place, image="baked", base_image="bookworm")
    (entry,) = call("create_role", "app", test=True).values()
    none = f"{CLOUD} has no baked image of the role app; salt-run hart.bake app makes an image"
    assert (entry["image"], entry["notes"]) == ("bookworm", [f"it boots the image bookworm: {none}"])
    cloud.add("old")
    cloud.add("new", created=2.0)
    cloud.add("half", created=3.0, complete=False)
    (entry,) = call("create_role", "app", test=True).values()
    assert entry["image"] == "new"
    assert "notes" not in entry


def test_a_check_names_the_image_that_boots_or_says_why_there_is_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = configured(monkeypatch, place, image="baked", base_image="bookworm")
    name, none = f"{CLOUD} app baked image", f"{CLOUD} has no baked image of the role app"
    said = f"ok: it boots the image bookworm: {none}; salt-run hart.bake app makes an image"
    assert call("check", role="app")[name] == said
    cloud.add("i-1")
    assert call("check", role="app")[name] == "ok: it boots the baked image i-1"
    configured(monkeypatch, place, image="baked!")
    assert call("check", role="app")[f"{CLOUD} app image"].startswith(f"problem: image is baked!, but {none}; salt-run")
    configured(monkeypatch, place)
    assert name not in call("check", role="app")


@pytest.mark.parametrize("function", ["create", "create_master"])
@pytest.mark.parametrize("image", ["baked", "baked!"])
def test_a_node_without_a_role_boots_the_base_image_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, function: str, image: str
) -> None:
    configured(monkeypatch, place)
    monkeypatch.setitem(place.opts, "hart", {**place.opts["hart"], "image": image, "base_image": "bookworm"})
    entry = call(function, "n1", provider=CLOUD, region="here", size="small", test=True)["n1"]
    said = f"it boots the image bookworm: hart:image is {image}, but only nodes of a role boot baked images"
    assert (entry["image"], entry["notes"]) == ("bookworm", [said])
    plain = call(function, "n1", provider=CLOUD, region="here", size="small", image="trixie", test=True)["n1"]
    assert "notes" not in plain


def test_nodes_in_zones_that_hart_chooses_boot_the_image_which_is_looked_up_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = configured(monkeypatch, place, image="baked", base_image="bookworm")
    cloud.add("i-1")
    planned = call("create", "web-1,web-2", role="app", zone="distributed", test=True)
    assert {(one["zone"], one["image"]) for one in planned.values()} == {("here-a", "i-1"), ("here-b", "i-1")}
    assert cloud.lists == 1


def test_a_role_that_needs_a_baked_image_is_refused_without_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place, image="baked!")
    said = refusal(call("create_role", "app"))
    assert said.startswith("image is baked!, but cloud has no baked image of the role app; salt-run hart.bake app")


def test_images_that_cannot_be_listed_are_no_reason_for_a_plain_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = configured(monkeypatch, place, image="baked")
    cloud.error = AuthError("no")
    assert call("create_role", "app")["retcode"] != 0


def digest_of(apply: str | None) -> str:
    """Return the digest of an image of the role ``app``, as the configuration has it now, made with these states."""
    made: list[str] = []

    def bake(_: Any, order: Order, *more: Any) -> tuple[dict[str, Any], int | None, list[str]]:
        made.append(order.digest)
        return baking_well()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hart_salt.use_cases.images.bake", bake)
        assert call("bake", "app", apply=apply)["app"]["result"] is True
    return made[0]


def test_an_image_that_differs_from_the_configuration_is_booted_with_a_note(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = configured(monkeypatch, place, image="baked")
    cloud.add("base", digest=digest_of(None))
    (planned,) = call("create_role", "app", test=True).values()
    assert (planned["image"], "notes" in planned) == ("base", False)
    cloud.add("slow", created=2.0, digest=digest_of("highstate"))
    plans = call("create_role", "app", test=True), call("create", "w1", role="app", salt_version="3006", test=True)
    for planned in (one for plan in plans for one in plan.values()):
        assert planned["image"] == "slow"
        assert planned["notes"] == [
            "it boots the newest image of the role app, hart-app-slow, which differs from the configuration: base "
            "image or states; salt-run hart.bake app makes one that does not"
        ]


def test_a_bake_with_arguments_says_that_nodes_boot_its_image(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, place, image="baked")
    note = (
        "new nodes of the role app boot this image from now on, although it differs from the configuration: base image "
        "or states; the next salt-run hart.bake app makes one that does not"
    )
    assert note in call("bake", "app", apply="highstate", test=True)["app"]["notes"]
    monkeypatch.setattr("hart_salt.use_cases.images.bake", baking_well)
    assert note in call("bake", "app", apply="highstate")["app"]["notes"]
    for given in ({}, {"size": "big"}):
        assert note not in call("bake", "app", **given)["app"]["notes"]
    monkeypatch.setattr("hart_salt.use_cases.images.bake", lambda *_: ({"result": False, "notes": []}, None, []))
    assert note not in call("bake", "app", apply="highstate")["app"]["notes"]
