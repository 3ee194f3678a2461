"""What ``hart.interruption`` finds in the metadata of a cloud, through Salt's own loader."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import salt.loader

from hart_salt.modules import hart as module
from hart_salt.node import bootstrap
from tests.drivers.ec2.emulator import metadata as ec2
from tests.drivers.gce.emulator import metadata as gce
from tests.machines.machines import Spec
from tests.machines.metadata import LoopbackService, Provider, Reply
from tests.machines.network import Interface

NICS = (Interface("eth0", "private", "02:00:00:00:00:02", "10.213.0.4", "255.255.255.0", "10.213.0.1"),)
TIME = "2026-11-30T12:02:00Z"


def spec(cloud: str, **metadata: Any) -> Spec:
    return Spec("4112", "web-1", "", (), {"ec2": "ec2", "gce": "gce-startup"}[cloud], None, "10.213.0.4",
                metadata=metadata)  # fmt: skip


@dataclass
class Place:
    """A minion on an instance of a cloud, and the events that it fired."""

    opts: dict[str, Any]
    #: the present notices, as the emulator of the cloud takes them
    notices: dict[str, Any] = field(default_factory=dict)
    #: an answer for all paths that contain a word, instead of the cloud's own
    instead: dict[str, Reply] = field(default_factory=dict)
    fired: list[tuple[str, Any]] = field(default_factory=list)
    reachable: bool = True

    def provider(self, cloud: str) -> Provider:
        names = ("spot", "events")
        fields: dict[str, Any] = {name: lambda name=name: self.notices.get(name) for name in names}
        if cloud == "gce":
            fields = {"notices": lambda: self.notices}
        own = {"ec2": ec2, "gce": gce}[cloud].service(spec(cloud, **fields), NICS, ())

        def answer(method: str, path: str, headers: Any) -> Reply:
            other = next((reply for word, reply in self.instead.items() if word in path), None)
            return other or own(method, path, headers)

        return answer

    def ask(self, **arguments: Any) -> dict[str, Any]:
        function = salt.loader.minion_mods(self.opts)["hart.interruption"]

        def send(tag: str, data: Any) -> bool:
            self.fired.append((tag, data))
            return self.reachable

        function.__globals__["__salt__"] = {"event.send": send}
        found: dict[str, Any] = function(**arguments)
        return found


MakePlace = Callable[[str], Place]


@pytest.fixture
def on(minion_opts: dict[str, Any], tmp_path: Path) -> Iterator[MakePlace]:
    """Return a function that makes a minion on a cloud."""
    services: list[LoopbackService] = []

    def make(cloud: str) -> Place:
        place = Place({**minion_opts, "cachedir": str(tmp_path)})
        services.append(LoopbackService(place.provider(cloud)))
        reach = {"cloud": cloud, "address": LoopbackService.address, "port": services[-1].port}
        place.opts["hart_metadata"] = reach
        return place

    yield make
    for service in services:
        service.close()


def test_without_a_notice_there_is_none(on: MakePlace) -> None:
    assert on("ec2").ask() == {"notice": False, "source": "ec2"}
    assert on("gce").ask() == {"notice": False, "source": "gce"}


def test_the_notice_of_ec2_has_the_action_and_the_time(on: MakePlace) -> None:
    place = on("ec2")
    place.notices = ec2.notices("terminate", TIME)
    assert place.ask() == {"notice": True, "action": "terminate", "time": TIME, "source": "ec2"}


def test_a_recommendation_to_rebalance_is_no_notice(on: MakePlace) -> None:
    place = on("ec2")
    place.notices = ec2.notices("", "", TIME)
    assert place.ask(wake=True) == {"notice": False, "rebalance": TIME, "source": "ec2"}
    assert place.fired == []


@pytest.mark.parametrize(
    ("notices", "within"),
    [({"preempted": "TRUE"}, 30), ({"maintenanceEvent": "TERMINATE_ON_HOST_MAINTENANCE"}, 60)],
)
def test_the_notices_of_compute_engine_say_how_long_is_left(
    on: MakePlace, notices: dict[str, str], within: int
) -> None:
    place = on("gce")
    place.notices = notices
    assert place.ask() == {"notice": True, "action": "terminate", "within": within, "source": "gce"}


def test_a_migration_for_maintenance_is_no_notice(on: MakePlace) -> None:
    place = on("gce")
    place.notices = {"maintenanceEvent": "MIGRATE_ON_HOST_MAINTENANCE"}
    assert place.ask()["notice"] is False


NOTICE = json.dumps({"action": "terminate", "time": TIME}).encode()
HOSTILE: dict[str, Reply] = {
    "no JSON": (200, "text/plain", b"<html>"),
    "no mapping": (200, "text/plain", b"[]"),
    "without a time": (200, "text/plain", b'{"action": "terminate"}'),
    "too long": (200, "text/plain", NOTICE + b" " * 5000),
    "too deep": (200, "text/plain", b"[" * 4000),
    "no ASCII": (200, "text/plain", '{"action": "é"}'.encode()),
    "failure": (500, "text/plain", NOTICE),
    "redirect": (302, "text/plain", b"", {"Location": "http://203.0.113.1/"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_of_the_service_is_no_notice(on: MakePlace, name: str) -> None:
    place = on("ec2")
    place.instead = {"instance-action": HOSTILE[name]}
    found = place.ask(wake=True)
    assert found["notice"] is False
    assert found["error"].startswith("the metadata cannot be read: ")
    assert place.fired == []


@pytest.mark.parametrize(("cloud", "path"), [("ec2", "token"), ("gce", "preempted")])
def test_a_service_without_the_basic_path_is_another_one(on: MakePlace, cloud: str, path: str) -> None:
    place = on(cloud)
    place.instead = {path: (404, "text/plain", b"")}
    assert "error" in place.ask()


def test_texts_of_a_notice_are_bounded(on: MakePlace) -> None:
    place = on("ec2")
    place.notices = ec2.notices("t" * 1000, "2" * 1000)
    found = place.ask()
    assert (len(found["action"]), len(found["time"])) == (32, 32)


def test_a_proxy_is_never_used(on: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert "error" not in on("ec2").ask()


def test_a_service_that_does_not_answer_is_an_error_within_the_timeout(
    on: MakePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = on("gce")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        place.opts["hart_metadata"]["port"] = silent.getsockname()[1]
        function = salt.loader.minion_mods(place.opts)["hart.interruption"]
        function.__globals__["METADATA_TIMEOUT"] = 0.05
        assert function()["error"] == "the metadata cannot be read: TimeoutError"


# which cloud it is


@pytest.mark.parametrize(
    ("fields", "cloud"),
    [
        ({"sys_vendor": "Amazon EC2\n"}, "ec2"),
        ({"sys_vendor": "Xen\n", "bios_version": "4.11.amazon\n"}, "ec2"),
        ({"sys_vendor": "Google\n", "product_name": "Google Compute Engine\n"}, "gce"),
        ({"sys_vendor": "DigitalOcean\n", "product_name": "Droplet\n"}, ""),
        ({}, ""),
    ],
)
def test_the_firmware_says_which_cloud_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], cloud: str
) -> None:
    for name, value in fields.items():
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(module, "FIRMWARE", tmp_path)
    monkeypatch.setattr(module, "__opts__", {}, raising=False)
    assert module._cloud() == cloud


def test_a_machine_of_another_cloud_asks_nobody(on: MakePlace) -> None:
    place = on("ec2")
    place.opts["hart_metadata"] = {"cloud": "do", "address": "127.0.0.1", "port": 1}
    assert place.ask(wake=True) == {"notice": False}


# the event


def test_a_notice_is_fired_when_it_is_new_and_not_at_each_check(on: MakePlace) -> None:
    place = on("ec2")
    place.notices = ec2.notices("terminate", TIME)
    notice = {"notice": True, "action": "terminate", "time": TIME}
    place.ask()
    assert place.fired == [], "the master asked"
    place.ask(wake=True, __pub_schedule="hart-interruption")
    place.ask(wake=True)
    assert place.fired == [("hart/interruption", notice)]
    place.notices = ec2.notices("stop", TIME)
    place.ask(wake=True)
    assert len(place.fired) == 2


def test_a_notice_that_is_gone_and_comes_again_is_new(on: MakePlace) -> None:
    place = on("gce")
    for value in ("TRUE", "FALSE", "TRUE"):
        place.notices = {"preempted": value}
        place.ask(wake=True)
    assert len(place.fired) == 2


def test_an_event_that_may_have_been_lost_is_fired_again(on: MakePlace, tmp_path: Path) -> None:
    place = on("gce")
    place.notices, place.reachable = {"preempted": "TRUE"}, False
    place.ask(wake=True)
    place.reachable = True
    place.ask(wake=True)
    place.ask(wake=True)
    assert len(place.fired) == 2, "the first could not be sent"
    os.utime(tmp_path / "hart-interruption", (0, 0))
    place.ask(wake=True)
    assert len(place.fired) == 3, "the master may have been down"


# the copy that spot nodes get


def test_the_copy_has_only_this_function_and_a_synced_module_wins(minion_opts: dict[str, Any], tmp_path: Path) -> None:
    import hart_salt

    brought = tmp_path / "brought/modules"
    brought.mkdir(parents=True)
    copy = brought / bootstrap.COPY
    marked = bootstrap.module().replace('return {"notice": False}\n', 'return {"notice": False, "copy": 1}\n', 1)
    assert marked != bootstrap.module()
    copy.write_text(marked)
    opts = {**minion_opts, "module_dirs": [str(brought.parent)], "hart_metadata": {"cloud": ""}}
    loaded = salt.loader.minion_mods(opts)
    assert loaded["hart.interruption"]() == {"notice": False}, "the package is installed here"
    assert "hart.sealed" in loaded
    assert hart_salt.__version__
    alone = salt.loader.LazyLoader([str(brought)], opts, tag="module", pack={"__opts__": opts})
    assert alone["hart.interruption"]()["copy"] == 1
    assert [name for name in alone if name.startswith("hart.")] == ["hart.interruption"]
