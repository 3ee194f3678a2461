"""Shared parts of the tests of the driver ``vultr``: a cloud whose time passes only while the driver waits."""

from __future__ import annotations

from hart_salt.drivers.vultr import driver as vultr
from tests.drivers.tested import BATCH as BATCH
from tests.drivers.tested import KEY as KEY
from tests.drivers.tested import OWNER as OWNER
from tests.drivers.tested import SCRIPT as SCRIPT
from tests.drivers.tested import Tested
from tests.drivers.tested import Time as Time
from tests.drivers.tested import launch as launch
from tests.drivers.vultr.emulator.client import Client as Client
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.drivers.vultr.emulator.state import Settings as Switches

CREATE = r"/v2/instances$"
INSTANCE = r"/v2/instances/[0-9a-f-]+$"
#: no limit of calls a second, because the clock stands still between waits
USUAL = {"active_after": 10, "second_limit": None}
TESTED = Tested("vultr", Cloud, Switches, USUAL, vultr, "Vultr", CREATE, region="ams", size="vc2-1c-1gb")
open_cloud, driver_of, node, left = TESTED.open_cloud, TESTED.driver_of, TESTED.node, TESTED.left
create_body = TESTED.create_body
