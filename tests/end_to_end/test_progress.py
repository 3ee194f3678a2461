"""What is reported while nodes come up: on the terminal, on the event bus, in log files."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.end_to_end.conftest import BIN, Event, Ran, SaltMaster, running_master
from tests.end_to_end.tools import job_result, log_of, of

STAGES = ["launching", "running", "bootstrapping", "enrolled", "ready"]
DAY = 86400


@pytest.fixture(scope="module")
def watched(factories: Any) -> Iterator[SaltMaster]:
    """Return a master whose role ``failing`` has a script that fails."""
    with running_master(factories) as master:
        script = master.root / "fails.sh"
        script.write_text("#!/bin/sh\necho on the way to the cliff\nexit 7\n")
        master.hart["roles"]["failing"] = {"script": str(script)}
        master.write()
        yield master


@dataclass
class Life:
    """Create and destroy one node, and let another one fail."""

    made: Ran
    failed: Ran
    gone: Ran
    events: list[Event]
    log: str


@pytest.fixture(scope="module")
def life(watched: SaltMaster) -> Life:
    with watched.events() as events:
        made = watched.run("hart.create", "good", "role=app")
        log = log_of(watched, "good")
        failed = watched.run("hart.create", "bad", "role=failing")
        gone = watched.run("hart.destroy", "good")
    return Life(made, failed, gone, events, log)


def test_on_a_pipe_the_stages_are_plain_lines_and_stdout_is_the_result(life: Life) -> None:
    assert life.made.data["good"]["result"] is True
    assert life.failed.data["bad"]["result"] is False
    lines = [line for line in life.made.stderr.splitlines() if line.startswith("good ")]
    assert all(re.fullmatch(r"good +\d+\.\ds .+", line) for line in lines), lines
    stages = [line.split("[")[1].rstrip("]") for line in lines if line.endswith("]") and "[" in line]
    assert stages == [*STAGES[:3], "enrolling", *STAGES[3:], "done"]
    assert "\x1b" not in life.made.stderr + life.failed.stderr


def test_each_stage_is_an_event_in_order_with_what_a_reactor_needs(life: Life) -> None:
    good = [event for event in life.events if event.tag.startswith("hart/good/")]
    assert [event.tag.rpartition("/")[2] for event in good] == [*STAGES, "destroying", "destroyed"]
    for event in good:
        place = {key: event.data[key] for key in ("minion_id", "role", "provider", "region", "zone", "size")}
        assert place == {
            "minion_id": "good", "role": "app", "provider": "local", "region": "local", "zone": None, "size": "shared",
        }  # fmt: skip
    addresses = [(event.data["public_ip"], event.data["private_ip"]) for event in good]
    assert addresses == [(None, None)] + [("127.0.0.1", "127.0.0.1")] * 6
    ready = good[4].data["seconds"]
    assert list(ready) == [*STAGES[:3], "enrolling", "enrolled"]
    assert all(spent >= 0 for spent in ready.values())


def test_a_failure_is_an_event_with_its_reason(life: Life) -> None:
    bad = [event.tag for event in life.events if event.tag.startswith("hart/bad/")]
    assert bad == [f"hart/bad/{stage}" for stage in [*STAGES[:4], "failed"]]
    (failed,) = of(life.events, "hart/bad/failed")
    assert "ended with exit code 7" in failed["error"]


def test_the_log_of_a_node_has_its_stages_with_times_and_the_bootstrap_s_output(
    life: Life, watched: SaltMaster
) -> None:
    lines = life.log.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 ", line) for line in lines)
    stages = re.findall(r"== (\w+) at \d+\.\d\d s", life.log)
    assert stages == [*STAGES[:3], "enrolling", *STAGES[3:], "done"]
    for step in ("ssh", "trust", "key", "install"):
        assert re.search(rf"hart: {step} took \d+\.\d\d s", life.log)
    assert (watched.log_dir / "good.log").stat().st_mode & 0o007 == 0


def test_a_failed_node_s_log_is_kept_with_the_reason_and_the_error_names_it(life: Life, watched: SaltMaster) -> None:
    entry = life.failed.data["bad"]
    assert entry["log"] == str(watched.log_dir / "bad.log")
    assert "on the way to the cliff" in entry["output"]
    log = log_of(watched, "bad")
    assert "on the way to the cliff" in log
    assert re.search(r"hart: the script .* ended with exit code 7", log)
    assert re.search(r"== failed at \d", log.splitlines()[-1])


def test_old_logs_of_successful_nodes_are_removed_and_those_of_failures_stay(life: Life, watched: SaltMaster) -> None:
    for name in ("up", "broken", "young"):
        ending = "failed" if name == "broken" else "done"
        (watched.log_dir / f"{name}.log").write_text(f"2020-01-01T00:00:00.000+00:00 == {ending} at 2.00 s\n")
    for name in ("up", "broken", "bad"):
        os.utime(watched.log_dir / f"{name}.log", (time.time() - 8 * DAY,) * 2)
    assert watched.run("hart.create", "next", "role=failing", "log_days=7").code == 1
    kept = {path.stem for path in watched.log_dir.glob("*.log")}
    assert {"broken", "bad", "young", "next"} <= kept
    assert "up" not in kept


def on_terminal(command: list[str], environment: dict[str, str]) -> Ran:
    """Run a command with a terminal as its standard error only."""
    terminal, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while data := os.read(terminal, 65536):
                seen.append(data)

    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True,
            env={**environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        )  # fmt: skip
        os.close(theirs)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        out, _ = process.communicate(timeout=300)
        reader.join(120)
    finally:
        os.close(terminal)
    return Ran(process.returncode, out, b"".join(seen).decode())


def test_on_a_terminal_a_live_table_shows_each_node_its_stage_and_its_time(watched: SaltMaster) -> None:
    ran = on_terminal(watched.command("hart.create", "one,two", "role=app"), watched.environment)
    assert ran.code == 0, ran
    assert set(ran.data) == {"one", "two"}
    assert "\x1b[" in ran.stderr, "it is drawn over and over"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ran.stderr)
    assert re.search(r"minion +stage +time +last line", plain)
    for minion_id in ("one", "two"):
        rows = re.findall(rf"{minion_id} +(\w+) +(\d+\.\d) s", plain)
        assert len({stage for stage, _ in rows}) > 1
        assert float(rows[0][1]) < float(rows[-1][1])
    assert [line for line in plain.splitlines() if re.fullmatch(r"ready 2  in [\d.]+ s", line)], "the summary stays"
    watched.run("hart.destroy", "one,two")


def test_a_watched_list_is_drawn_on_a_terminal_until_ctrl_c(watched: SaltMaster) -> None:
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        watched.command("hart.list_minions", "watch=1", out=None),
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
        env={**watched.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while seen.count(b"Ctrl-C ends it") < 2:
            seen += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the other end was closed
            while data := os.read(terminal, 65536):
                seen += data
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert b"There are no nodes." in seen.rpartition(b"\x1b[J")[2], "the last list stays"
    assert b"\x1b[?" not in seen, "no mode of the terminal was changed"


def test_async_puts_the_result_in_the_job_cache(watched: SaltMaster) -> None:
    command = [str(BIN / "salt-run"), "-c", str(watched.root / "etc"), "--async", "hart.create", "later", "role=app"]
    started = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=watched.environment, timeout=300,
        check=True,
    )  # fmt: skip
    (jid,) = re.findall(r"\b\d{20}\b", started.stdout + started.stderr)
    result = job_result(watched, jid)
    assert result["later"]["result"] is True
    assert watched.salt("later", "test.ping").data == {"later": True}
    assert watched.run("hart.destroy", "later").code == 0
