"""
The settings that real masters have: with each of them a node becomes ready, or the plan says what to do.

By default, settings that do not depend on each other share a master; ``./test --all`` starts one for each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from saltfactories.manager import FactoriesManager

from tests import scope
from tests.end_to_end import certificates
from tests.end_to_end.conftest import Ran, SaltMaster, idle_machine, running_master

MINION_KEYS = "etc/salt/pki/minion"


@dataclass(frozen=True)
class Row:
    """Settings of a master, and of the user for the nodes, with which a node becomes ready."""

    #: rows of one group share a master
    group: str
    master: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    #: what the configuration of the minion must then contain
    minion: Mapping[str, Any] = field(default_factory=dict)
    #: files that the master needs, by their path below its directory
    files: Callable[[], Mapping[str, str]] = dict


READY = {
    # over tcp, with signed messages of the minion
    "transport: tcp": Row("tcp", {"transport": "tcp"}, minion={"transport": "tcp"}),
    "ssl, with ssl in minion_config": Row(
        "tls",
        {"transport": "tcp", "ssl": certificates.OF_MASTER, "worker_pools_enabled": False},
        {"ssl": certificates.OF_MINION},
        files=certificates.files,
    ),
    "require_minion_sign_messages": Row(
        "tcp",
        {"require_minion_sign_messages": True, "signing_algorithm": "PKCS1v15-SHA224"},
        minion={"minion_sign_messages": True, "signing_algorithm": "PKCS1v15-SHA224"},
    ),
    "drop_messages_signature_fail": Row(
        "tcp",
        {
            "require_minion_sign_messages": True,
            "drop_messages_signature_fail": True,
            "signing_algorithm": "PKCS1v15-SHA224",
        },
        minion={"minion_sign_messages": True},
    ),
    "request_server_ttl": Row("tcp", {"request_server_ttl": 300, "request_server_aes_session": 3600}),
    "max_minions": Row("tcp", {"max_minions": 10}),
    "master_stats": Row("tcp", {"master_stats": True}),
    "key_pass": Row("tcp", {"key_pass": "a pass phrase"}),
    # over websockets, with a signed key of the master
    "transport: ws": Row("ws", {"transport": "ws"}, minion={"transport": "ws"}),
    "master_sign_pubkey": Row("ws", {"master_sign_pubkey": True}, minion={"verify_master_pubkey_sign": True}),
    "master_sign_key_name": Row(
        "ws",
        {"master_sign_pubkey": True, "master_sign_key_name": "ours"},
        minion={"verify_master_pubkey_sign": True, "master_sign_key_name": "ours"},
    ),
    "always_verify_signature, by the user": Row(
        "ws", {"master_sign_pubkey": True}, {"always_verify_signature": True}, {"always_verify_signature": True}
    ),
    "sign_pub_messages: False": Row("ws", {"sign_pub_messages": False}),
    "minion_data_cache: False": Row("ws", {"minion_data_cache": False}),
    # over zeromq and IPv6
    "zmq_filtering": Row("zeromq", {"zmq_filtering": True}, minion={"zmq_filtering": True}),
    "publish_signing_algorithm": Row(
        "zeromq",
        {"publish_signing_algorithm": "PKCS1v15-SHA224"},
        minion={"signing_algorithm": "PKCS1v15-SHA224", "encryption_algorithm": "OAEP-SHA224"},
    ),
    "fips_mode": Row(
        "zeromq",
        {"fips_mode": True, "publish_signing_algorithm": "PKCS1v15-SHA224"},
        minion={"fips_mode": True, "signing_algorithm": "PKCS1v15-SHA224", "encryption_algorithm": "OAEP-SHA224"},
    ),
    "ssl, which zeromq ignores": Row("zeromq", {"ssl": True}),
    "job_cache: False": Row("zeromq", {"job_cache": False}),
    "key_cache and loop_interval": Row("zeromq", {"key_cache": "sched", "loop_interval": 600}),
    "hash_type": Row("zeromq", {"hash_type": "sha512"}),
    "open_mode": Row("zeromq", {"open_mode": True}),
    "auto_accept": Row("zeromq", {"auto_accept": True}),
    "presence_events": Row("zeromq", {"presence_events": True}),
    "a list of masters": Row("places", user={"master": ["127.0.0.1"]}, minion={"master": ["127.0.0.1"]}),
    "interface: an IPv6 address": Row(
        "zeromq", {"interface": "::1", "ipv6": True}, minion={"ipv6": True, "master": "::1"}
    ),
    # Salt's own places and processes
    "ipc_mode: tcp": Row("places", {"ipc_mode": "tcp"}),
    "pki_dir": Row("places", {"pki_dir": "srv/keys"}),
    "cachedir": Row("places", {"cachedir": "srv/cache"}),
    "worker_threads": Row("places", {"worker_threads": 3}),
    "pillar_cache": Row("places", {"pillar_cache": True}),
    "ping_on_rotate": Row("places", {"ping_on_rotate": True, "rotate_aes_key": False}),
    "enforce_mine_cache": Row("places", {"enforce_mine_cache": True}),
    "start events of new Salt only": Row("places", user={"enable_legacy_startup_events": False}),
    "multiprocessing: False": Row("places", user={"multiprocessing": False}),
    "startup_states": Row("places", user={"startup_states": "highstate"}),
}  # fmt: skip

#: settings of a master, of the role, and in ``minion_config``, and the sentence of the plan
Refusal = tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], str]

REFUSED: dict[str, Refusal] = {
    "ssl over tcp": ("tcp", {"transport": "tcp", "ssl": True}, {}, {}, "roles:app:minion_config:ssl: is required"),
    "ssl with worker pools": (
        "tcp",
        {"transport": "tcp", "ssl": True, "worker_pools_enabled": True},
        {},
        {},
        "master config:worker_pools_enabled: must be False on a master with ssl",
    ),
    "minion_sign_messages": ("tcp", {}, {}, {"minion_sign_messages": True}, "sign_messages: cannot be verified"),
    "sign_pub_messages": (
        "tcp", {"sign_pub_messages": False}, {}, {"sign_pub_messages": True}, "needs sign_pub_messages: True in the",
    ),
    "keys.cache_driver": (
        "tcp", {"keys.cache_driver": "mmap_key"}, {}, {}, "master config:keys.cache_driver: is mmap_key",
    ),
    "signed keys without the key": (
        "tcp", {"master_sign_pubkey": True}, {}, {"master": ["a", "b"]}, "master_sign.pub, with which minions verify",
    ),
    "minimum_auth_version": (
        "tcp", {"minimum_auth_version": 3}, {"salt_version": "3006.9"}, {}, "app:salt_version: is too old for this",
    ),
    "pki_dir": ("tcp", {}, {}, {"pki_dir": "/srv/pki"}, "minion_config:pki_dir: must not be set"),
    "root_dir": ("tcp", {}, {}, {"root_dir": "/srv"}, "minion_config:root_dir: must not be set"),
    "conf_file": ("tcp", {}, {}, {"conf_file": "/srv/minion"}, "minion_config:conf_file: must not be set"),
    "append_domain": ("tcp", {}, {}, {"append_domain": "example.com"}, "append_domain: must not be set"),
    "append_minionid_config_dirs": (
        "tcp", {}, {}, {"append_minionid_config_dirs": ["pki_dir"]}, "must not contain pki_dir",
    ),
    "master_type: disable": ("tcp", {}, {}, {"master_type": "disable"}, "master_type: must be one of"),
    "file_client: local": ("tcp", {}, {}, {"file_client": "local"}, "file_client: must be remote"),
    "open_mode": ("tcp", {}, {}, {"open_mode": True}, "open_mode: must not be true"),
    "the minion's keys.cache_driver": (
        "tcp", {}, {}, {"keys.cache_driver": "mmap_key"}, "minion_config:keys.cache_driver: must be localfs_key",
    ),
    "whitelist_modules": ("tcp", {}, {}, {"whitelist_modules": ["test"]}, "whitelist_modules: must contain config"),
    "disable_modules": ("tcp", {}, {}, {"disable_modules": ["config"]}, "disable_modules: must not contain config"),
    "random_startup_delay": ("tcp", {}, {}, {"random_startup_delay": 3600}, "must be less than ready_timeout"),
    "cachedir of a local node": ("tcp", {}, {}, {"cachedir": "/srv/cache"}, "cachedir: is set by the provider"),
    "user of a local node": ("tcp", {}, {}, {"user": "nobody"}, "user: is set by the provider"),
    "ssl over ws": ("ws", {"transport": "ws", "ssl": {"ciphers": "x"}}, {}, {}, "minion_config:ssl: is required"),
    "require_minion_sign_messages": (
        "ws", {"require_minion_sign_messages": True}, {}, {}, "messages: needs the setting signing_algorithm",
    ),
    "master_sign_key_name": (
        "ws", {"master_sign_pubkey": True, "master_sign_key_name": "a/b"}, {}, {}, "must be a plain file name",
    ),
    "id": ("id", {}, {}, {"id": "web"}, "must not set id"),
}  # fmt: skip


BY_GROUP = [name for _, name in sorted((row.group, name) for name, row in READY.items())]


@dataclass
class Made:
    """A node of a master with the settings of one or more rows."""

    master: SaltMaster
    done: Ran
    minion: Mapping[str, Any]


class Masters:
    """The masters of the rows: one for each group, or with ``--all`` one for each row; each is started when needed."""

    def __init__(self, factories: FactoriesManager) -> None:
        self._factories = factories
        self._stack = contextlib.ExitStack()
        self._made: dict[str, Made] = {}

    def of(self, name: str) -> Made:
        rows = {name: READY[name]} if scope.whole else _group(READY[name].group)
        key = name if scope.whole else READY[name].group
        if key not in self._made:
            self.close()  # one at a time
            self._made[key] = self._make(list(rows.values()))
        return self._made[key]

    def _make(self, rows: list[Row]) -> Made:
        def prepare(master: SaltMaster) -> None:
            for row in rows:
                for name, text in row.files().items():
                    (master.root / name).parent.mkdir(parents=True, exist_ok=True)
                    (master.root / name).write_text(text)
            master.config |= {key: _placed(value, master.root) for row in rows for key, value in row.master.items()}

        master = self._stack.enter_context(running_master(self._factories, prepare))
        user = {key: _placed(value, master.root) for row in rows for key, value in row.user.items()}
        master.hart["minion_config"] = user
        master.write()
        done = master.run("hart.create", "a", "role=app")
        config = sorted(master.root.glob("**/a/etc/salt/minion.d/*hart.conf"))
        return Made(master, done, yaml.safe_load(config[0].read_text()) if config else {})

    def close(self) -> None:
        self._stack.close()
        self._made.clear()


def _group(name: str) -> dict[str, Row]:
    return {key: row for key, row in READY.items() if row.group == name}


def _placed(value: Any, root: Path) -> Any:
    """Return a setting with the paths in it below the master's directory."""
    if isinstance(value, Mapping):
        return {key: _placed(item, root) for key, item in value.items()}
    return str(root / value) if isinstance(value, str) and value.startswith("srv/") else value


