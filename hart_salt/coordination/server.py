"""The engine for a coordination server."""

from __future__ import annotations

from collections.abc import Collection

from hart_salt.base.errors import Refused
from hart_salt.config.coordination import Server
from hart_salt.coordination.contract import Engine, Lease

INSTALL = "install hart-salt[cluster] into Salt's Python"


def engine(server: Server) -> Engine:
    """
    Return the engine; nothing is sent to the server yet.

    Raises ``Refused`` if the Python module that it needs is not installed.
    """
    try:
        return _MAKERS[server.kind](server)
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        raise Refused(f"hart: coordination: {server.kind} needs the Python module {module}: {INSTALL}") from None


def _redis(server: Server) -> Engine:
    from hart_salt.coordination.on_redis import RedisEngine

    return RedisEngine(server.url, server.words)


def _etcd(server: Server) -> Engine:
    from hart_salt.coordination.on_etcd import EtcdEngine

    protocol = "https" if server.encrypted else "http"
    prefix = f"{server.database}/" if server.database else ""
    return EtcdEngine(server.words, prefix, host=server.host, port=server.port, protocol=protocol, **server.options)


def _mysql(server: Server) -> Engine:
    from hart_salt.coordination.on_mysql import MysqlEngine

    ssl = {name.removeprefix("ssl_"): value for name, value in server.options.items()}
    return MysqlEngine(
        server.words, f"{server.database}/", host=server.host, port=server.port, user=server.user,
        password=server.password, database=server.database, ssl=ssl or None,
    )  # fmt: skip


_MAKERS = {"redis": _redis, "etcd": _etcd, "mysql": _mysql}


class LazyEngine:
    """An engine that is made when it is first needed: a call that needs no lease works without the Python module."""

    def __init__(self, server: Server) -> None:
        self.words = server.words
        self._server = server
        self._made: Engine | None = None

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> Lease | None:
        """Take a lease; see the contract."""
        return self._engine().take(name, seconds, brief=brief, holder=holder)

    def free(self, names: Collection[str], holder: str) -> None:
        """Free the leases of a dead call; see the contract."""
        self._engine().free(names, holder)

    def living(self, names: Collection[str]) -> frozenset[str]:
        """Return the names that are held."""
        return self._engine().living(names) if names else frozenset()

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._made is not None:
            self._made.close()

    def _engine(self) -> Engine:
        if self._made is None:
            self._made = engine(self._server)
        return self._made
