"""A compromised accepted minion: it sends its master what no honest minion sends, in Salt's own protocol."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster

#: a separate process sends the messages: Salt's channels need their own event loop and options
SENDER = """
import json, sys
import salt.channel.client, salt.config, salt.crypt
opts = salt.config.minion_config(sys.argv[1])
opts["master_uri"] = f"tcp://{opts['master']}:{opts['master_port']}"
with salt.channel.client.ReqChannel.factory(opts) as channel:
    for line in sys.stdin:
        load = {"id": opts["id"], "tok": salt.crypt.SAuth(opts).gen_token(b"salt"), **json.loads(line)}
        print(json.dumps(repr(channel.send(load, timeout=120))), flush=True)
"""
#: ways to claim that another minion answered: an event, its return, and returns like those of a syndic or a resource
WAYS = ("event", "return", "syndic", "resource")


class Forger:
    """What can be sent with the key of the minion whose configuration is ``config``."""

    def __init__(self, master: SaltMaster, config: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SENDER, config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=master.environment,
        )  # fmt: skip

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def send(self, load: Mapping[str, Any]) -> None:
        """Send this to the master, and wait until the master has it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(load) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline(), "the sender ended"

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Fire an event with any tag and any top-level data."""
        self.send(_event(tag, data))

    def start(self, minion_id: str) -> None:
        """Claim that another minion started."""
        data = {"id": minion_id, "cmd": "_minion_event", "data": f"Minion {minion_id} started"}
        self.fire(f"salt/minion/{minion_id}/start", data)

    def answer(self, job: Mapping[str, Any], minion_id: str, value: Any, *ways: str) -> None:
        """Answer a job as another minion."""
        for way in ways:
            self.send(_forged(way, job, minion_id, value))


def _event(tag: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"cmd": "_minion_event", "pretag": None, "events": [{"tag": tag, "data": dict(data)}]}


def _forged(way: str, job: Mapping[str, Any], minion_id: str, value: Any) -> dict[str, Any]:
    item = {"fun": job["fun"], "fun_args": job.get("arg", []), "return": value, "retcode": 0, "success": True}
    said = {"cmd": "_return", "jid": job["jid"], "id": minion_id, **item}
    loads: dict[str, dict[str, Any]] = {
        "event": _event(f"salt/job/{job['jid']}/ret/{minion_id}", said),
        "return": said,
        "syndic": {"cmd": "_syndic_return", "load": [{"id": "syndic", "jid": job["jid"], "return": {minion_id: item}}]},
        "resource": {"cmd": "_return", "jid": job["jid"], "resource_id": minion_id, **item},
    }
    return loads[way]


@contextlib.contextmanager
def taken_over(master: SaltMaster, minion_id: str = "mallory") -> Iterator[Forger]:
    """Yield a real, accepted minion, and what can be sent with its key."""
    with tools.bare_minion(master, minion_id) as pki:
        tools.let_in(master, minion_id)
        forger = Forger(master, pki.parent / "minion")
        try:
            yield forger
        finally:
            forger.close()


def jobs_for(master: SaltMaster, minion_id: str, since: float) -> list[dict[str, Any]]:
    """Return the jobs that were published for a minion since a time, as all minions see them."""
    jobs = [one.data for one in master.events_since(since) if re.fullmatch("salt/job/.*/new", one.tag)]
    return [job for job in jobs if minion_id in job["minions"]]


def answer_until_ended(
    forger: Forger, master: SaltMaster, run: subprocess.Popen[str], minion_id: str, *values: Any, ways: tuple[str, ...]
) -> list[dict[str, Any]]:
    """While a call of hart runs, claim that a minion started and answer all its jobs; return the jobs."""
    began, answered = time.time(), 0
    while run.poll() is None:
        forger.start(minion_id)
        jobs = jobs_for(master, minion_id, began)
        for job in jobs[answered:]:
            for value in values:
                forger.answer(job, minion_id, value, *ways)
        answered = len(jobs)
        time.sleep(0.1)
    return jobs_for(master, minion_id, began)
