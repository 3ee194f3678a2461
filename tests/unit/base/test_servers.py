"""What to do about a server that hart cannot use, by the kind of its failure."""

from __future__ import annotations

import pytest

from hart_salt.base.servers import failure


def said(why: str, *, tls: bool = False) -> str:
    return failure(why, settings="SETTING", login="LOGIN", database="DATABASE", tls=tls)


@pytest.mark.parametrize(
    "why",
    [
        "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> "
        "option can be used to authenticate the client",
        "Authentication required.",
        "NOAUTH Authentication required.",
    ],
)
def test_a_server_that_asks_for_a_password(why: str) -> None:
    assert said(why) == "it asks for a password: set it in LOGIN"


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        ("invalid username-password pair or user is disabled.", "the password in LOGIN"),
        ("AUTH <password> called without any password configured for the default user", "the password in LOGIN"),
        ("Access denied for user 'hart'@'127.0.0.1' (using password: YES)", "the password in LOGIN"),
        ("this user has no permissions to run the 'get' command", "its rights on the server"),
        ("Access denied for user 'hart'@'%' to database 'salt'", "its rights on the server"),
        ("etcdserver: permission denied", "its rights on the server"),
        ("Unknown database 'nothing'", "name a database that the server has in DATABASE"),
        ("DB index is out of range", "name a database that the server has in DATABASE"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "uses TLS on this port"),
        (
            "Can't connect to MySQL server on 'db' ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)",
            "check the certificates",
        ),
        ("Connections using insecure transport are prohibited", "uses TLS on this port"),
        ("Error 111 connecting to db:6379. Connection refused.", "that this machine reaches it, and SETTING"),
        ("Error -2 connecting to db:6379. Name or service not known.", "that this machine reaches it, and SETTING"),
        ("Timeout connecting to server", "that this machine reaches it, and SETTING"),
        ("Can't connect to MySQL server on '127.0.0.1' ([Errno 111] Connection refused)", "this machine reaches it"),
        ("Connection to etcd failed due to MaxRetryError('...')", "this machine reaches it"),
        ("No more machines in the cluster", "this machine reaches it"),
        ("OOM command not allowed when used memory > 'maxmemory'", "check the server, and SETTING"),
    ],
)
def test_advice_fits_the_kind_of_failure(why: str, advice: str) -> None:
    found = said(why)
    assert found.startswith(why.rstrip("."))
    assert advice in found.partition("; ")[2]
    assert ("this machine reaches it" in found) == ("this machine reaches it" in advice)


def test_a_timeout_with_tls_may_be_a_server_without_it() -> None:
    assert "that it uses TLS on this port" in said("Timeout connecting to server", tls=True)
    assert "TLS" not in said("Timeout connecting to server")
