"""
Everything that is asked of Salt; the only file of the package that imports ``salt``.

All methods block, and none may run in a thread that runs an event loop: Salt starts loops of its own.
``Master`` is called from one thread at a time (``service`` sees to that), but for ``Events``, ``ask_for_answers``
and ``ping``/``apply``, which make their own connections and run side by side.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import pwd
import re
import secrets
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import salt.cache
import salt.client
import salt.config
import salt.exceptions
import salt.key
import salt.loader
import salt.pillar
import salt.runner
import salt.template
import salt.utils.args
import salt.utils.crypt
import salt.utils.event
import salt.utils.jid
import salt.utils.minions
import salt.utils.sdb
import salt.utils.zeromq
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from salt.version import __version__ as SALT_RELEASE  # noqa: N812 - it is a constant

from hart_salt.base import faults, logs
from hart_salt.base.errors import ConfigError, EnvironmentFault, Fault, HartError, NodeFailed, Refused
from hart_salt.master import jobs
from hart_salt.master.listener import ANSWER_SETTING, EVENT_BUS_TIMEOUT, QUESTION, Events
from hart_salt.model import MasterInfo, Place

SALT_VERSION = str(SALT_RELEASE)
MINIMUM_KEY_BITS = 2048
MAXIMUM_KEY_BITS = 16384  #: what OpenSSL itself takes
PING_TIMEOUT = 5  #: seconds for the answer to a test.ping
PING_GATHER_TIMEOUT = 2  #: seconds for Salt's own question whether a job still runs, after a ping
ASK_TIMEOUT = 30  #: seconds for the answer to a question that takes a moment
APPLY_TIMEOUT = 60  #: seconds until Salt asks whether the states are still being applied
APPLY_GATHER_TIMEOUT = 30  #: seconds for the answer: a node that is being set up is busy

ACCEPT_ATTEMPTS = 3  #: a daemon that looks at a stranger's key may undo what was done meanwhile
HOLDERS_TOLD = 5  #: ids with the key of an image's own minion that a note is made of, at the most
#: how Salt's own settings end that are secrets
PASSWORDS = ("password", "passwd", "passphrase", "_pass", "_secret")

#: Salt's names for the states of a key, as its wheel functions use them
ACCEPTED, PENDING, REJECTED, DENIED = "minions", "minions_pre", "minions_rejected", "minions_denied"
STATE_WORDS = {ACCEPTED: "accepted", PENDING: "pending", REJECTED: "rejected", DENIED: "denied"}


def check_public_key(pem: str) -> str:
    """
    Return ``pem``, written anew, if it is an RSA public key of 2048 to 16384 bits and nothing else.

    Salt itself would store garbage.

    Raises ``NodeFailed`` otherwise.
    """
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NodeFailed("what the node reported as its minion key is not a public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or not MINIMUM_KEY_BITS <= key.key_size <= MAXIMUM_KEY_BITS:
        raise NodeFailed(
            f"the node's minion key is not an RSA key of {MINIMUM_KEY_BITS} to {MAXIMUM_KEY_BITS} bits"
        )
    plain = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    # Text around a key is passed over by whatever reads it, and shown by whatever prints it.
    if not same_key(pem, plain):
        raise NodeFailed("what the node reported as its minion key holds more than a public key, or another form of it")
    return plain


def same_key(one: str, other: str) -> bool:
    """Compare keys as Salt does: line ends and blanks around the text do not count."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


def fingerprint(pem: str) -> str:
    """The fingerprint of a stored key as this Salt's own ``salt-key -f`` shows it; its versions differ."""
    return str(salt.utils.crypt.pem_finger(key=pem.encode(), sum_type="sha256"))


def master_fingerprint(pem: str) -> str:
    """
    The fingerprint of a master's key, as ``master_finger`` of its minions wants it.

    ``salt-key -F master`` of Salt 3006 and 3007 shows the same; that of 3008 shows one that no minion would take.
    """
    # A file that is in memory only: no directory for temporary files need have room for it.
    with os.fdopen(os.memfd_create("hart-master-key"), "w") as file:
        file.write(pem.strip() + "\n")
        file.flush()
        return str(salt.utils.crypt.pem_finger(path=f"/proc/self/fd/{file.fileno()}", sum_type="sha256"))


