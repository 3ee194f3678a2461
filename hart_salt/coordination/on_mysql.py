"""
Leases in MySQL or MariaDB: the server's own locks, ``GET_LOCK``, with a time to live.

Such a lock ends with its connection. The server closes a connection that has been idle for ``wait_timeout`` seconds,
which is set to the lease's time: a machine that vanishes without a word loses its leases as it does with redis.
"""

from __future__ import annotations

import math
import select
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pymysql

from hart_salt.base.errors import EnvironmentFault
from hart_salt.coordination.contract import SOCKET_TIMEOUT, Lease, plain, unusable

IDLE = 60  #: the least seconds after which the server closes the connection for queries and brief leases
#: the part of a lease's time for which a renewal waits for an answer: it begins after a third of that time, and the
#: loss must be known before another call can have the lease
WAITED = 0.5


class MysqlEngine:
    """One MySQL or MariaDB server. The locks of a replica or of another member of a cluster are not the same."""

    def __init__(self, words: str, prefix: str, **arguments: Any) -> None:
        """
        Keep the arguments of PyMySQL's connection; nothing is sent yet.

        ``prefix`` begins every name: the server has one set of locks for all of its databases.
        """
        self.words = words
        self._prefix = prefix
        self._arguments = arguments
        self._mutex = threading.Lock()
        self._looking: Any = None
        self._idle = IDLE

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> Lease | None:
        """Take a lease, on a connection of its own unless it is brief; see the contract."""
        if brief:
            self._keep_for(math.ceil(seconds))
            taken = self.look("SELECT GET_LOCK(%s, 0)", [self.name(name)])[0] == 1
            return BriefMysqlLease(self, name) if taken else None
        connection = None
        try:
            connection = self._connect(math.ceil(seconds))
            if _value(connection, "SELECT GET_LOCK(%s, 0)", self.name(name)) == 1:
                _wait_for(connection, seconds * WAITED)
                return MysqlLease(self, name, connection)
        except (pymysql.MySQLError, OSError) as error:
            _close(connection)
            raise unusable(self.words, _plain_error(error)) from error
        _close(connection)
        return None

    def free(self, names: Collection[str], holder: str) -> None:
        """Do nothing: the kernel closed the connections of the dead process, and the server has freed its locks."""

    def living(self, names: Collection[str]) -> frozenset[str]:
        """Return the names that are held; all are looked up in one query."""
        if not names:
            return frozenset()
        wanted = list(names)
        query = f"SELECT {', '.join(['IS_USED_LOCK(%s)'] * len(wanted))}"
        row = self.look(query, [self.name(name) for name in wanted])
        return frozenset(name for name, holder in zip(wanted, row, strict=True) if holder is not None)

    def close(self) -> None:
        """Close the connection for queries; each lease has another one."""
        with self._mutex:
            _close(self._looking)
            self._looking = None

    def name(self, name: str) -> str:
        """Return the name of a lock in the server."""
        return plain(name, self._prefix)

    def _keep_for(self, idle: int) -> None:
        """Let the connection for queries live for ``idle`` seconds without use, so that its leases do, too."""
        if idle > self._idle:
            self._idle = idle
            self.look("SET SESSION wait_timeout=%s", [idle])

    def _connect(self, idle: int) -> Any:
        """Return a new connection, which the server closes after ``idle`` seconds without use."""
        return pymysql.connect(
            **self._arguments,
            connect_timeout=SOCKET_TIMEOUT,
            read_timeout=SOCKET_TIMEOUT,
            write_timeout=SOCKET_TIMEOUT,
            init_command=f"SET SESSION wait_timeout={idle}",
            autocommit=True,
        )

    def look(self, query: str, values: Collection[str | int]) -> Any:
        """
        Return the row of a query. A connection that has ended is opened again, once.

        The brief leases of the old connection are gone then, which their ``renew`` and ``release`` report: the new
        connection does not have them.
        """
        with self._mutex:
            for attempt in range(2):
                try:
                    if self._looking is None:
                        self._looking = self._connect(self._idle)
                    return _row(self._looking, query, values)
                except (pymysql.MySQLError, OSError) as error:
                    _close(self._looking)
                    known, self._looking = self._looking is not None, None
                    if attempt or not known:
                        raise unusable(self.words, _plain_error(error)) from error
        raise AssertionError  # the second attempt has returned or raised


class MysqlLease:
    """A lease that was taken: a connection with its lock."""

    def __init__(self, engine: MysqlEngine, name: str, connection: Any) -> None:
        self.name = name
        self._engine = engine
        self._connection = connection
        self._mutex = threading.Lock()

    def renew(self) -> bool:
        """
        Begin its time again, which any query does; return False if the connection, and so the lock, is lost.
        """
        query = "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()"
        with self._mutex:
            try:
                return bool(_value(self._connection, query, self._engine.name(self.name)) == 1)
            except (pymysql.MySQLError, OSError):
                _close(self._connection)
                return False

    def has_ended(self) -> bool:
        """Return whether the server has closed the connection, such as in a restart; then its lock is free at once."""
        if not self._mutex.acquire(blocking=False):  # a renewal waits for the server
            return False
        try:
            return _is_closed(self._connection)
        finally:
            self._mutex.release()

    def release(self) -> bool:
        """
        Give it back: at once if the server answers, otherwise when it notices that the connection has ended.

        It does not wait for a renewal that waits for the server.
        """
        held = False
        waited = self._mutex.acquire(timeout=SOCKET_TIMEOUT)
        with suppress(pymysql.MySQLError, OSError):
            if waited:
                _wait_for(self._connection, SOCKET_TIMEOUT)
                held = _value(self._connection, "SELECT RELEASE_LOCK(%s)", self._engine.name(self.name)) == 1
        _close(self._connection)
        if waited:
            self._mutex.release()
        return held


class BriefMysqlLease:
    """A lease on the connection for queries; it is lost with that connection."""

    def __init__(self, engine: MysqlEngine, name: str) -> None:
        self.name = name
        self._engine = engine

    def renew(self) -> bool:
        """Return whether the connection still has it."""
        query = "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()"
        return bool(self._engine.look(query, [self._engine.name(self.name)])[0] == 1)

    def has_ended(self) -> bool:
        """Return False: ``renew`` and ``release`` notice another connection."""
        return False

    def release(self) -> bool:
        """Give it back; return whether the connection still had it."""
        return bool(self._engine.look("SELECT RELEASE_LOCK(%s)", [self._engine.name(self.name)])[0] == 1)


def _wait_for(connection: Any, seconds: float) -> None:
    """Let a connection wait so long for the next answers. After a timeout it is of no use, and its lock is gone."""
    connection._read_timeout = seconds  # PyMySQL takes it from its caller only when it connects


def _is_closed(connection: Any) -> bool:
    """Return whether an idle connection has been closed: only then is there something to read from it."""
    sock = connection._sock  # PyMySQL offers no other access
    if sock is None:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _row(connection: Any, query: str, values: Collection[str | int]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, tuple(values))
        return cursor.fetchone()


def _value(connection: Any, query: str, value: str) -> Any:
    row = _row(connection, query, [value])
    return None if row is None else row[0]


def _close(connection: Any) -> None:
    if connection is not None:
        with suppress(pymysql.MySQLError, OSError):
            connection.close()


def _plain_error(error: pymysql.MySQLError | OSError) -> Exception:
    """Return the error as its text; one of PyMySQL begins with a number, and a file of an option raises ``OSError``."""
    if isinstance(error, OSError) or not error.args:
        return error
    return EnvironmentFault(str(error.args[-1]))
