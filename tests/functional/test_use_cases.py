"""
The functions of the runner on a master with a fake provider, without daemons.

Configuration, records, locks and the key store are the real ones below a directory of the test. The provider keeps its
account in memory and launches nothing, and no minion answers unless a test says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt import answer
from hart_salt.base.errors import AuthError, QuotaExceeded
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import READY, Record, Store
from hart_salt.master.client import Master
from hart_salt.master.minions import Minions
from hart_salt.model import Access, Image, Instance, MasterInfo, Node, Region, Size
from hart_salt.runners import hart as runner
from tests.former import former_of
from tests.functional.fakes import EmptyDriver
from tests.parts import master_opts
from tests.public_keys import new_public_key

CLOUD = "cloud"
HART: dict[str, Any] = {
    "saltmaster": "salt.example.com",
    "providers": {CLOUD: {"driver": "local"}, "other": {"driver": "local"}},
    "roles": {
        "app": {"provider": CLOUD, "size": "small", "region": "here", "role_naming_scheme": "{role}-{unique_id}"},
        "db": {"provider": "other", "region": "here", "size": "big"},
    },
}


class Cloud(EmptyDriver):
    """A provider with two zones and two sizes, which has no room for more."""

    platform = "debian"

    def __init__(self, name: str, info: MasterInfo) -> None:
        super().__init__(name, info)
        #: by instance id
        self.account: dict[str, Instance] = {}
        #: what its API answers to every list
        self.error: Exception | None = None

    def check(self) -> str:
        if self.error:
            raise self.error
        return "as the account example"

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        raise QuotaExceeded("the account may have 0 instances")

    def instances(self, region: str | None = None) -> list[Instance]:
        if self.error:
            raise self.error
        return list(self.account.values())

    def protect(self, instance: Instance, *, on: bool) -> None:
        if self.error:
            raise self.error
        if instance.instance_id in self.account:
            there = self.account[instance.instance_id]
            self.account[instance.instance_id] = replace(there, protected=on)

    def terminate(self, instance: Instance) -> None:
        self.account.pop(instance.instance_id, None)

    def regions(self) -> Sequence[Region]:
        return [Region("here", "this place", ("here-a", "here-b")), Region("there")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        return [
            Size("free", 512, 1.0),
            Size("big", 4096, 4.0, None, 40.0),
            Size("small", 1024, 1.0, None, 5.0),
        ]

    def images(self, region: str | None) -> Sequence[Image]:
        return [Image("debian-13", "Debian 13")]


@dataclass
class Place:
    """The master, and what belongs to it."""

    opts: dict[str, Any]
    info: MasterInfo
    clouds: dict[str, Cloud]
    #: minions that answer a ping
    present: set[str] = field(default_factory=set)

    @property
    def store(self) -> Store:
        return Store(Master(self.opts).cache())

    def start(self, minion_id: str, role: str = "app", provider: str = CLOUD, **changes: Any) -> Record:
        """Make a ready node: instance, record and accepted key."""
        instance = Instance(
            f"i-{minion_id}", minion_id, "running", role, "b1", "here", "here-a", "small", public_ip="203.0.113.7",
            created=1.0,
        )  # fmt: skip
        self.clouds[provider].account[instance.instance_id] = instance
        given: dict[str, Any] = {
            "minion_id": minion_id, "provider": provider, "driver": "local", "region": "here", "size": "small",
            "stage": READY, "owner": self.info.owner, "batch": "b1", "created": 1.0, "role": role, "zone": "here-a",
            "instance_id": instance.instance_id, "public_ip": "203.0.113.7", "sealed": True,
        }  # fmt: skip
        record = Record(**{**given, **changes})
        self.store.put(record)
        self.accept(minion_id)
        self.present.add(minion_id)
        return record

    def accept(self, minion_id: str) -> None:
        keys = Path(self.opts["pki_dir"]) / "minions"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / minion_id).write_text(public_key())


@functools.cache
def public_key() -> str:
    """Return a minion's public key; making one takes a moment."""
    return new_public_key()


