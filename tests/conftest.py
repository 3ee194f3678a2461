"""What holds for all tests: they listen on loopback only, clean up even when killed, and cost nothing."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import hypothesis
import pytest
import salt._logging
from saltfactories.plugins.event_listener import EventListener

from tests import scope
from tests.lanes import VARIABLE, Lane

# Imports and collection make hundreds of thousands of objects that stay; collecting garbage among them again and again
# takes a third of the time before the first test.
gc.disable()

# Salt's loaders and our registry of drivers read the metadata of all installed packages again and again. Nothing is
# installed while the tests run.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)  # type: ignore[assignment]

pytest_plugins = ["tests.parts", "tests.servers"]

LOOPBACK = "127.0.0.1"

# How long an example takes depends on the machine more than on the code. The examples are the same in each run, so that
# a run fails because of a change and not by chance; those of ``./test --all`` are new each time.
for _profile, _same in (("hart", True), ("all", False)):
    hypothesis.settings.register_profile(
        _profile, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=_same
    )
hypothesis.settings.load_profile("hart")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of ``./test``."""
    parser.addoption("--all", action="store_true", help="run the big tables whole, and every test with every cloud")
    parser.addoption("--fast", action="store_true", help="run what needs neither a salt-master nor a booted machine")
    parser.addoption("--slow", action="store_true", help="run what --fast does not")


def pytest_configure(config: pytest.Config) -> None:
    """Set how much is tested; make this one of two runs side by side."""
    scope.whole, scope.fast = config.option.all, config.option.fast
    if scope.whole:
        hypothesis.settings.load_profile("all")
    if config.option.fast and config.option.slow:
        raise pytest.UsageError("--fast and --slow exclude each other; without both, all tests run")
    # Removed: a test that runs pytest itself needs all of its own arguments.
    if claims := os.environ.pop(VARIABLE, None):
        config.pluginmanager.register(Lane(Path(claims)))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Run before pytest-salt-factories starts its log server, which listens on every interface."""
    log_server = session.config.pluginmanager.get_plugin("saltfactories-log-server")
    assert log_server is not None
    log_server.log_host = LOOPBACK
    # Importing Salt logs everything, to a stream that pytest has closed by then.
    salt._logging.shutdown_temp_handler()
    logging.getLogger().setLevel(logging.WARNING)
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    # A shell makes background processes ignore Ctrl-C, and all their children would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Turn garbage collection on again, but not for the objects that stay until the end."""
    gc.freeze()
    gc.enable()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Make other signals end the fixtures like Ctrl-C; by default they would leave daemons behind."""
    raise KeyboardInterrupt(signal.Signals(signum).name)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip the folders that ``--fast`` leaves out: their imports take seconds."""
    inside = collection_path.relative_to(Path(__file__).parent).parts if collection_path.is_dir() else ()
    return True if config.option.fast and inside and not scope.is_fast(inside[0], ()) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out what ``--fast`` or ``--slow`` do not ask for, and what costs money.

    That runs where its marker is asked for by name, and not because something else selects it.
    """
    out = set()
    if "integration" not in config.option.markexpr:
        out = {item for item in items if item.get_closest_marker("integration")}
    if config.option.fast or config.option.slow:
        out |= {item for item in items if _is_fast(item) is not config.option.fast}
    config.hook.pytest_deselected(items=[item for item in items if item in out])
    items[:] = [item for item in items if item not in out]


def _is_fast(item: pytest.Item) -> bool:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return scope.is_fast(folder, getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def event_listener() -> Iterator[EventListener]:
    """Return where pytest-salt-factories collects the events of all masters: on loopback, and for an hour."""
    listener = EventListener(timeout=3600)
    listener.host = LOOPBACK
    listener.address = f"tcp://{LOOPBACK}:{listener.port}"
    with listener:
        yield listener
