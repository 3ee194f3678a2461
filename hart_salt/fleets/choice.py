"""Where new nodes of a fleet go, and which of its nodes go first. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

from hart_salt.fleets.scene import READY, Member


def spread(regions: Sequence[str], there: Iterable[str], number: int) -> list[str]:
    """
    Return the regions of ``number`` new nodes: each goes to the region with the fewest nodes by then.

    ``there`` has the region of each existing node. Of equal regions, the first one gets the node.
    """
    counts = Counter(there)
    heap = [(counts[region], order, region) for order, region in enumerate(regions)]
    heapq.heapify(heap)
    chosen = []
    for _ in range(number):
        count, order, region = heap[0]
        heapq.heapreplace(heap, (count + 1, order, region))
        chosen.append(region)
    return chosen


def victims(members: Sequence[Member], number: int, *, newest: bool) -> list[Member]:
    """
    Return the ``number`` nodes that go first, or fewer if not so many can go.

    First go nodes that are not ready, then those that differ from the configuration, then the newest or oldest ones,
    always from the region with the most nodes. Protected nodes and those that a call works on stay.
    """
    free = [one for one in members if not (one.protected or one.busy)]
    in_order = sorted(free, key=lambda one: (one.created, one.minion_id), reverse=newest)
    broken = [one for one in in_order if one.state != READY][:number]
    counts = Counter(one.region for one in members)
    counts.subtract(one.region for one in broken)
    ready = sorted((one for one in in_order if one.state == READY), key=lambda one: not one.drift)
    return [*broken, *_balanced(ready, counts, number - len(broken))]


def _balanced(ready: Sequence[Member], counts: Counter[str], number: int) -> list[Member]:
    """Return ``number`` nodes in their order, but always of the region with the most nodes that has one left."""
    queues: dict[str, list[Member]] = {}
    for one in reversed(ready):
        queues.setdefault(one.region, []).append(one)
    heap = [(-counts[region], region) for region in queues]
    heapq.heapify(heap)
    chosen: list[Member] = []
    while heap and len(chosen) < number:
        count, region = heapq.heappop(heap)
        chosen.append(queues[region].pop())
        if queues[region]:
            heapq.heappush(heap, (count + 1, region))
    return chosen
