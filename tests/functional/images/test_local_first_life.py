"""Nothing of the first life of a local node is in its image: a real minion's directory, generalised and searched."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.local import directory, image_files
from hart_salt.drivers.local.driver import Account, Local
from hart_salt.images import generalise
from hart_salt.model import Access, Instance, NewImage, Node
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import Script
from tests.parts import master_info, new_node
from tests.public_keys import new_public_key

HOST, CLIENT = ssh.make_key("host"), ssh.make_key("hart-0123456789abcd")
MASTER_KEY = new_public_key()
TOKEN = "first-life-5e1f"  # noqa: S105
MINION_ID = "hart-bake-app-1234abcd"
NAME = "hart-app-202611301200-b1"
PLANTED = (
    "var/cache/salt/minion/pillar.p", "var/log/salt/key", "var/log/own.log", "tmp/of-a-build", "root/hart-init",
    "etc/salt/pki/minion/master_sign.pub", "etc/salt/minion_id", "var/lib/hart/modules/hart_copy.py",
    "etc/salt/minion.d/_schedule.conf",
)  # fmt: skip
OPERATORS = ("srv/app/data", "etc/app.conf", "etc/salt/minion.d/zz-own.conf", "etc/salt/grains")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 120 s"
        time.sleep(0.02)


@pytest.fixture
def driver(root: Path) -> Iterator[Local]:
    made = Local(Provider("here", "local", Account()), master_info(root))
    yield made
    for instance in made.instances():
        made.terminate(instance)


def launched(driver: Local, node: Node) -> Instance:
    """Return a running instance whose bootstrap has succeeded."""
    script = bootstrap.render(Script("local", HOST.private, CLIENT.public, MASTER_KEY, "3008"))
    begun = driver.launch(node, script, Access("b1", CLIENT.public))
    result = Path(driver.root(begun)) / "run/hart/result.json"
    until(lambda: result.exists() and json.loads(result.read_text())["exit_code"] == 0)
    found = driver.instance(begun)
    assert found is not None
    return found


def session(instance: Instance, *commands: tuple[str, str]) -> list[str]:
    """Run commands, each with its standard input, and return what each prints."""

    async def run() -> list[str]:
        place = ssh.Endpoint("127.0.0.1", instance.ssh_port, HOST.public, CLIENT)
        async with await ssh.connect(place, timeout=60) as opened:
            return [await opened.run(command, stdin=stdin, timeout=60) for command, stdin in commands]

    return asyncio.run(run())


def generalised(driver: Local, instance: Instance) -> str:
    known = generalise.commands(driver.platform, driver.root(instance), CLIENT.public, MINION_ID)
    return session(instance, (known.keep, known.script), (known.run, ""))[1]


def found(place: Path, *wanted: str) -> list[str]:
    """Return which files have one of the texts in them or in their names."""
    return [
        f"{path.relative_to(place)}: {text}"
        for path in sorted(place.rglob("*"))
        for text in wanted
        if text in path.name or (path.is_file() and text.encode() in path.read_bytes())
    ]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def key_text(path: Path) -> str:
    """Return a part of a key that identifies it: the first lines of a private key are those of others too."""
    return str(re.findall(r"[A-Za-z0-9+/]{60,}", path.read_text())[-1][-30:])


def test_an_image_of_a_minion_has_nothing_of_it_and_its_node_is_another_one(driver: Local) -> None:
    first = launched(driver, new_node(MINION_ID))
    place = Path(driver.root(first))
    node = new_node(MINION_ID, minion_config={"id": MINION_ID, "grains": {"token": TOKEN}, "master": "127.0.0.1"})
    configuration = yaml.safe_dump({**driver.minion_defaults(node), **node.minion_config, "master_port": 1})
    session(first, (bootstrap.commands(str(place)).start, configuration))
    until((place / "run/salt-minion.pid").exists)
    for name in (*PLANTED, *OPERATORS):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("of the operator" if name in OPERATORS else TOKEN)
    keys = [*place.glob("etc/ssh/ssh_host_*"), *place.glob("etc/salt/pki/minion/minion*"), place / "run/hart/host_key"]
    own = [key_text(path) for path in keys if "master" not in path.name and path.name != "host_key"]
    wanted = (TOKEN, MINION_ID, CLIENT.public.split()[1], *map(key_text, keys))

    minion = [one.pid for one in directory._processes(place) if "salt_minion" in " ".join(one.cmdline())]
    assert minion != []
    lines = [line for line in generalised(driver, first).splitlines() if not line.startswith("hart: ")]
    assert lines == []
    assert [pid for pid in minion if is_alive(pid)] == [], "it would end by itself, but only after a while"
    assert "hart: " in generalised(driver, first), "a second run is a success"
    driver.power_off(first, force=True)
    driver.finish_image(driver.make_image(first, NewImage(NAME, "app", "b1", "", "3008.4", "local")))
    files = place.parent / image_files.IMAGES / NAME / image_files.FILES
    assert found(files, *wanted) == []
    assert [name for name in OPERATORS if (files / name).read_text() != "of the operator"] == []

    second = launched(driver, new_node("web-2", settings=Settings(image=NAME), baked=NAME))
    other = Path(driver.root(second))
    assert found(other, TOKEN, MINION_ID, *own) == []
    assert (other / "srv/app/data").read_text() == "of the operator"
    assert not (other / "var/minion-enabled").exists()
    session(second, (bootstrap.commands(str(other)).start, yaml.safe_dump(driver.minion_defaults(new_node("web-2")))))
    until((other / "var/minion-enabled").exists)


def test_what_cannot_be_removed_is_a_failure_with_a_sentence(driver: Local, root: Path) -> None:
    first = launched(driver, new_node(MINION_ID))
    place = Path(driver.root(first))
    known = generalise.commands(driver.platform, str(place), CLIENT.public, MINION_ID)
    ended = session(
        first, (known.keep, known.script.replace("rm -rf --", ": --")), (f"({known.run}); echo $?", "")
    )[1]  # fmt: skip
    assert ended.splitlines()[-1] == "1"
    assert f"hart: {place}/etc/salt/pki/minion could not be removed" in ended
    assert ended.count("hart: removing logs") == 1, "the other steps are done nevertheless"
