"""Light machines answer the bootstrap's protocol as real ones do, seen through the product's own client."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.master import public_keys
from hart_salt.node import bootstrap, ssh
from tests.drivers.do.emulator.client import Client
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation.backend import Addresses, BootRequest
from tests.emulation.faults import MachineFault
from tests.emulation.light import STEPS, LightMachine, LightMachines, _addresses

PORT = 22022  #: not 22, where this host's sshd may listen on all addresses
COMMANDS = bootstrap.commands("")
KNOWN = ("follow", "start", "seal", "keep_script", "run_script")


@pytest.fixture
def started() -> list[LightMachine]:
    return []


@pytest.fixture
def machines(started: list[LightMachine]) -> Iterator[LightMachines]:
    machines = LightMachines(port=PORT, on_start=started.append)
    with contextlib.closing(machines):
        yield machines


@pytest.fixture
def keys() -> tuple[ssh.Key, ssh.Key]:
    """Return the throw-away host key and the client key."""
    return ssh.make_key("host"), ssh.make_key("client")


def user_data(keys: tuple[ssh.Key, ssh.Key]) -> str:
    host, client = keys
    return bootstrap.render(bootstrap.Script("local", host.private, client.public, "MASTER KEY", "3008"))


def boot(machines: LightMachines, keys: tuple[ssh.Key, ssh.Key], **more: Any) -> tuple[Addresses, LightMachine]:
    addresses = machines.take(True)
    request = BootRequest(
        instance_id="1", hostname="app-1", user_data=user_data(keys), public_keys=(), public_ip=addresses.public,
        private_ip=addresses.private, image="debian-12-x64", image_name="12 x64", tags=(), region="nyc3",
        size="s-1vcpu-1gb", **more,
    )  # fmt: skip
    machines.boot(request)
    return addresses, machines.machines["1"]


async def connect(address: str | None, keys: tuple[ssh.Key, ssh.Key], timeout: float = 120.0) -> ssh.Session:
    assert address is not None
    host, client = keys
    return await ssh.connect(ssh.Endpoint(address, PORT, host.public, client), timeout=timeout)


def test_the_whole_protocol(
    machines: LightMachines, keys: tuple[ssh.Key, ssh.Key], started: list[LightMachine]
) -> None:
    addresses, machine = boot(machines, keys)
    lines: list[str] = []

    async def work() -> bootstrap.Result:
        async with await connect(addresses.public, keys) as session:
            result = bootstrap.parse_result(await session.follow(COMMANDS.follow, lines.extend, output="the document"))
            await session.run(COMMANDS.start, stdin="id: app-1\nmaster: here\n")
            await session.run(COMMANDS.keep_script, stdin=b"#!/bin/sh\n")
            assert await session.stream(COMMANDS.run_script, lines.extend) == 0
            for name, command in dataclasses.asdict(COMMANDS).items():
                if name not in KNOWN:  # commands of later versions of the protocol are answered as well
                    await session.run(command)
            await session.run(COMMANDS.seal)
            return result

    result = asyncio.run(work())
    assert (result.exit_code, list(result.seconds)) == (0, list(STEPS))
    assert public_keys.check_public_key(result.minion_key) == public_keys.check_public_key(machine.minion_key)
    # The end of a stream may arrive as a separate empty line.
    assert [line for line in lines if line] == [f"hart: {step}" for step in STEPS] + ["the script ran"]
    assert started == [machine]
    assert machine.configuration == {"id": "app-1", "master": "here"}
    assert (machine.script, machine.sealed, machine.connections) == (b"#!/bin/sh\n", True, 1)
    with pytest.raises(NodeFailed, match="did not show this node's host key"):
        asyncio.run(connect(addresses.public, keys, 0.2))


def test_a_machine_also_answers_at_its_private_address(machines: LightMachines, keys: tuple[ssh.Key, ssh.Key]) -> None:
    addresses, _ = boot(machines, keys)

    async def work() -> str:
        async with await connect(addresses.private, keys) as session:
            return await session.run(COMMANDS.follow)

    assert bootstrap.parse_result(asyncio.run(work())).exit_code == 0


def test_a_machine_shows_its_own_key_until_the_script_has_run(keys: tuple[ssh.Key, ssh.Key]) -> None:
    with contextlib.closing(LightMachines(port=PORT, script_after=0.7)) as machines:
        addresses, _ = boot(machines, keys)
        with pytest.raises(NodeFailed, match="did not show"):
            asyncio.run(connect(addresses.public, keys, 0.2))

        async def work() -> None:
            async with await connect(addresses.public, keys):
                pass

        asyncio.run(work())


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_bootstrap_fails_at_a_step(machines: LightMachines, keys: tuple[ssh.Key, ssh.Key], step: str) -> None:
    addresses, _ = boot(machines, keys, fail_at=step)

    async def work() -> str:
        async with await connect(addresses.public, keys) as session:
            return await session.run(COMMANDS.follow)

    result = bootstrap.parse_result(asyncio.run(work()))
    assert (result.exit_code, result.failed_step) == (1, step)
    assert bool(result.minion_key) == (step in ("install", "hand-over"))


@pytest.mark.parametrize("fault", [{"impostor": True}, {"fail_at": "ssh"}])
def test_a_machine_without_the_host_key_is_refused(
    machines: LightMachines, keys: tuple[ssh.Key, ssh.Key], fault: dict[str, Any]
) -> None:
    addresses, _ = boot(machines, keys, **fault)
    with pytest.raises(NodeFailed, match="did not show"):
        asyncio.run(connect(addresses.public, keys, 0.3))


def test_a_client_with_another_key_is_refused(machines: LightMachines, keys: tuple[ssh.Key, ssh.Key]) -> None:
    addresses, _ = boot(machines, keys)
    with pytest.raises(NodeFailed, match="refused the bootstrap's client key"):
        asyncio.run(connect(addresses.public, (keys[0], ssh.make_key("thief"))))


def test_ten_droplets_and_one_that_never_boots(keys: tuple[ssh.Key, ssh.Key]) -> None:
    """Behind the API, each droplet has its own addresses, and nothing answers there after the delete."""
    machines = LightMachines(port=PORT)
    with DigitalOcean(machines, settings=Settings(active_after=0.0, droplet_limit=20)) as cloud:
        client = Client(cloud)
        cloud.faults.add(MachineFault(hostname="^app-3$", never_boots=True))
        spec = {"size": "s-1vcpu-1gb", "image": "debian-12-x64", "region": "nyc3", "tags": ["t"]}
        names = [f"app-{number}" for number in range(10)]
        client.call("POST", "droplets", {"names": names, "user_data": user_data(keys), **spec})
        assert cloud.settle(300)
        publics = {
            net["ip_address"]: droplet["name"]
            for droplet in client.get("droplets")["droplets"]
            for net in droplet["networks"]["v4"]
            if net["type"] == "public"
        }
        assert sorted(publics.values()) == sorted(names)

        async def work() -> list[object]:
            async def one(address: str) -> None:
                async with await connect(address, keys, 1.0 if publics[address] == "app-3" else 120.0) as session:
                    await session.run(COMMANDS.seal)

            return await asyncio.gather(*(one(address) for address in publics), return_exceptions=True)

        failed = [type(outcome) for outcome in asyncio.run(work()) if outcome is not None]
        assert failed == [NodeFailed]
        assert sum(machine.sealed for machine in machines.machines.values()) == 9
        client.call("DELETE", "droplets?tag_name=t")
        assert cloud.settle(300)
        assert machines.machines == {}
        with pytest.raises(NodeFailed, match="no SSH"):
            asyncio.run(connect(next(iter(publics)), keys, 0.2))
    assert cloud.machines.failures == []


def test_processes_with_consecutive_ids_use_different_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for process in range(4711, 4715):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        seen += itertools.islice(_addresses(), 2000)
    assert len(set(seen)) == len(seen)
