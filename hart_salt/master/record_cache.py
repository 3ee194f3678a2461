"""
Salt's cache with the master's configured driver, which stores the records.

It adds what the drivers on a server lack: bounds for the time of a request, one request for all keys, and for ``mysql``
keys that differ only in case.
"""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import salt.cache

from hart_salt.base.errors import Refused
from hart_salt.master import banks
from hart_salt.master.store_outage import LIMIT, StoreOutage

T = TypeVar("T")
Names = list[str]  #: because a method is called list

#: a key that does not exist, for a request that only shows whether the store answers
PROBE = ("hart/roles", "probe")
#: options of the drivers that bound the time of a request, where the master config does not have them
BOUNDS: Mapping[str, Mapping[str, Any]] = {
    "mysql": {"mysql.connect_timeout": 10, "mysql.read_timeout": int(LIMIT), "mysql.write_timeout": int(LIMIT)},
    # python-etcd tries each request four times.
    "etcd": {"etcd.read_timeout": int(LIMIT / 4)},
}
#: by driver: the host, the port, the option with the database, and the database that Salt uses by default
SERVERS: Mapping[str, tuple[str, int, str, str]] = {
    "redis": ("localhost", 6379, "db", "0"),
    "mysql": ("127.0.0.1", 3306, "database", "salt_cache"),
    "etcd": ("127.0.0.1", 2379, "", ""),
}
#: what PyMySQL warns of whenever Salt's driver connects; an operator can change neither
DEPRECATED = r"'(db|passwd)' is deprecated"
#: the length of a key in the table that Salt makes for ``mysql``
LONGEST = 255


class RecordCache:
    """The cache with the options of a master; it loads its driver when it is first used."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        driver = str(opts.get("cache") or "localfs")
        self._cache = salt.cache.Cache({**BOUNDS.get(driver, {}), **opts})
        self._folds = driver == "mysql"
        if self._folds:
            warnings.filterwarnings("ignore", DEPRECATED, DeprecationWarning, r"salt\..*\bmysql_cache$")
        #: the banks whose keys are all of the present form
        self._renamed: set[str] = set()
        self._outage = None if driver == "localfs" else StoreOutage(lambda: self._cache.fetch(*PROBE))

    def store(self, bank: str, key: str, data: Any) -> None:
        """Write a key."""
        if self._cache.driver == "localfs":
            banks.write_file(self._cache, bank, key, data)
            return
        name = self._name(bank, key)
        self._call(lambda: self._cache.store(bank, name, data))

    def fetch(self, bank: str, key: str) -> Any:
        """Return the data of a key; an empty dict if there is none."""
        name = self._name(bank, key)
        return self._call(lambda: self._cache.fetch(bank, name))

    def flush(self, bank: str, key: str) -> None:
        """Remove a key; one that is gone is a success."""
        name = self._name(bank, key)
        self._call(lambda: self._cache.flush(bank, name))

    def contains(self, bank: str, key: str) -> bool:
        """Return whether a key exists; it does not if this is False."""
        name = self._name(bank, key)
        return bool(self._call(lambda: self._cache.contains(bank, name)))

    def list(self, bank: str) -> Names:
        """Return the keys of a bank."""
        self._rename_old(bank)
        return [self._key(name) for name in self._call(lambda: list(self._cache.list(bank)))]

    def fetch_all(self, bank: str) -> dict[str, Any]:
        """Return the data of every key of a bank; None means that the key must be fetched by itself."""
        self._rename_old(bank)
        found = self._call(lambda: banks.read(self._cache, bank))
        return {self._key(name): data for name, data in found.items()} if self._folds else found

    def risks(self) -> Names:
        """Return why the store can lose records, a phrase each."""
        return self._call(lambda: banks.redis_risks(self._cache)) if self._cache.driver == "redis" else []

    def _call(self, work: Callable[[], T]) -> T:
        if self._outage is None:
            return work()
        self._bounded  # noqa: B018 - once
        with banks.silenced(self._cache):
            return self._outage.call(work)

    @functools.cached_property
    def _bounded(self) -> bool:
        """Bound the time of a request to redis, for which Salt's driver has no option."""
        if self._cache.driver == "redis":
            with contextlib.suppress(KeyError):  # no such driver here, which the request reports
                banks.bound_redis(self._cache, LIMIT)
        return True

    # keys in a table that does not distinguish upper and lower case

    def _name(self, bank: str, key: str) -> str:
        """
        Return the name of a key in the store.

        Salt's table for ``mysql`` takes ``App`` and ``app`` for one key. There, a capital letter is stored as ``^`` and
        the small one; no key of hart contains ``^``.

        Raises ``Refused`` if the name is longer than the table allows: some servers would cut it off.
        """
        if not self._folds:
            return key
        name = _folded(key)
        if len(name) > LONGEST:
            raise Refused(
                f"{key}: its key in the mysql record store has {len(name)} characters, with two for each capital "
                f"letter, but {LONGEST} are possible: use a shorter name, or small letters"
            )
        self._rename_old(bank)
        return name

    def _key(self, name: str) -> str:
        return re.sub(r"\^([a-z])", lambda found: found[1].upper(), name) if self._folds else name

    def _rename_old(self, bank: str) -> None:
        """Rename the keys with capital letters that hart 1.0 wrote: they also answer to those in small letters."""
        if not self._folds or bank in self._renamed:
            return
        names = self._call(lambda: list(self._cache.list(bank)))
        for name in names:
            if name != name.lower():
                self._call(functools.partial(self._rename, bank, name))
        self._renamed.add(bank)

    def _rename(self, bank: str, name: str) -> None:
        if data := self._cache.fetch(bank, name):  # otherwise another master has just renamed it
            self._cache.store(bank, _folded(name), data)
            self._cache.flush(bank, name)


def _folded(key: str) -> str:
    return re.sub("[A-Z]", lambda found: f"^{found[0].lower()}", key)


def server_of(driver: str, opts: Mapping[str, Any]) -> str:
    """Return the server of a record store in words, such as ``redis at db.example.com:6379, database 0``."""

    def option(name: str, usual: Any = "") -> Any:
        found = [opts[key] for key in (f"cache.{driver}.{name}", f"{driver}.{name}") if opts.get(key) is not None]
        return found[0] if found else usual

    usual_host, usual_port, setting, usual_database = SERVERS.get(driver, ("", "", "", ""))
    if option("cluster_mode", False):
        return f"{driver} cluster"
    path = option("unix_socket_path") or option("unix_socket")
    host, port = str(option("host", usual_host)), option("port", usual_port)
    address = f"[{host}]" if ":" in host else host
    where = path or (f"{address}:{port}" if host and port else address)
    database = option(setting, usual_database) if setting else ""
    return driver + (f" at {where}" if where else "") + (f", database {database}" if database != "" else "")
