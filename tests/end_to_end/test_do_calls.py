"""How many calls of DigitalOcean's API a complete ``salt-run`` makes, for 1, 3 and 10 droplets at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from saltfactories.manager import FactoriesManager

from hart_salt.drivers.do.driver import DigitalOcean
from hart_salt.operations.protection import SEVERAL
from tests.drivers.do.in_tables import CLOUD
from tests.emulation.emulator import Call
from tests.end_to_end import light_cloud
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

NUMBERS = (1, 3, 10)
#: seconds until a droplet is active: enough for a few lists
ACTIVE_AFTER = 5.0
#: parts of URLs that differ from call to call
NAMES = re.compile(r"/\d+$|/hart-batch:[\w:]+$")


@pytest.fixture(scope="module")
def light(factories: FactoriesManager) -> Iterator[LightCloud]:
    with light_cloud.light_cloud(factories, CLOUD) as opened:
        yield opened


def _kinds(calls: Sequence[Call]) -> Counter[str]:
    return Counter(f"{call.method} {NAMES.sub('/*', call.path)}" for call in calls)


def _looks(calls: Sequence[Call]) -> list[float]:
    """Return when the instances were listed while hart waited for them: after the first create call."""
    first = next(place for place, call in enumerate(calls) if (call.method, call.path) == ("POST", "/v2/droplets"))
    return [call.time for call in calls[first:] if (call.method, call.path) == ("GET", "/v2/droplets")]


def test_the_calls_per_droplet_do_not_grow_with_their_number(
    light: LightCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, lines = [], []
    for number in NUMBERS:
        light.configure(boot_timeout=60)
        light.cloud.switches().active_after = ACTIVE_AFTER
        before = len(light.cloud.calls)
        ran = light.create(f"count={number}")
        assert (ran.code, len(nodes_of(ran))) == (0, number), ran
        calls = light.calls_since(before)
        up, looks = _kinds(calls), _looks(calls)
        # One list for all, and an interval between two of them, except for the driver's second look.
        gaps = [later - earlier for earlier, later in zip(looks, looks[1:], strict=False)]
        assert looks
        assert len([gap for gap in gaps if gap < DigitalOcean.poll_interval - 0.5]) <= (number == NUMBERS[0])
        assert {machine.connections for machine in light.machines.machines} == {1}
        before = len(light.cloud.calls)
        assert light.master.run("hart.destroy", ",".join(nodes_of(ran))).code == 0
        down = _kinds(light.calls_since(before))
        assert light.left() == {}
        assert up.pop("POST /v2/droplets") == number
        # Whether they are protected is asked for each of a few droplets, and with one list for more.
        looked = {"GET /v2/droplets": 1} if number >= SEVERAL else {"GET /v2/droplets/*": number}
        assert down == Counter({"DELETE /v2/droplets/*": number, "GET /v2/droplets/*": number}) + Counter(looked)
        # A call for several looks up the account's limit and its number of droplets first.
        quota = number > 1
        assert up.pop("GET /v2/account", 0) == quota
        up["GET /v2/droplets"] -= len(looks) + quota
        # Only the first call on a master asks for the sizes.
        assert up.pop("GET /v2/sizes", 0) == (number == NUMBERS[0])
        fixed.append(up)
        lines.append(f"{number:>3} droplets: {len(calls)} calls up, of them {number} create and {len(looks)} looks")
    light_cloud.assert_alike(fixed, lines, capsys)
