"""What the functions that change nothing show: nodes, roles, providers and versions."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.runs import side_by_side
from tests.end_to_end.tools import salt_key, until
from tests.parts import EXAMPLE

REPOSITORY = Path(__file__).parents[2]


def listed(master: SaltMaster, *arguments: str) -> dict[str, Any]:
    ran = master.run("hart.list_minions", *arguments)
    assert ran.code == 0, ran
    return dict(ran.data)


def test_a_node_that_lost_a_part_says_which(master: SaltMaster) -> None:
    parts = ("whole", "machine", "minion", "key", "record", "instance")
    assert master.run("hart.create", ",".join(parts), "role=app").code == 0

    salt_key(master, "-d", "key")
    master.record("record").unlink()
    processes = json.loads((master.instances / "machine/run/machine.json").read_text())
    psutil.Process(processes["pid"]).kill()
    processes = json.loads((master.instances / "minion/run/machine.json").read_text())
    psutil.Process(processes["minion"]).kill()
    until(lambda: not psutil.pid_exists(processes["minion"]), "the machine process has taken note")
    shutil.rmtree(master.instances / "instance")

    found = listed(master)
    assert {minion_id: entry["status"] for minion_id, entry in found.items()} == {
        "whole": "ready",
        "machine": "stopped",
        "minion": "stopped",
        "key": "no key",
        "record": "no record",
        "instance": "no instance",
    }
    assert found["whole"]["public_ip"] == "127.0.0.1"
    assert found["whole"]["sources"]["key"] == "accepted"
    assert found["key"]["sources"]["key"] is None
    assert found["record"]["role"] == "app", "the role is in the instance's tags"

    gone = master.run("hart.destroy", ",".join(parts))
    assert gone.code == 0, gone
    assert not any(master.left_over().values())


def test_filters_show_only_the_nodes_that_match(master: SaltMaster) -> None:
    master.hart.update(providers={"local": {}, "second": {"driver": "local"}}, roles={"app": {}, "db": {}})
    master.write()
    made = side_by_side(
        master,
        [("hart.create", "a", "role=app", "provider=local"), ("hart.create", "d", "role=db", "provider=second")],
    )
    assert [ran.code for ran in made] == [0, 0], made

    filters = ["role=app", "provider=second", "region=local", "role=app provider=second"]
    shown = side_by_side(master, [("hart.list_minions", *words.split()) for words in filters])
    assert [set(ran.data) for ran in shown] == [{"a"}, {"d"}, {"a", "d"}, set()]


@pytest.fixture
def toml(master: SaltMaster) -> Path:
    """The file of the issue, with a master's address; nothing else is configured."""
    master.config.pop("hart")
    master.write()
    path = master.root / "hart.toml"
    path.write_text('[hart]\nsaltmaster = "salt.example.com"\n' + EXAMPLE)
    return path


def test_the_file_of_a_user_of_the_old_hart_works_as_its_comments_say(master: SaltMaster, toml: Path) -> None:
    more = toml.with_name("more.toml")
    more.write_text(toml.read_text() + '[providers.ec2]\nregion = "us-east-1"\n')
    plain, nyc, left_out, ec2, unclear, roles, both = side_by_side(
        master,
        [
            ("hart.show_role", "app", "provider=do", f"config={toml}"),
            ("hart.show_role", "app", "provider=do", "region=nyc3", f"config={toml}"),
            ("hart.show_role", "app", f"config={toml}"),
            ("hart.show_role", "app", "provider=ec2", f"config={more}"),
            ("hart.show_role", "app", f"config={more}"),
            ("hart.list_roles", f"config={toml}"),
            ("hart.list_roles", f"config={more}"),
        ],
    )
    assert (plain.data["region"], plain.data["size"]) == ("sfo3", "s-2vcpu-2gb")
    assert plain.data["minion_id"] == "????????.sfo3.do.app.example.com"
    assert (nyc.data["region"], nyc.data["size"]) == ("nyc3", "s-3vcpu-3gb")
    assert left_out.data == plain.data, "one provider is configured, so it need not be named"
    assert (ec2.data["size"], ec2.data["subnet"]) == ("t3.medium", "subnet-123")
    assert unclear.code == 2
    assert all(word in unclear.data["error"] for word in ("provider", "do", "ec2"))
    assert roles.data == {"app": ["do"], "db": ["do"]}
    assert both.data == {"app": ["do", "ec2"], "db": ["do", "ec2"]}
    assert "<token>" not in json.dumps([ran.stdout + ran.stderr for ran in (plain, nyc, ec2, unclear, roles)])


def test_the_local_provider_lists_its_one_region_and_size(master: SaltMaster) -> None:
    regions, sizes, images, check, named = side_by_side(
        master,
        [("hart.list_regions",), ("hart.list_sizes",), ("hart.list_images", "local"), ("hart.check",)]
        + [("hart.list_sizes", "local", "region=local")],
    )
    assert set(regions.data) == {"local"}
    assert set(sizes.data) == {"shared"}
    assert sizes.data["shared"]["memory_mb"] > 0
    assert sizes.data["shared"]["cpus"] > 0
    assert named.data == sizes.data
    assert images.data == {}
    of_roles = {name: line for name, line in check.data.items() if name.startswith("local ")}
    assert all(line.startswith("ok: ") for line in of_roles.values()), of_roles
    checked = {name: line for name, line in check.data.items() if name not in of_roles}
    assert "nodes at the same time" in checked.pop("open files")
    ports = (master.config["ret_port"], master.config["publish_port"])
    assert checked == {
        "salt-master process": "ok: it runs",
        "minion settings": "ok: minions get master_port: {}, publish_port: {}".format(*ports),
        "local": f"ok: instances below {master.instances}",
        "log directory": f"ok: {master.log_dir}",
        "record store": f"ok: localfs below {master.cachedir}",
        "broken records": "ok: none",
        "coordination": "ok: files of this machine",
        "calls that change something": "ok: 0 running, 0 waiting (max_calls)",
    }
    assert {ran.code for ran in (regions, sizes, images, check, named)} == {0}


def test_check_has_a_line_for_each_provider_and_fails_if_one_does(master: SaltMaster) -> None:
    # A token that is refused before any API is asked.
    master.hart["providers"] = {"local": {}, "vultr": {"token": "not-shown-\u00e4-0123"}}
    master.write()
    ran = master.run("hart.check")
    assert ran.code == 1
    assert ran.data["local"].startswith("ok: ")
    assert ran.data["vultr"].startswith("AuthError: ")
    assert "characters that no token has" in ran.data["vultr"]


@contextlib.contextmanager
def synced(master: SaltMaster) -> Iterator[None]:
    """Sync the runner from the master's file server, as a user does who cannot install packages."""
    runners = master.root / "srv/salt/_runners"
    runners.mkdir()
    shutil.copy(REPOSITORY / "_runners/hart.py", runners)
    try:
        assert master.run("saltutil.sync_runners").data == ["runners.hart"]
        yield
    finally:
        shutil.rmtree(runners)
        assert master.run("saltutil.sync_runners").code == 0


def test_version_says_which_runner_is_loaded(master: SaltMaster) -> None:
    import hart_salt

    installed = master.run("hart.version").data
    with synced(master):
        shadowed = master.run("hart.version").data
    assert installed["hart-salt"] == hart_salt.__version__
    assert installed["runner"] == str(Path(hart_salt.__file__).parent / "runners/hart.py")
    assert shadowed["runner"].startswith(str(master.cachedir / "extmods"))
    assert "synced from the file server" in shadowed["runner"]
    assert master.run("hart.version").data == installed