class Master:
    """The salt-master whose configuration ``opts`` is, as a runner on it sees it."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._wheels: Any = None
        self._bus: Any = None

    # facts

    def info(self) -> MasterInfo:
        """
        Return the facts. A master that never ran has no key: its ``public_key`` is empty.

        Such a machine can look around at its providers and create other masters. What these carry as their owner is
        kept in a file of the cachedir. Raises ``EnvironmentFault`` where that cannot be written.
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
        )

    @functools.cached_property
    def _public_key(self) -> str:
        """The master's public key; empty where it has none."""
        try:
            answer = self._wheel()["key.master_key_str"]()["local"]
            # The name of the single key differs between Salt versions.
            (public_key,) = answer.values()
        except PermissionError as error:
            raise EnvironmentFault(
                f"this master's key cannot be read by the user {faults.user()}: call salt-run as the user of "
                f"salt-master; {faults.sentence(error)}"
            ) from error
        except Exception:
            return ""
        return str(public_key)

    def _kept_owner(self) -> str:
        """What stands for this machine in tags and records as long as it has no key: made once, and kept."""
        path = Path(self._opts["cachedir"]) / "hart" / "owner"
        new = path.with_name(f".owner.{secrets.token_hex(4)}")
        try:
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                new.write_text(secrets.token_hex(8))
                # Two calls at once agree on the one that comes first, which is whole when it has its name.
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
            raise Refused(f"{path} does not hold 16 hex digits: remove it, and hart makes it anew")
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
                    f"no salt-master is running on the sockets in {self._opts['sock_dir']}: start it and "
                    "try again"
                )

    # configuration

    def configuration(self) -> Mapping[str, Any]:
        """The master config's ``hart:`` key; empty when there is none."""
        return _section(self._opts.get("hart"), "the master config")

    def own_settings(self) -> dict[str, Any]:
        """
        What may hold a secret in the master's configuration, beside ``hart:``: passwords, profiles of sdb, databases.

        Of Salt's own settings, such as ``token_dir`` and ``eauth_tokens``, only those that end in a word for passwords.
        """
        defaults = salt.config.DEFAULT_MASTER_OPTS
        return {
            key: value
            for key, value in self._opts.items()
            if key != "hart"
            and (key not in defaults or key.endswith(PASSWORDS) or not isinstance(value, str))
            and value != defaults.get(key)
        }

    def from_sdb(self) -> list[Any]:
        """
        What stands in the master's configuration for an ``sdb://`` reference.

        Salt has put it there when it read its files, and does not tell which it was: the files are read once more.
        """
        found: list[Any] = []
        path = str(self._opts.get("conf_file") or "")
        with contextlib.suppress(Exception):  # Salt has read them, and says what is wrong with them
            raw = dict(salt.config._read_conf_file(path))
            for more in (self._opts.get("default_include"), raw.get("include")):
                raw.update(salt.config.include_config(more, path, verbose=False) if more else {})
            _resolved(raw, self._opts, found)
        return found

    def pillar(self) -> Mapping[str, Any]:
        """The ``hart:`` key of the master's own pillar. Raises ``Refused`` for a pillar that has errors."""
        # Without Salt's caches: 3008 would write the pillar, and so its secrets, below the cachedir.
        opts = dict(self._opts, pillar_cache=False, minion_data_cache=False)
        compiler = salt.pillar.get_pillar(opts, {"id": opts["id"]}, opts["id"], "base")
        pillar = compiler.compile_pillar()
        if pillar.get("_errors"):
            # What the errors say may quote the pillar, and so a secret of it.
            raise Refused(
                f"the pillar of this master ({self._opts['id']}) does not compile; "
                f"see: salt-run pillar.show_pillar {self._opts['id']}"
            )
        return _section(pillar.get("hart"), "the pillar")

    def resolve_sdb(self, uri: str) -> Any:
        """Return what an ``sdb://`` URI stands for; Salt gives back the URI itself where it finds nothing."""
        return salt.utils.sdb.sdb_get(uri, self._opts)

    def render(self, path: str) -> Any:
        """What a file says that is rendered as states are. Raises ``Refused`` for one that cannot be."""
        try:
            renderers = salt.loader.render(self._opts, {})
            return salt.template.compile_template(
                path, renderers, self._opts.get("renderer", "jinja|yaml"), self._opts.get("renderer_blacklist"),
                self._opts.get("renderer_whitelist"),
            )  # fmt: skip
        except Exception as error:
            raise Refused(f"{path} cannot be rendered ({type(error).__name__}): mend it, or take it away") from error

    # keys

    def key_states(self) -> dict[str, tuple[str, ...]]:
        """Return, for every minion id in the key store, the states that a key of that id is in."""
        found: dict[str, tuple[str, ...]] = {}
        # Where no master ever ran there may be no such directory, which Salt before 3008 takes for granted.
        if not Path(self._opts["pki_dir"]).is_dir():
            return found
        listing = self._wheel()["key.list_all"]()
        for state in STATE_WORDS:
            for minion_id in listing.get(state, []):
                found[minion_id] = (*found.get(minion_id, ()), state)
        return found

    def accepted_finger(self, minion_id: str) -> str | None:
        """The fingerprint of the accepted key of an id; None: there is none."""
        return next((fingerprint(key) for key in self._keys(minion_id).get(ACCEPTED, [])), None)

    def accept_key(self, minion_id: str, pem: str) -> list[str]:
        """
        Make ``pem`` the accepted key of ``minion_id``, whatever was there but another accepted key.

        A key under the same id that is pending, rejected or denied is somebody's who came first: it is
        deleted and the node's takes its place; so it is again where somebody asks under the id at that very moment.
        Returns one sentence for each key that was replaced.

        Raises ``NodeFailed`` when another key is accepted already (it is left for the admin), or when the
        store does not hold ``pem`` as the only key afterwards.
        """
        replaced: dict[str, None] = {}
        for _ in range(ACCEPT_ATTEMPTS):
            replaced |= dict.fromkeys(self._accept_once(minion_id, pem))
            if ACCEPTED in self._keys(minion_id):
                break
        self._confirm(minion_id, pem)
        return list(replaced)

    def _accept_once(self, minion_id: str, pem: str) -> list[str]:
        there = self._keys(minion_id)
        for key in there.get(ACCEPTED, []):
            if not same_key(key, pem):
                raise NodeFailed(_foreign_accepted(minion_id, key))
        replaced = [
            f"a foreign key that was {STATE_WORDS[state]} under this id was replaced: {fingerprint(key)}"
            for state in (PENDING, REJECTED, DENIED)
            for key in there.get(state, [])
            if not same_key(key, pem)
        ]
        stale = {state: [minion_id] for state in (PENDING, REJECTED, DENIED) if state in there}
        if stale:
            self._delete(stale, rotate=False)
        if ACCEPTED not in there:
            self._deposit(minion_id, pem)
            # Salt 3008 breaks with this over a key that is gone by then; whether ours is accepted is looked at.
            with contextlib.suppress(TypeError):
                self._wheel()["key.accept_dict"]({PENDING: [minion_id]})
        return replaced

    def holders(self, pem: str) -> list[str]:
        """
        What to tell of a key that a node says its image's own minion asked with, before that was stopped.

        Returns one sentence for each of the first few ids under which this key is pending or accepted. Nothing is
        deleted: a node could name the key of another machine that is about to be accepted.
        """
        try:
            pem = check_public_key(pem)
        except NodeFailed:
            return []
        answer = self._wheel()["key.print"]("*")
        found = [
            (state, minion_id, str(key))
            for state in (PENDING, ACCEPTED)
            for minion_id, key in answer.get(state, {}).items()
            if same_key(str(key), pem)
        ]
        return [
            f"the node says that its image started a minion of its own, whose key {fingerprint(key)} is "
            f"{STATE_WORDS[state]} as {minion_id}: disable salt-minion in the image, and if no other machine has this "
            f"key, delete it with salt-key -d {shlex.quote(minion_id)}"
            for state, minion_id, key in found[:HOLDERS_TOLD]
        ]

    def _confirm(self, minion_id: str, pem: str) -> None:
        """Somebody may have raced us between two steps; what is accepted now has to be the node's key."""
        keys = self._keys(minion_id).get(ACCEPTED, [])
        if not keys:
            raise NodeFailed(f"Salt did not accept the key of {minion_id}; see the master's log")
        if not same_key(keys[0], pem):
            raise NodeFailed(_foreign_accepted(minion_id, keys[0]))

    def _keys(self, minion_id: str) -> dict[str, list[str]]:
        """The keys stored under one id, by state. The id holds no glob characters (naming checks that)."""
        if self._key_cache is not None:
            return self._cached_keys(minion_id)
        answer = self._wheel()["key.print"](minion_id)
        found: dict[str, list[str]] = {}
        for state in STATE_WORDS:
            keys = answer.get(state, {}).get(minion_id)
            if keys:
                found[state] = [keys] if isinstance(keys, str) else list(keys)
        return found

    def _cached_keys(self, minion_id: str) -> dict[str, list[str]]:
        """The same by a look at this id alone: 3008's wheel function looks at each key of the master for it."""
        key = self._key_cache.fetch("keys", minion_id) or {}
        found = {state: [str(key["pub"])] for state, word in STATE_WORDS.items() if key.get("state") == word}
        denied = self._key_cache.fetch("denied_keys", minion_id)
        return {**found, DENIED: list(denied)} if denied else found

    @functools.cached_property
    def _key_cache(self) -> Any:
        """Where Salt 3008 keeps keys, with the driver that the master is set to; None: an earlier one, with files."""
        driver = self._opts.get("keys.cache_driver")
        return salt.cache.Cache(self._opts, driver=driver) if driver else None

    def _deposit(self, minion_id: str, pem: str) -> None:
        """
        Put a public key that was made elsewhere into the store, as pending: no wheel function does.

        Salt 3008 keeps keys in a cache whose driver is a setting, and its ``key.gen_accept`` stores them
        like this; 3006 and 3007 keep files, and Salt itself writes them like this.
        """
        if self._key_cache is not None:
            self._key_cache.store("keys", minion_id, {"pub": pem, "state": "pending"})
            return
        path = Path(self._opts["pki_dir"]) / PENDING / minion_id
        new = path.with_name(f".{minion_id}.hart-new")
        try:
            new.write_text(pem)
            new.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise EnvironmentFault(f"the key cannot be stored: {faults.sentence(error, path.parent)}") from error

    def delete_keys(self, minion_ids: Iterable[str], *, connected: bool = True) -> None:
        """
        Delete the keys of these ids in whatever state, denied ones too, in one call.

        connected
            False for keys that no minion ever authenticated with: then the master need not rotate the key
            that its connected minions share (default True)
        """
        states = self.key_states()
        match: dict[str, list[str]] = {}
        for minion_id in minion_ids:
            for state in states.get(minion_id, ()):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=connected)

    def delete_own_keys(self, fingerprints: Mapping[str, str | None]) -> None:
        """
        Delete, in one call, the keys of these ids that have the fingerprint which is given with the id.

        What was denied beside such a key goes as well, or the id could not be used again: it asked while that key held
        the id. So does what was denied under an id that has no other key any more.
        """
        match: dict[str, list[str]] = {}
        for minion_id, wanted in fingerprints.items():
            keys = self._keys(minion_id) if wanted else {}
            for state in _own_states(keys, functools.partial(_has_fingerprint, wanted)):
                match.setdefault(state, []).append(minion_id)
        if match:
            self._delete(match, rotate=True)

    def delete_key(self, minion_id: str, pem: str, *, connected: bool) -> None:
        """
        Delete the key of one id where it is ``pem``, with what was denied beside it; a key that is another's stays.

        connected
            True where salt-minion was started: whatever waits or was denied under this id came after ``pem`` was
            accepted, and the node caused it, by making its key anew for one
        """
        keys = self._keys(minion_id)
        states = _own_states(keys, lambda key: same_key(key, pem))
        if connected and all(same_key(key, pem) for key in keys.get(ACCEPTED, [])):
            states |= keys.keys() & {PENDING, DENIED}
        match = {state: [minion_id] for state in states}
        if match:
            self._delete(match, rotate=connected)

    def _delete(self, match: Mapping[str, Sequence[str]], *, rotate: bool) -> None:
        """
        Delete keys by state and exact id, as the wheel function ``key.delete_dict`` does.

        Not by that function: Salt's loaders of one process share their modules, and so the options in them.
        A loader made without rotation would take it from every other one.
        """
        opts = self._opts if rotate else dict(self._opts, rotate_aes_key=False)
        with salt.key.get_key(opts) as store:
            store.delete_key(match_dict=match)

    def _wheel(self) -> Any:
        """
        Salt's wheel functions, called directly.

        WheelClient would put arguments and results on the event bus; the loader does not.
        """
        if self._wheels is None:
            self._wheels = salt.loader.wheels(self._opts)
        return self._wheels

    # minions

    def _ask(
        self, minion_ids: Sequence[str], function: str, arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] = MappingProxyType({}), *, timeout: float = PING_TIMEOUT,
        gather_timeout: float = PING_GATHER_TIMEOUT,
    ) -> dict[str, Mapping[str, Any]]:  # fmt: skip
        """What the master has stored of those that answered; see ``jobs.ask``."""
        if not minion_ids:
            return {}
        given = salt.utils.args.condition_input(list(arguments), dict(keywords))
        with salt.client.get_local_client(mopts=dict(self._opts, user=self._user())) as client:
            return jobs.ask(
                client, lambda: str(salt.utils.jid.gen_jid(self._opts)), minion_ids, function, given, timeout=timeout,
                gather_timeout=gather_timeout,
            )  # fmt: skip

    def ping(self, minion_id: str, timeout: float) -> bool:
        """Whether the minion answers test.ping; asked once, given up after ``timeout`` seconds."""
        answers = self._ask([minion_id], "test.ping", timeout=min(timeout, PING_TIMEOUT))
        return minion_id in answers and answers[minion_id].get("return") is True

    def ask_for_answers(self, minion_ids: Sequence[str]) -> None:
        """
        Ask new minions for their codes, and do not wait: ``events`` tells what they answer.

        Raises ``HartError`` when the master did not publish it, and what Salt raises when it cannot be reached.
        """
        with salt.client.get_local_client(mopts=dict(self._opts, user=self._user())) as client:
            # Not by run_job: that prints what went wrong, and what is printed here is salt-run's result.
            answer = client.pub(
                list(minion_ids), QUESTION, [ANSWER_SETTING], tgt_type="list", timeout=jobs.PUBLISH_TIMEOUT
            )
        if not isinstance(answer, Mapping) or not answer.get("minions"):
            raise HartError("the master published no question to them; see its log")

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        """The minions among these that answer test.ping within a few seconds; all are asked at once."""
        answers = self._ask(minion_ids, "test.ping")
        return frozenset(minion_id for minion_id, answer in answers.items() if answer.get("return") is True)

    def grains(self, minion_ids: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Some grains of the minions among these that answer within a few seconds; all are asked at once."""
        said = {name: answer.get("return") for name, answer in self._ask(minion_ids, "grains.item", names).items()}
        return {minion_id: grains for minion_id, grains in said.items() if isinstance(grains, Mapping)}

    def ask(self, target: str, target_type: str, function: str) -> dict[str, Any]:
        """
        Call a function without arguments on all minions of a target; None for one that did not answer.

        target_type
            as for ``salt``: ``glob``, ``list``, ``grain``, ``compound`` …

        Raises ``Refused`` for a target that no minion matches.
        """
        minions = salt.utils.minions.CkMinions(dict(self._opts))
        expected = minions.check_minions(target, target_type)["minions"]
        if not expected:
            raise Refused(f"no minion with an accepted key matches {target}")
        answers = self._ask(sorted(expected), function, timeout=ASK_TIMEOUT)
        return {name: answers[name].get("return") if name in answers else None for name in sorted(expected)}

    def apply(self, minion_id: str, states: str | Sequence[str]) -> list[str]:
        """
        Apply the highstate (``"highstate"``) or a list of SLS, and wait for as long as the job runs.

        Returns the problems, one sentence each; none means that every state succeeded.
        """
        arguments = () if states == "highstate" else (list(states),)
        answers = self._ask(
            [minion_id], "state.apply", arguments, timeout=APPLY_TIMEOUT, gather_timeout=APPLY_GATHER_TIMEOUT
        )
        answer = answers.get(minion_id, {}).get("return")
        if isinstance(answer, Mapping) and answer:
            return [
                f"{key.split('_|-')[1] if '_|-' in key else key}: {state.get('comment', 'failed')}"
                for key, state in answer.items()
                if isinstance(state, Mapping) and state.get("result") is False
            ]
        if isinstance(answer, list):
            return [str(problem) for problem in answer]
        return [str(answer) if answer else "the minion gave no answer"]

    def call(self, minion_id: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
        """
        Call an execution function, and wait for as long as the job runs.

        Returns the problems, one sentence each; none means that it succeeded: its return is not False, and its return
        code is 0.
        """
        answers = self._ask(
            [minion_id], function, args, kwargs, timeout=APPLY_TIMEOUT, gather_timeout=APPLY_GATHER_TIMEOUT
        )
        if minion_id not in answers:
            return ["the minion gave no answer"]
        answer = answers[minion_id]
        if answer.get("retcode") or answer.get("return") is False:
            return [f"{function} failed: {answer.get('return')}"]
        return []

    def shell(self, minion_id: str, script: str, arguments: Sequence[str]) -> tuple[int, str] | None:
        """
        Run a POSIX shell script on a minion with what every minion has, and return its exit code and what it said.

        None when there was no answer in time: it may have run, or run later.
        """
        return self.shell_all([minion_id], script, arguments)[minion_id]

    def shell_all(
        self, minion_ids: Sequence[str], script: str, arguments: Sequence[str]
    ) -> dict[str, tuple[int, str] | None]:
        """The same on several minions, in one job."""
        command = shlex.join(["sh", "-s", "--", *arguments])
        how = {"stdin": script, "python_shell": False, "ignore_retcode": True}
        answers = self._ask(minion_ids, "cmd.run_all", [command], how, timeout=ASK_TIMEOUT)
        return {minion_id: _shell_answer(answers.get(minion_id)) for minion_id in minion_ids}

    def _user(self) -> str:
        """
        Whose key to talk to the master with.

        In a runner that a reactor's orchestration calls, Salt has the word Reactor for the user.
        """
        user = str(self._opts.get("user") or "")
        try:
            pwd.getpwnam(user)
        except KeyError:
            return faults.user()
        return user

    # jobs

    def begin(self, function: str, arguments: Mapping[str, Any]) -> str:
        """
        Have the master start a runner as a process of its own, which outlives it, and return the job's id.

        Raises ``Refused`` when the master does not.
        """
        user = self._user()
        with salt.client.get_local_client(mopts=dict(self._opts, user=user)) as local:
            key = local.key
        address = salt.utils.zeromq.ip_bracket(self.info().local_address)
        # A master's options do not say where its own port for requests is.
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
        """Fire an event on the master's bus. A master that is gone loses it; that harms no node."""
        if not self._public_key:
            return  # it never ran: there is no bus, and nobody to hear
        if self._bus is None:
            self._bus = self._event_bus(listen=False)
        self._bus.fire_event(dict(data), tag)

    def close(self) -> None:
        """Close the connection that ``fire`` keeps."""
        if self._bus is not None:
            self._bus.destroy()
            self._bus = None

    def _event_bus(self, *, listen: bool) -> Any:
        return salt.utils.event.get_event("master", self._opts["sock_dir"], opts=self._opts, listen=listen)

    def events(self, on_start: Callable[[str], None], on_answer: Callable[[str, str], None]) -> Events:
        """Listen for start events and for answers to ``ask_for_answers``; see ``Events``."""
        return Events(lambda: self._event_bus(listen=True), on_start, on_answer)

    def cache(self) -> Any:
        """Salt's cache with the master's configured driver, in which the records are kept."""
        return salt.cache.Cache(self._opts)

    def record_place(self) -> Place:
        """Where that is."""
        driver = str(self._opts.get("cache") or "localfs")
        if driver == "localfs":
            return Place(f"localfs below {self._opts['cachedir']}", Path(self._opts["cachedir"]))
        host = next((self._opts[name] for name in (f"cache.{driver}.host", f"{driver}.host") if name in self._opts), "")
        return Place(f"{driver} at {host}" if host else driver)


def _has_fingerprint(wanted: str | None, key: str) -> bool:
    return fingerprint(key) == wanted


def _own_states(keys: Mapping[str, Sequence[str]], own: Callable[[str], bool]) -> set[str]:
    """The states of the keys under one id that are to go with a node whose key is ``own``."""
    states = {state for state in (ACCEPTED, PENDING) if any(own(key) for key in keys.get(state, []))}
    if DENIED in keys and (states or keys.keys() == {DENIED}):
        states.add(DENIED)
    return states


def _shell_answer(answer: Mapping[str, Any] | None) -> tuple[int, str] | None:
    if answer is None:
        return None
    said = answer.get("return")
    if not isinstance(said, Mapping):
        return 1, str(said)
    code = int(said["retcode"])
    return code, str(said["stderr" if code else "stdout"]).strip()


def _resolved(raw: Any, read: Any, found: list[Any]) -> None:
    """Walk both trees, what the files say and what Salt made of it, and collect what references stand for."""
    if isinstance(raw, str) and raw.startswith("sdb://"):
        found.append(read)
    elif isinstance(raw, Mapping) and isinstance(read, Mapping):
        for key, value in raw.items():
            _resolved(value, read.get(key), found)
    elif isinstance(raw, list) and isinstance(read, list | tuple):
        for one, other in zip(raw, read, strict=False):
            _resolved(one, other, found)


def _foreign_accepted(minion_id: str, key: str) -> str:
    return (
        f"another key is accepted as {minion_id} already: {fingerprint(key)}; it was left for you: if it is "
        f"not yours, delete it with salt-key -d {minion_id}, and look at auto_accept and autosign_file"
    )


def _section(data: Any, where: str) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError([Fault("hart", f"must be a mapping in {where}")])
    return data
