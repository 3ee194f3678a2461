"""
Everything in a bank of Salt's cache, read at once; and a key of its files, written at once.

``salt.cache`` reads one key at a time, which takes 10,000 requests for 10,000 records. Here each driver that can answer
with the whole bank does so, through the connection that Salt's own module has; every other one is read key by key.

A value of None means that the key must be fetched by itself, which also reports what is wrong with it.

``salt.cache`` spends most of the time of a write on its loader and on checks of the path. A node's record is written
eight times, so with a thousand nodes this counts.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import salt.utils.msgpack

#: loggers of the libraries that the drivers use
LIBRARIES = ("etcd.client", "urllib3.connectionpool")
#: bytes that are read of one file at once; a record has about 1500
LARGEST = 1 << 18


def read(cache: Any, bank: str) -> dict[str, Any]:
    """
    Return the data of every key of a bank. ``cache`` is a ``salt.cache.Cache``.

    Raises what the driver raises if it cannot be reached.
    """
    if cache.driver == "localfs":
        return _files(Path(cache.cachedir) / bank)
    reader = _READERS.get(cache.driver)
    found = _inside(cache, reader, bank) if reader else None
    return dict.fromkeys(cache.list(bank)) if found is None else found


def write_file(cache: Any, bank: str, key: str, data: Any) -> None:
    """
    Write a key of a cache with the driver ``localfs``, in the way and the format of that driver: atomically.

    Raises ``OSError`` if it cannot be written; the old data stays then.
    """
    directory = os.path.join(cache.cachedir, bank)  # noqa: PTH118 - called for each stage of each node
    try:
        descriptor, new = tempfile.mkstemp(dir=directory)
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - Salt's default mode
        descriptor, new = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(salt.utils.msgpack.packb(data, use_bin_type=True))
        os.rename(new, f"{directory}/{key}.p")  # noqa: PTH104
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)  # noqa: PTH108
        raise


@contextlib.contextmanager
def silenced(cache: Any) -> Iterator[None]:
    """
    Drop what the module of the cache's driver logs in this thread: the caller reports every error, once and in words.
    """
    try:
        module = _module(cache)
    except KeyError:  # no such driver here
        yield
        return
    loggers = [module.log, *map(logging.getLogger, LIBRARIES)]
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        return record.thread != thread

    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)


def bound_redis(cache: Any, seconds: float) -> None:
    """
    Bound the time of one request to redis. It is not repeated by the library, which would multiply the time.

    Without this, the time depends on the release of redis-py, and some releases wait forever.
    """
    _inside(cache, _bound_redis, seconds)


def redis_risks(cache: Any) -> list[str]:
    """Return why a redis server can lose records, a phrase each; empty also if it does not say how it is configured."""
    try:
        facts: dict[str, Any] = _inside(cache, lambda module, _: module._get_redis_server().info(), None)
    except Exception:  # without the permission, or in a cluster
        return []
    risks = []
    if not facts.get("aof_enabled", 1):
        risks.append("a restart loses the latest records, because its setting appendonly is not yes")
    if facts.get("maxmemory") and facts.get("maxmemory_policy") != "noeviction":
        risks.append("it removes records when it is full, because its setting maxmemory-policy is not noeviction")
    return risks


def _inside(cache: Any, function: Callable[[Any, Any], Any], argument: Any) -> Any:
    """Call a function with the module of the cache's driver, in the context where it finds its options and state."""
    return cache.modules.run(function, _module(cache), argument)


def _module(cache: Any) -> Any:
    """Return the module of the cache's driver. Raises ``KeyError`` if it cannot be loaded."""
    return sys.modules[cache.modules[f"{cache.driver}.fetch"].__module__]


def _files(directory: Path) -> dict[str, Any]:
    """Return what the files of a directory hold; their names end in ``.p``."""
    found: dict[str, Any] = {}
    try:
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return found
    try:
        for name in os.listdir(opened):  # noqa: PTH208 - of an open directory
            if name.endswith(".p"):
                found[name[:-2]] = _value(_content(opened, name))
    finally:
        os.close(opened)
    return found


def _content(directory: int, name: str) -> bytes:
    """Return the content of a file; empty if it cannot be read, or is no file."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return b""
    try:
        content = os.read(opened, LARGEST)
        return content if len(content) < LARGEST else b""
    except OSError:
        return b""
    finally:
        os.close(opened)


def _bound_redis(module: Any, seconds: float) -> None:
    server = module._get_redis_server()  # Salt's module offers no other access to its connection
    pool = getattr(server, "connection_pool", None)
    if pool is not None:  # there is none with cache.redis.cluster_mode
        pool.connection_kwargs.update(socket_timeout=seconds, socket_connect_timeout=seconds)
        server.set_retry(module.redis.retry.Retry(module.redis.backoff.NoBackoff(), 0))


def _redis(module: Any, bank: str) -> dict[str, Any] | None:
    """Return a bank, which is one hash since Salt 3008; None with the keys of older releases."""
    normalize = getattr(module, "_normalize_bank", None)
    if normalize is None:
        return None
    server = module._get_redis_server()
    return _values((_text(key), value) for key, value in server.hgetall(normalize(bank)[0]).items())


def _mysql(module: Any, bank: str) -> dict[str, Any]:
    module._init_client()
    table, client = module.__context__["mysql_table_name"], module.__context__.get("mysql_client")
    query = f"SELECT etcd_key, data FROM {table} WHERE bank=%s"  # noqa: S608 - Salt's own table, as in its module
    cursor, _ = module.run_query(client, query, args=(bank,))
    try:
        return _values((_text(key), value) for key, value in cursor.fetchall())
    finally:
        cursor.close()


def _etcd(module: Any, bank: str) -> dict[str, Any]:
    """Return a bank, which is a directory: one read of it returns its keys with their values."""
    module._init_client()
    try:
        directory = module.client.read(f"{module.path_prefix}/{bank}")
    except module.etcd.EtcdKeyNotFound:
        return {}
    suffix = module._tstamp_suffix
    entries = (one for one in directory.children if one.key != directory.key and not one.dir)
    named = ((one.key.rsplit("/", 1)[-1], one.value) for one in entries)
    return _values((name, _decoded(value)) for name, value in named if not name.endswith(suffix))


_READERS: dict[str, Callable[[Any, str], dict[str, Any] | None]] = {"redis": _redis, "mysql": _mysql, "etcd": _etcd}


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value)
    except (TypeError, ValueError):
        return b""


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _values(rows: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    return {key: _value(content) for key, content in rows}


def _value(content: bytes) -> Any:
    """Return what was stored; None if it is not what Salt stores."""
    try:
        return salt.utils.msgpack.unpackb(content, raw=False)
    except Exception:
        return None
