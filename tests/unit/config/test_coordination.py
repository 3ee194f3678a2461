"""The setting ``coordination``: the addresses of servers, and what is wrong with others."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from pydantic_core import PydanticCustomError

from hart_salt.base.errors import ConfigError
from hart_salt.base.redaction import Secrets
from hart_salt.config.coordination import FILE, as_coordination, server
from hart_salt.config.loader import Source, load
from hart_salt.coordination.contract import LONGEST, plain
from hart_salt.drivers import schemas
from hart_salt.inventory.session import Times, times_of


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://db.example.com", "redis at db.example.com:6379"),
        ("redis://:pa%40ss%2Fword@db:7000/3", "redis at db:7000, database 3"),
        ("rediss://[2001:db8::1]/0", "redis at [2001:db8::1]:6379, database 0"),
        ("etcd3+http://db.example.com", "etcd at db.example.com:2379"),
        ("etcd3+https://db:99/salt", "etcd at db:99, database salt"),
        ("mysql://hart:password@db/salt", "mysql at db:3306, database salt"),
    ],
)
def test_a_server_is_named_without_its_password(url: str, words: str) -> None:
    found = server(as_coordination(url))
    assert found.words == words
    assert "pass" not in repr(found)


def test_the_parts_of_an_address() -> None:
    found = server("mysql://ha%24rt:pa%40ss%2Fword@db/salt?ssl_ca=/etc/ca.pem&lease=30")
    assert (found.user, found.password, found.options) == ("ha$rt", "pa@ss/word", {"ssl_ca": "/etc/ca.pem"})
    assert (found.lease, server("redis://db").lease) == (30.0, 60.0)
    assert (server("rediss://db").encrypted, server("redis://db").encrypted) == (True, False)
    assert server("redis://:x@db/1?lease=30").url == "redis://:x@db/1"


@pytest.mark.parametrize("value", ["file", "FILE", " file "])
def test_file_is_a_word(value: str) -> None:
    assert as_coordination(value) == FILE


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("flock", "must be file, or an address that starts with one of redis://"),
        ("memcached://:hunter22@db", "must be file, or an address that starts with one of redis://"),
        ("redis://", "must name the host"),
        ("redis://:hunter22@", "must name the host"),
        ("redis://:hunter22/x@db:1/0", "write special characters of the password as in URLs"),
        ("redis://db/salt", "must end in the number of a database of redis"),
        ("redis://db/100000", "from /0 to /99999"),
        ("etcd3+http://hart:hunter22@db", "etcd3gw cannot log in"),
        ("etcd3+http://db/a/b", "must have a path of letters"),
        ("mysql://db/salt", "must name a user and a database"),
        ("mysql://hart:hunter22@db", "must name a user and a database"),
        ("redis://db/0?password=hunter22", "has password after '?'"),
        ("redis://db/0?ssl_ca_certs=/ca.pem", "has ssl_ca_certs after '?', which needs an address with rediss://"),
        ("etcd3+http://db?ca_cert=/ca.pem", "has ca_cert after '?', which needs an address with etcd3+https://"),
        ("redis://db/0?lease=5", "must have a whole number of seconds as lease, at least 6"),
        ("redis://db/0?lease=x", "must have a whole number of seconds as lease, at least 6"),
        (5, "must be file"),
        (True, "must be text"),
        ("", "must not be empty"),
    ],
)
def test_what_is_wrong_is_said_without_the_value(value: Any, problem: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        as_coordination(value)
    assert problem in str(caught.value)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://:hunt%40er22@db/0", "redis://:/hunt%40er22@db:1/0", "mysql://a:hunt%40er22@b/c"]
)
def test_its_password_is_a_secret_however_it_is_written(url: str) -> None:
    secrets = Secrets()
    try:
        load([Source("pillar", {"coordination": url})], schemas(), lambda _: None, secrets)
    except ConfigError as error:
        assert "er22" not in str(error)
    password = url.partition(":")[2].partition(":")[2].partition("@")[0]
    assert "er22" not in secrets.redact(f"{url} {password} {unquote(password)}")


def test_the_setting_has_a_default_and_belongs_under_hart() -> None:
    cluster = load([Source("pillar", {})], schemas(), lambda _: None).cluster
    assert (cluster.coordination, cluster.single_master) == (FILE, False)
    with pytest.raises(ConfigError, match="hart:roles:app:coordination: cannot be set here"):
        load([Source("pillar", {"roles": {"app": {"coordination": "file"}}})], schemas(), lambda _: None)


def test_the_times_of_a_lease_keep_their_proportions() -> None:
    assert times_of(60.0) == Times()
    short = times_of(6.0)
    assert (short.lease, short.interval, short.margin, short.taking) == (6.0, 2.0, 1.0, 3.0)
    long = times_of(600.0)
    assert (long.interval, long.margin, long.retry, long.taking) == (200.0, 100.0, 2.0, 30.0)


def test_no_name_of_a_lease_is_longer_than_mysql_allows() -> None:
    prefix = "x" * 30 + "/"
    names = ("hart/session/" + "a" * 26, "hart/node/" + "n" * 200, "hart/role/App", "hart/check/" + "c" * 40)
    found = {plain(name, prefix) for name in names} | {plain(name, "y" + prefix[1:]) for name in names}
    assert len(found) == 2 * len(names)
    assert max(map(len, found)) <= LONGEST