@pytest.fixture(scope="module")
def masters(factories: FactoriesManager) -> Iterator[Masters]:
    made = Masters(factories)
    yield made
    made.close()


@pytest.mark.parametrize("name", BY_GROUP)
def test_a_node_becomes_ready(masters: Masters, name: str) -> None:
    made = masters.of(name)
    assert made.done.code == 0, made.done.stdout + made.done.stderr
    assert made.done.data["a"]["result"] is True
    wanted = READY[name].minion
    assert {key: made.minion.get(key) for key in wanted} == dict(wanted)


@pytest.fixture(scope="module")
def errors() -> Iterator[Callable[[str], str]]:
    """Return the error of a row's plan; by default, the rows of one group share a plan, which reports all faults."""
    with idle_machine() as machine:
        plain, known = dict(machine.config), dict[str, str]()

        def error(name: str) -> str:
            group = name if scope.whole else REFUSED[name][0]
            if group not in known:
                rows = [row for key, row in REFUSED.items() if group in (key, row[0])]
                settings, role, user = (_merged(row[part] for row in rows) for part in (1, 2, 3))
                machine.config = {**plain, **settings, "hart": {"roles": {"app": {"minion_config": user, **role}}}}
                machine.write()
                done = machine.run("hart.create", "a", "role=app", "test=True")
                assert done.code != 0
                known[group] = done.data["error"]
            return known[group]

        yield error


def _merged(parts: Iterable[Any]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_plan_that_cannot_work_names_the_setting(errors: Callable[[str], str], name: str) -> None:
    assert REFUSED[name][-1] in errors(name)


def test_the_table_has_at_least_40_rows() -> None:
    assert len(READY) + len(REFUSED) >= 40
