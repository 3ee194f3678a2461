"""What the tests of runs share: many at once, orchestrations, and packages with a driver."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.end_to_end.conftest import Event, Ran, SaltMaster


def side_by_side(master: SaltMaster, commands: Sequence[Sequence[str]]) -> list[Ran]:
    """Run ``salt-run`` for each command, a few at a time; the results are in the same order."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda command: master.run(*command), commands))


def write_sls(master: SaltMaster, name: str, text: str) -> None:
    """Write an SLS file where the master's file server finds it."""
    path = master.root / "srv/salt" / f"{name.replace('.', '/')}.sls"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def states_of(ran: Ran) -> dict[str, dict[str, Any]]:
    """Return the result of each state of an orchestration, by the state's id."""
    (states,) = ran.data["data"].values()
    return {state["__id__"]: state for state in states.values()}


def returns(events: Sequence[Event], function: str) -> list[dict[str, Any]]:
    """Return the return events of a runner function, in order."""
    tags = [event for event in events if event.tag.startswith("salt/run/") and event.tag.endswith("/ret")]
    return [event.data for event in tags if event.data["fun"] == f"runner.{function}"]


def install_driver(site: Path, name: str, source: str) -> None:
    """Make a package with a driver, as anybody adds a cloud; ``site`` goes into PYTHONPATH."""
    info = site / f"hart_{name}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"hart_{name}.py").write_text(textwrap.dedent(source))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hart-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[hart_salt.drivers]\n{name} = hart_{name}:DRIVER\n")
