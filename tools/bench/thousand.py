"""
The figures of very many nodes in one call, side by side with those of the last release.

``fleet.py --nodes 1000`` prints them, for each number of nodes from 1000.

The CPU seconds are those of the runner alone, so they are the figures to compare: the seconds beyond the boot contain
the master, the emulated cloud and the machines, all on the same CPUs.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

FROM = 1000  #: nodes


@dataclass(frozen=True)
class Figures:
    """What one call cost."""

    beyond: float  #: seconds beyond the boot
    cpu: float  #: CPU seconds of the runner
    memory: float  #: largest resident memory in MiB
    files: float  #: most open files at the same time


#: of version 1.0.0 with 1000 nodes and a boot of 20 s, on two loaded cores
LAST_RELEASE = Figures(71.0, 54.0, 177.0, 3061.0)
WANTED = Figures(20.0, 25.0, 200.0, 1024.0)
ROWS = (
    ("seconds beyond the boot", "beyond"),
    ("CPU seconds of the runner", "cpu"),
    ("largest resident memory, MiB", "memory"),
    ("open files", "files"),
)


def limit_child(number: int | None) -> None:
    """Set both limits of open files of this process, which is about to become the runner."""
    if number is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def report(now: Figures) -> str:
    """Return the figures with those of the last release, the ratio, and what is wanted."""
    lines = [f"  {'':<36}{'1.0.0':>10}{'now':>10}{'ratio':>8}{'wanted':>10}"]
    for words, name in ROWS:
        old, new, wanted = (float(getattr(figures, name)) for figures in (LAST_RELEASE, now, WANTED))
        lines.append(f"  {words:<36}{old:>10.1f}{new:>10.1f}{new / old:>8.2f}{'<= ' + format(wanted, 'g'):>10}")
    return "\n".join(lines)
