"""The power of local instances: their processes end and start, and their directories stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound
from hart_salt.drivers.local import directory
from tests.drivers.local.environment import LocalEnvironment
from tests.drivers.local.test_driver import Local1, alive, until


def test_a_stopped_machine_keeps_its_directory_and_starts_its_minion_at_the_next_boot(root: Path) -> None:
    """The user-data runs at the first boot only; from its first start on, the minion starts at each boot."""
    environment = LocalEnvironment(root)
    with environment.closing:
        place = Local1(environment.driver(), root / "hart/local/here")  # type: ignore[arg-type]
        path = place.base / "web"
        made = place.running(user_data='echo boot >> "$HART_ROOT/boots"\n')
        until((path / "boots").exists)
        for force in (False, True):
            machine = place.machine().pid
            place.driver.power_off(made, force=force)
            assert (place.state(), alive(machine), list(directory._processes(path))) == ("stopped", False, [])
            (path / directory.ENABLED).touch()  # as after the first start of the minion
            place.driver.power_on(made)
            until(lambda: json.loads((path / directory.STATE).read_text())["minion"])
        assert (path / "boots").read_text() == "boot\n"
        place.driver.power_off(made, force=True)
        with pytest.raises(InvalidRequest, match="can only be started"):
            place.driver.reboot(made)
        place.driver.terminate(made)
        assert not path.exists()
        with pytest.raises(NotFound):
            place.driver.power_on(made)


def test_a_reboot_ends_every_process_and_starts_the_machine_again(root: Path) -> None:
    environment = LocalEnvironment(root)
    with environment.closing:
        place = Local1(environment.driver(), root / "hart/local/here")  # type: ignore[arg-type]
        made = place.running()
        before = place.machine().pid
        place.driver.reboot(made, force=True)
        assert (place.state(), place.machine().pid != before, alive(before)) == ("running", True, False)