@pytest.fixture
def place(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    opts = master_opts(root, hart=HART, pillar_roots={"base": [str(root)]})
    info = Master(opts).info()
    clouds = {name: Cloud(name, info) for name in HART["providers"]}
    made = Place(opts, info, clouds)
    for name, value in {"__opts__": opts, "__context__": {}, "__jid__": "1", "__user__": "root"}.items():
        monkeypatch.setattr(runner, name, value, raising=False)
    monkeypatch.setattr("hart_salt.base.signals.exit_with", lambda code: None)
    monkeypatch.setattr("hart_salt.drivers.driver_class", lambda kind: lambda provider, info: clouds[provider.name])
    monkeypatch.setattr(Master, "require_running", lambda self: None)
    monkeypatch.setattr(Minions, "present", lambda self, ids: made.present & set(ids))
    monkeypatch.setattr("hart_salt.service.DEFAULT_CONFIG_FILE", str(root / "no.toml"))
    monkeypatch.setattr("hart_salt.node.undo.UNDO_INTERVAL", 0)
    yield made


def call(function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Call a function of the runner, and return its document with the ids at the top level."""
    data: dict[str, Any] = former_of(getattr(runner, function)(*arguments, **keywords))
    return data


def refusal(data: Mapping[str, Any]) -> str:
    assert data["retcode"] == answer.REFUSED, data
    return str(data["error"])


# queries


def test_roles_and_what_a_node_of_one_would_be(place: Place) -> None:
    assert set(call("list_roles")) == {"app", "db"}
    shown = call("show_role", "app", size="big")
    assert (shown["provider"], shown["region"], shown["size"]) == (CLOUD, "here", "big")


def test_what_a_provider_offers(place: Place) -> None:
    regions = call("list_regions", CLOUD)
    assert (list(regions), regions["here"]["zones"]) == (["here", "there"], ["here-a", "here-b"])
    sizes = call("list_sizes", CLOUD)
    assert list(sizes) == ["small", "big", "free"], "cheapest first, without a price last"
    assert list(call("list_images", CLOUD, region="here")) == ["debian-13"]


def test_version(place: Place) -> None:
    assert {"hart-salt", "salt", "python", "runner", "package"} <= set(call("version"))


# nodes


def started(then: Callable[[Place], object]) -> Callable[[Place], object]:
    """Return what starts a node and changes something afterwards."""

    def begin(place: Place) -> None:
        place.start("web-1")
        then(place)

    return begin


STATES: list[tuple[str, Callable[[Place], object]]] = [
    ("ready", lambda place: place.start("web-1")),
    ("unsealed", lambda place: place.start("web-1", sealed=False)),
    ("left at enrolled", lambda place: place.start("web-1", stage="enrolled")),
    ("failed", lambda place: place.start("web-1", stage="failed", kept=True)),
    ("no instance", started(lambda place: place.clouds[CLOUD].account.clear())),
    ("unreachable", started(lambda place: place.present.clear())),
    ("unsealed", lambda place: place.start("web-1", kind="master", sealed=False)),
    ("no record", started(lambda place: place.store.remove("web-1"))),
]


@pytest.mark.parametrize(("status", "begin"), STATES, ids=[f"{n} {status}" for n, (status, _) in enumerate(STATES)])
def test_the_status_of_a_node(place: Place, status: str, begin: Callable[[Place], object]) -> None:
    begin(place)
    listed = call("list_minions")
    assert listed["web-1"]["status"] == status
    assert call("show", "web-1")["status"] == status
    assert call("list_minions", status=status, role="app", provider=CLOUD) == {"web-1": listed["web-1"]}
    assert call("list_minions", status="elsewhere") == {}


def test_the_node_of_a_bake_that_died_says_that_a_sweep_removes_it(place: Place) -> None:
    named = "hart-bake-app-0a1b2c3d"
    place.start(named, kind="bake", stage="imaging")
    why = "it is left from a bake that has ended: salt-run hart.sweep removes it"
    assert call("list_minions")[named]["note"] == call("show", named)["note"] == why
    place.store.remove(named)
    assert call("list_minions")[named]["note"] == why, "the id says it, too"
    place.start("web-1")
    assert "note" not in call("list_minions")["web-1"]


def test_a_node_whose_provider_does_not_answer_is_unknown(place: Place) -> None:
    place.start("web-1")
    place.clouds[CLOUD].error = AuthError("the token is not valid")
    listed = call("list_minions")
    assert listed["web-1"]["status"] == "unknown"
    assert listed["errors"] == [f"{CLOUD}: the token is not valid"]
    assert listed["retcode"]


def test_a_key_alone_is_not_ours(place: Place) -> None:
    place.accept("theirs")
    listed = call("list_minions", ping=False)
    assert listed["theirs"]["status"] == "not ours"
    assert listed["theirs"]["sources"]["key"] == "accepted"


def test_what_is_no_node_cannot_be_shown(place: Place) -> None:
    assert "web-9" in refusal(call("show", "web-9"))
    assert "a/b" in refusal(call("show", "a/b"))


def test_one_node_by_its_record(place: Place) -> None:
    place.start("web-1")
    assert call("node", "web-1")["role"] == "app"
    assert call("node_of", "203.0.113.7")["minion_id"] == "web-1"


# creating


def test_the_plan_of_new_nodes(place: Place) -> None:
    planned = call("create", "web-1,web-2", role="app", test=True)
    assert {"web-1", "web-2"} <= set(str(planned).replace("'", " ").split())
    assert "retcode" not in planned
    assert place.store.read().good == {}


def test_the_zone_with_the_fewest_nodes(place: Place) -> None:
    place.start("web-1")
    planned = call("create", "web-2", role="app", zone="distributed", test=True)
    assert "here-b" in str(planned)
    assert "has no zones in there" in refusal(
        call("create", "web-2", role="app", region="there", zone="distributed", test=True)
    )


def test_everything_that_is_wrong_with_new_nodes_is_named_at_once(place: Place) -> None:
    place.start("web-1")
    place.accept("web-2")
    Master(place.opts).keys.delete(["web-1"])
    place.clouds[CLOUD].account["i-3"] = Instance("i-3", "web-3", "running", "app", "b1", "here")
    names = "web-1,web-2,web-3,web-4"
    text = refusal(call("create", names, role="app", size="huge", zone="here-z", script="/nowhere", test=True))
    assert "web-1: a node with that id exists" in text
    assert "web-2: a key with that id exists, accepted" in text
    assert f"web-3: {CLOUD} has an instance with that id" in text
    assert "web-4" not in text
    assert f"{CLOUD}: " in text
    for unknown in ("huge", "here-z", "/nowhere"):
        assert unknown in text
    assert "nowhere" in refusal(call("create", "web-4", role="app", region="nowhere", test=True))


def test_a_node_that_cannot_be_launched_leaves_nothing(place: Place) -> None:
    made = call("create_role", "app")
    assert made["retcode"]
    (entry,) = (value for value in made.values() if isinstance(value, dict))
    assert entry["result"] is False
    assert "the account may have 0 instances" in entry["error"]
    assert place.store.read().good == {}


def test_the_plan_of_a_master(place: Place) -> None:
    planned = call("create_master", "salt-1", provider=CLOUD, region="here", size="small", test=True)
    assert "salt-1" in str(planned)
    assert "retcode" not in planned


def test_a_master_that_cannot_be_launched(place: Place) -> None:
    made = call("create_master", "salt-1", provider=CLOUD, region="here", size="small", hart_salt="hart-salt==1.0.0")
    assert made["salt-1"]["result"] is False


def test_no_master_of_a_driver_without_machines(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(place.clouds[CLOUD]), "platform", "local")
    assert "cannot have a salt-master" in refusal(call("create_master", "salt-1", provider=CLOUD, size="small"))


# destroying, scaling, sweeping


def test_nodes_are_planned_to_be_destroyed_and_destroyed(place: Place) -> None:
    place.start("web-1")
    assert call("destroy", "web-1", test=True)["web-1"]["result"] is None
    assert place.store.get("web-1")
    assert call("destroy", "web-1")["web-1"]["result"] is True
    assert (place.store.get("web-1"), place.clouds[CLOUD].account) == (None, {})
    assert "web-1" not in Master(place.opts).keys.states()


def test_what_only_another_master_can_change_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileLocks, "elsewhere", lambda self, record: f"the master with the mark {record.owner} has it")
    place.start("web-1", owner="another")
    there = "web-1: the master with the mark another has it: call salt-run hart.{} web-1 there"
    for function, more in {"destroy": {}, "add_ip": {"kind": "additional"}, "remove_ip": {"ip": "203.0.113.7"}}.items():
        assert refusal(call(function, "web-1", **more)).startswith(there.format(function))
    assert list(place.clouds[CLOUD].account) == ["i-web-1"]


def test_what_is_no_node_is_not_destroyed(place: Place) -> None:
    assert "web-9" in refusal(call("destroy", "web-9"))


def test_a_role_is_scaled_down_to_what_is_wanted(place: Place) -> None:
    place.start("web-1")
    place.start("web-2")
    planned = call("scale", "app", count=1, test=True)
    assert "retcode" not in planned
    assert len(place.clouds[CLOUD].account) == 2
    assert "retcode" not in call("scale", "app", count=1)
    assert len(place.clouds[CLOUD].account) == 1


def test_a_role_that_cannot_grow(place: Place) -> None:
    data = call("scale", "app", count=1)
    assert data["retcode"]
    assert "the account may have 0 instances" in str(data)


def test_the_replacement_of_a_role_is_planned(place: Place) -> None:
    place.start("web-1")
    planned = call("replace", "app", test=True)
    assert "web-1" in str(planned)
    assert len(place.clouds[CLOUD].account) == 1


def test_the_sweep_removes_a_node_that_is_left_and_no_ready_one(place: Place) -> None:
    place.start("web-1")
    place.start("web-2", stage="enrolled")
    assert "its minion answers" in call("sweep", grace=0)["kept"][0]["why"]
    place.present.remove("web-2")
    found = call("sweep", grace=0, test=True)
    assert "web-2" in str(found["would_remove"])
    assert len(place.clouds[CLOUD].account) == 2
    call("sweep", grace=0, provider=CLOUD)
    assert list(place.clouds[CLOUD].account) == ["i-web-1"]


def test_a_sweep_at_a_provider_that_does_not_answer_fails(place: Place) -> None:
    place.clouds[CLOUD].error = AuthError("the token is not valid")
    data = call("sweep")
    assert data["retcode"]
    assert "the token is not valid" in str(data["errors"])


def test_an_unknown_provider_is_refused(place: Place) -> None:
    for function in ("list_minions", "sweep", "list_sizes"):
        keywords = {"provider": "nobody"}
        assert "nobody" in refusal(call(function, **keywords))


# minions


@pytest.mark.parametrize(
    ("sealed", "result"),
    [(True, True), (["/run/hart is left"], False), (None, False), ("no such function", False)],
)
def test_minions_are_asked_for_their_seal(
    place: Place, monkeypatch: pytest.MonkeyPatch, sealed: Any, result: bool
) -> None:
    def ask(self: Minions, target: str, target_type: str, function: str) -> dict[str, Any]:
        assert (target, target_type, function) == ("web-*", "glob", "hart.sealed")
        return {"web-1": sealed}

    monkeypatch.setattr(Minions, "ask", ask)
    assert call("check_seal", "web-*")["web-1"]["result"] is result


def test_a_provider_without_addresses_refuses_one(place: Place) -> None:
    place.start("web-1")
    assert CLOUD in refusal(call("add_ip", "web-1", kind="additional"))
    removed = call("remove_ip", "web-1", ip="203.0.113.9")
    assert removed["web-1"]["changed"] is False


@pytest.mark.parametrize("state", ["left", "absent"])
def test_only_a_ready_node_gets_an_address(place: Place, state: str) -> None:
    if state == "left":
        place.start("web-1", stage="enrolled")
    assert "web-1" in refusal(call("add_ip", "web-1", kind="additional"))


def test_a_provider_of_which_nothing_can_be_imported(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.accept("web-1")
    monkeypatch.setattr(Minions, "grains", lambda self, ids, names: dict.fromkeys(ids, {"id": "web-1"}))
    assert "there is nothing to import" in refusal(call("import_minion", "web-1", provider=CLOUD, role="app"))


def test_a_record_that_was_lost_is_written_again_before_its_role_is_scaled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.start("web-1")
    place.store.remove("web-1")
    monkeypatch.setattr(Minions, "shell_all", lambda self, ids, script, arguments: dict.fromkeys(ids, (0, "")))
    assert call("scale", "app", count=1, test=True)
    assert place.store.get("web-1") is None, "a test writes nothing"
    assert "retcode" not in call("scale", "app", count=1)
    record = place.store.get("web-1")
    assert record is not None
    assert (record.stage, record.sealed) == (READY, True)
