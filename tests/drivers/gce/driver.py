"""What the tests of the driver ``gce`` share: a cloud whose clock advances when the driver waits."""

from __future__ import annotations

from typing import Any

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.gce.instances import body
from hart_salt.drivers.gce.instances import names_of as names_of
from hart_salt.model import Instance, Node
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.gce.emulator.state import Settings as Switches
from tests.drivers.tested import BATCH, OWNER, SCRIPT, Time, body_of_post, master_of, served
from tests.emulation.backend import NoMachines

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFHYVyQHSDqW0Bj6Ei7XWfBc8yNnBHQJbyLPCxP2G0u0 hart-b1"
ZONE = "us-central1-b"
ACCESS = f"hart-{OWNER}-{BATCH}"

STOCKOUT = "ZONE_RESOURCE_POOL_EXHAUSTED"
INSERT, LIST = r"/zones/[^/]+/instances$", r"/aggregated/instances$"
INSTANCE, RULES = r"/zones/[^/]+/instances/[^/]+$", r"/global/firewalls"
OPERATIONS, OPERATION = r"/operations$", r"/operations/[^/]+$"


def open_cloud(time: Time, **switches: Any) -> Any:
    """Open a cloud without machines; every request and every answer must match the vendor's description."""
    settings = {"staging_after": 4, "running_after": 10, "operation_after": 2, "delete_after": 3, **switches}
    return served(Cloud(NoMachines(), settings=Switches(**settings), clock=time))


def driver_of(cloud: Cloud, time: Time, *, owner: str = OWNER, **account: Any) -> gce.ComputeEngine:
    """Return the driver for the project; ``owner`` is that of the master, whose own address is public."""
    settings = {**cloud.account(), **account}
    given = gce.Account(**{name: value for name, value in settings.items() if value is not None})
    provider = Provider("gce", "gce", given)
    return gce.ComputeEngine(provider, master_of(owner), sleep=time.sleep, source=lambda towards: "8.8.4.4")


def node(
    minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, zone: str | None = ZONE,
    size: str = "e2-small", role: str | None = "db.Main", **settings: Any,
) -> Node:  # fmt: skip
    """Return a node with these settings."""
    given = {"image": "bookworm", **settings}
    return Node(
        minion_id, role, "gce", "gce", "us-central1", zone, size, Settings(**given), gce.Options(**(options or {})),
        {}, BATCH,
    )  # fmt: skip


def launch(driver: gce.ComputeEngine, wanted: Node) -> Instance:
    """Launch a node and leave the access; the instance stays."""
    with driver.access(BATCH, KEY, [wanted]) as access:
        return driver.launch(wanted, SCRIPT, access)


def left(cloud: Cloud) -> dict[str, list[str]]:
    """Return what is left, by kind."""
    return {kind: names for kind, names in cloud.left().items() if names}


def create_body(cloud: Cloud) -> dict[str, Any]:
    """Return the body of the only create call."""
    return body_of_post(cloud, INSERT)


def listing(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a list of instances, with one instance that is reported as ``shown``."""
    return {"kind": "compute#instanceAggregatedList", "items": {f"zones/{ZONE}": {"instances": [shown]}}}


def by_hand(
    driver: gce.ComputeEngine, name: str, labels: dict[str, str] | None = None, *, description: str = "",
    metadata: dict[str, str] | None = None,
) -> int:  # fmt: skip
    """Make an instance that no master of hart owns, and return its id."""
    parts, wanted = driver._parts, node()
    made = body(wanted, "0", "", parts.catalogue.place(wanted))
    items = [{"key": key, "value": value} for key, value in (metadata or {}).items()]
    made |= {"name": name, "description": description, "labels": labels or {}, "tags": {}, "metadata": {"items": items}}
    for disk in made["disks"]:
        disk["initializeParams"].pop("labels", None)
    insert = {"zone": ZONE, "instance_resource": parts.api.body("Instance", made)}
    operation = parts.api.change("instances", "insert", **insert)
    parts.api.wait(operation)
    return int(operation.target_id)
