"""
The salt-master: its facts, its event bus, its jobs; with its keys, minions and configuration.

All methods block, and none may run in a thread with a running event loop, because Salt starts its own loops. ``Master``
is called from one thread at a time (``service`` ensures that), except ``Listener`` and the methods of ``minions``,
which make their own connections and run in parallel.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import salt.client
import salt.exceptions
import salt.runner
import salt.utils.event
import salt.utils.zeromq
from salt.version import __version__ as SALT_RELEASE  # noqa: N812 - it is a constant

from hart_salt.base import faults, logs
from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.master.configuration import Configuration
from hart_salt.master.keys import SENDING, Keys
from hart_salt.master.listener import EVENT_BUS_TIMEOUT, Listener, of_interruptions, of_minions
from hart_salt.master.minions import Minions, user_of
from hart_salt.master.record_cache import RecordCache, server_of
from hart_salt.master.states import unknown_states
from hart_salt.master.terms import minion_terms
from hart_salt.model import MasterInfo, Place

SALT_VERSION = str(SALT_RELEASE)


class Master:
    """The salt-master with the configuration ``opts``, as a runner on it sees it."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._bus: Any = None
        self.keys = Keys(opts)
        self.minions = Minions(opts)
        self.configuration = Configuration(opts)

    # facts

    def info(self) -> MasterInfo:
        """
        Return the facts. A master that never ran has no key: its ``public_key`` is empty.

        Such a machine can query its providers and create other masters. The owner in their tags is kept in a file of
        the cachedir.

        Raises ``EnvironmentFault`` if that file cannot be written.
        """
        public_key = self._public_key
        owner = hashlib.sha256(public_key.strip().encode()).hexdigest()[:16] if public_key else self._kept_owner()
        interface = str(self._opts["interface"])
        log_dir = logs.choose(str(self._opts.get("log_file", "")), str(self._opts["cachedir"]))
        return MasterInfo(
            master_id=str(self._opts["id"]),
            owner=owner,
            public_key=public_key,
            salt_version=SALT_VERSION,
            local_address="127.0.0.1" if interface in ("0.0.0.0", "::", "") else interface,  # noqa: S104
            publish_port=int(self._opts["publish_port"]),
            return_port=int(self._opts["ret_port"]),
            cachedir=str(self._opts["cachedir"]),
            log_dir=log_dir.path,
            log_note=log_dir.note,
            other_log_dir=log_dir.other,
            terms=minion_terms(self._opts),
            cluster_id=str(self._opts.get("cluster_id") or ""),
        )

    def reactor_threads(self) -> int:
        """Return in how many threads the master runs calls of its reactors; 0 if its configuration has no reactor."""
        return int(self._opts["reactor_worker_threads"]) if self._opts.get("reactor") else 0

    @functools.cached_property
    def _public_key(self) -> str:
        """Return the master's public key; empty if it has none."""
        try:
            return self.keys.master_key()
        except PermissionError as error:
            raise EnvironmentFault(
                f"the user {faults.user()} cannot read this master's key: run salt-run as the user of "
                f"salt-master; {faults.sentence(error)}"
            ) from error
        except Exception:
            return ""

    def _kept_owner(self) -> str:
        """Return the owner for tags and records while this machine has no key: created once, and kept."""
        path = Path(self._opts["cachedir"]) / "hart" / "owner"
        new = path.with_name(f".owner.{secrets.token_hex(4)}")
        try:
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                new.write_text(secrets.token_hex(8))
                # Two parallel calls agree on the first one, which is complete when it gets its name.
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(new)
            owner = path.read_text().strip()
        except OSError as error:
            raise EnvironmentFault(faults.sentence(error, path)) from error
        except UnicodeDecodeError:
            owner = ""
        finally:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
        if not re.fullmatch("[0-9a-f]{16}", owner):
            raise Refused(f"{path} does not hold 16 hex digits: remove it, and hart creates a new one")
        return owner

    def require_running(self) -> None:
        """Raise ``Refused`` unless the master's event bus can be reached."""
        if not self._public_key:
            raise Refused("this master has no key yet: start salt-master once")
        sockets = str(self._opts["sock_dir"])
        if os.path.lexists(sockets) and not os.access(sockets, os.X_OK, effective_ids=True):
            closed = OSError(errno.EACCES, os.strerror(errno.EACCES), sockets)
            raise EnvironmentFault(f"the sockets of salt-master cannot be used: {faults.sentence(closed)}")
        with self._event_bus(listen=False) as bus:
            if not bus.connect_pull(timeout=EVENT_BUS_TIMEOUT):
                raise Refused(
                    f"no salt-master is running on the sockets in {self._opts['sock_dir']}: start it and try again"
                )

    # jobs

    def begin(self, function: str, arguments: Mapping[str, Any]) -> str:
        """
        Have the master start a runner as a process of its own, which outlives the master, and return the job's id.

        Raises ``Refused`` if the master does not start it.
        """
        user = user_of(self._opts)
        with salt.client.get_local_client(mopts=dict(self._opts, user=user)) as local:
            key = local.key
        address = salt.utils.zeromq.ip_bracket(self.info().local_address)
        # A master's options do not contain the address of its own port for requests.
        client = salt.runner.RunnerClient(dict(self._opts, master_uri=f"tcp://{address}:{self._opts['ret_port']}"))
        try:
            answer = client.cmd_async({"fun": function, "kwarg": dict(arguments), "user": user, "key": key})
        except salt.exceptions.SaltException as error:
            raise Refused(f"the master did not start {function} as a job: {error}") from error
        finally:
            getattr(client, "destroy", lambda: None)()  # 3006 and 3007 have nothing to close
        jid: str = answer["jid"]
        return jid

    # events and cache

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Fire an event on the master's bus. If the master is gone, the event is lost, which harms no node."""
        if not self._public_key:
            return  # it never ran: there is no bus and no listener
        if self._bus is None:
            self._bus = self._event_bus(listen=False)
        self._bus.fire_event(dict(data), tag)

    def close(self) -> None:
        """Close the connection that ``fire`` keeps."""
        if self._bus is not None:
            self._bus.destroy()
            self._bus = None

    def _event_bus(self, *, listen: bool) -> Any:
        opts = self._opts if listen else {**self._opts, **SENDING}
        return salt.utils.event.get_event("master", self._opts["sock_dir"], opts=opts, listen=listen)

    def events(self, on_start: Callable[[str], None], on_answer: Callable[[str, str], None]) -> Listener:
        """Listen for start events and for answers to ``ask_for_answers``; see ``of_minions``."""
        return of_minions(lambda: self._event_bus(listen=True), on_start, on_answer)

    def wakes(self, on_wake: Callable[[], None]) -> Listener:
        """Listen for events that announce an interruption; see ``of_interruptions``."""
        return of_interruptions(lambda: self._event_bus(listen=True), on_wake)

    def unknown_states(self, names: Sequence[str], saltenv: str) -> list[str]:
        """Return a sentence for each SLS name that the master's file server does not have; see ``states.py``."""
        return unknown_states(self._opts, names, saltenv)

    def cache(self) -> RecordCache:
        """Return Salt's cache with the master's configured driver, which stores the records."""
        return RecordCache(self._opts)

    def record_place(self) -> Place:
        """Return the location of the records."""
        driver = str(self._opts.get("cache") or "localfs")
        if driver == "localfs":
            return Place(f"localfs below {self._opts['cachedir']}", Path(self._opts["cachedir"]))
        return Place(server_of(driver, self._opts), shared=True)
