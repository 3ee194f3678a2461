"""What the tests of the driver ``hetzner`` share: a cloud whose time passes while the driver waits."""

from __future__ import annotations

from hart_salt.drivers.hetzner import driver as hetzner
from tests.drivers.hetzner.emulator.client import Client as Client
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.drivers.hetzner.emulator.state import Settings as Switches
from tests.drivers.tested import BATCH as BATCH
from tests.drivers.tested import KEY as KEY
from tests.drivers.tested import OWNER as OWNER
from tests.drivers.tested import SCRIPT as SCRIPT
from tests.drivers.tested import Tested
from tests.drivers.tested import Time as Time
from tests.drivers.tested import launch as launch

CREATE = r"/v1/servers$"
SERVER = r"/v1/servers/[0-9]+$"
KEYS = r"/v1/ssh_keys$"
KEY_PATH = r"/v1/ssh_keys/[0-9]+$"
#: an id that no resource has
NOWHERE = "999999999"
#: without a rate limit, because the clock stands still between waits
USUAL = {"running_after": 10, "burst": None}
TESTED = Tested("hetzner", Cloud, Switches, USUAL, hetzner, "Hetzner", CREATE, region="fsn1", size="cx23")
open_cloud, driver_of, node, left = TESTED.open_cloud, TESTED.driver_of, TESTED.node, TESTED.left
create_body = TESTED.create_body
