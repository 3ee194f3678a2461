"""
Root's first password and the consoles' addresses, which Vultr's API returns, stay in the driver's API module.

A complete life with real commands: nodes that come up, one that is refused after it was made, one whose create call is
not answered, every list, and the end. Then everything that somebody could read is searched.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.in_tables import CLOUD, CREATE, LOOK
from tests.emulation.faults import Fault, MachineFault
from tests.end_to_end import light_cloud
from tests.end_to_end.conftest import Event, Ran
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@dataclass
class Whole:
    """What every command printed, every event of the bus, and the files."""

    light: LightCloud
    cloud: Vultr
    runs: dict[str, Ran]
    events: list[Event]
    #: files of the master that held any of it while the nodes existed
    found: list[str]

    def forms(self) -> list[str]:
        """Return each secret as it is, and as others would write it."""
        texts = self.cloud.secrets()
        encoded = (base64.b64encode(text.encode()).decode().rstrip("=") for text in texts)
        return [*texts, *encoded, *(quote(text, safe="") for text in texts)]

    def holds(self, text: str) -> bool:
        return any(form in text for form in self.forms())


@pytest.fixture(scope="module")
def whole(factories: FactoriesManager) -> Iterator[Whole]:
    with light_cloud.light_cloud(factories, CLOUD) as light:
        cloud = light.cloud
        assert isinstance(cloud, Vultr)
        light.master.config.update(log_level="debug", log_level_logfile="debug")
        light.configure()
        result = Whole(light, cloud, {}, [], [])
        with light.master.events() as events:
            _live(result)
        result.events = list(events)
        yield result


def _live(whole: Whole) -> None:
    light, cloud, runs = whole.light, whole.cloud, whole.runs
    runs["made"] = light.create("count=2")
    light.configure(boot_timeout=8)
    # A bootstrap that fails, a create call whose answer is lost, one with an answer that cannot be read, and one whose
    # refusal quotes the whole instance.
    cloud.faults.add(MachineFault(fail_at="install"))
    runs["bootstrap"] = light.create()
    cloud.faults.add(CREATE.lost(), LOOK.fault(status=500, skip=1))
    runs["lost"] = light.create()
    reported = {"instance": {"default_password": cloud.secrets()[0], "kvm": cloud.secrets()[1]}}
    cloud.faults.add(Fault("POST", CREATE.path, when="after", status=202, answer=reported))
    runs["unreadable"] = light.create()
    cloud.faults.add(Fault("POST", CREATE.path, status=400, answer={**reported, "error": reported}))
    runs["refused"] = light.create()
    for name in ("list_minions", "list_regions", "list_images", "list_sizes"):
        runs[name] = light.master.run(f"hart.{name}", f"provider={light.provider}")
    runs["check"] = light.master.run("hart.check")
    runs["jobs"] = light.master.run("jobs.list_jobs", out="json")
    whole.found = _files(whole)
    up = [name for name, entry in nodes_of(runs["made"]).items() if entry["result"]]
    runs["gone"] = light.master.run("hart.destroy", ",".join(up))


def _files(whole: Whole) -> list[str]:
    root = whole.light.master.root
    files = (path for path in root.rglob("*") if path.is_file())
    return [str(path.relative_to(root)) for path in files if whole.holds(path.read_bytes().decode(errors="replace"))]


def test_the_api_returned_them_during_the_run(whole: Whole) -> None:
    assert (whole.runs["made"].code, whole.runs["gone"].code) == (0, 0)
    assert {name: whole.runs[name].code for name in ("bootstrap", "refused")} == {"bootstrap": 1, "refused": 1}
    assert len(whole.cloud.secrets()) == 2 * whole.cloud.made() >= 10
    assert any(event.tag.endswith("/ready") for event in whole.events)
    log = whole.light.master.root / "log/master"
    assert "[DEBUG   ]" in log.read_text()


def test_they_are_in_no_output(whole: Whole) -> None:
    assert [name for name, ran in whole.runs.items() if whole.holds(ran.stdout + ran.stderr)] == []
    fields = ("default_password", "novnc")
    assert [name for name, ran in whole.runs.items() if any(word in ran.stdout + ran.stderr for word in fields)] == []


def test_they_are_in_no_event(whole: Whole) -> None:
    texts = [(event.tag, json.dumps(event.data, default=str, ensure_ascii=False)) for event in whole.events]
    assert [tag for tag, text in texts if whole.holds(text)] == []


def test_they_are_in_no_file_of_the_master(whole: Whole) -> None:
    """No log, no record, no job cache: while the nodes existed, and now."""
    assert (whole.found, _files(whole)) == ([], [])
