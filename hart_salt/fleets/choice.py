"""Where new nodes of a fleet go, and which of its nodes go first. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from hart_salt.fleets.scene import READY, Member


def spread(regions: Sequence[str], there: Mapping[str, int], number: int) -> list[str]:
    """
    Return the regions of ``number`` new nodes: each goes to the region with the fewest nodes by then.

    ``there`` has the number of existing nodes by region. Of equal regions, the first one gets the node.
    """
    heap = [(there.get(region, 0), order, region) for order, region in enumerate(regions)]
    heapq.heapify(heap)
    chosen = []
    for _ in range(number):
        count, order, region = heap[0]
        heapq.heapreplace(heap, (count + 1, order, region))
        chosen.append(region)
    return chosen


def victims(
    members: Sequence[Member], number: int, *, newest: bool, first: Collection[str] = ()
) -> list[Member]:  # fmt: skip
    """
    Return the ``number`` nodes that go first, or fewer if not so many can go.

    First go nodes that their provider takes away, then those that are not ready. Of the others, the next one is always
    of the region with the most nodes: there, those go first that would be replaced anyway, whose ids are in ``first``,
    then the newest or oldest ones. Protected nodes and those that a call works on stay.
    """
    free = [one for one in members if one.free]
    in_order = sorted(free, key=lambda one: (one.created, one.minion_id), reverse=newest)
    ending = [one for one in in_order if one.interrupted is not None]
    broken = [one for one in in_order if one.interrupted is None and one.state != READY]
    chosen = [*ending, *broken][:number]
    counts = Counter(one.region for one in members)
    counts.subtract(one.region for one in chosen)
    ready = [one for one in in_order if one.interrupted is None and one.state == READY]
    ready.sort(key=lambda one: one.minion_id not in first)
    return [*chosen, *_balanced(ready, counts, number - len(chosen))]


def _balanced(ready: Sequence[Member], counts: Mapping[str, int], number: int) -> list[Member]:
    """
    Return ``number`` nodes in their order, but always of the region with the most nodes that has one left.

    Of equal regions, the one whose next node comes first is taken.
    """
    queues: dict[str, list[tuple[int, Member]]] = {}
    for place, one in reversed(list(enumerate(ready))):
        queues.setdefault(one.region, []).append((place, one))
    heap = [(-counts[region], queue[-1][0], region) for region, queue in queues.items()]
    heapq.heapify(heap)
    chosen: list[Member] = []
    while heap and len(chosen) < number:
        count, _, region = heapq.heappop(heap)
        queue = queues[region]
        chosen.append(queue.pop()[1])
        if queue:
            heapq.heappush(heap, (count + 1, queue[-1][0], region))
    return chosen
