"""The driver ``local`` on this machine as an environment of the contract suite."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import psutil

from hart_salt.config.schema import Provider
from hart_salt.drivers import driver_class
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local import directory
from hart_salt.drivers.local.driver import Account
from hart_salt.model import Access, Instance, Node
from tests.drivers.environment import CLIENT_KEY, OTHER_OWNER, OWNER, USER_DATA, Environment
from tests.parts import master_info, new_node


class LocalEnvironment(Environment):
    memory_mb = psutil.virtual_memory().total // 2**20

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.closing.callback(self._end)

    def _end(self) -> None:
        """Terminate all instances, because they are processes of this machine."""
        for driver in (self.driver(), self.driver(OTHER_OWNER)):
            for instance in driver.instances():
                driver.protect(instance, on=False)
                driver.terminate(instance)

    def driver(self, owner: str = OWNER) -> Driver:
        return driver_class("local")(Provider("here", "local", Account()), master_info(self.root, owner))

    def node(self, minion_id: str, **changes: Any) -> Node:
        return new_node(minion_id, **{"provider": "here", "batch": "b1", **changes})

    def _path(self, instance: Instance) -> Path:
        return self.root / "hart/local/here" / instance.instance_id

    def create_call(self, instance: Instance) -> dict[str, Any]:
        claim: dict[str, Any] = json.loads((self._path(instance) / "instance.json").read_text())
        return claim

    def who_can_read_user_data(self, instance: Instance) -> str:
        file = self._path(instance) / "user-data"
        modes = (stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent))
        return "owner" if list(modes) == [0o600, 0o700] else "others"

    def unlaunchable(self) -> Node:
        self.driver().launch(self.node("taken"), USER_DATA, Access("b0", CLIENT_KEY))
        return self.node("taken")

    def user_data(self, instance: Instance) -> str:
        return (self._path(instance) / "user-data").read_bytes().decode()

    def switch_off(self, driver: Driver, instance: Instance) -> None:
        """Turn it off; a new instance counts as pending for some seconds, unless it has run."""
        super().switch_off(driver, instance)
        facts = {"pid": 2**22, "minion": None, "port": 1}
        (self._path(instance) / directory.STATE).write_text(json.dumps(facts))


ENVIRONMENT = LocalEnvironment
