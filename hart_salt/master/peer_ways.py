"""
The ways to another master of the same nodes: through the minion on its machine, or through its salt-api.

Both call ``hart.peer_keys`` there. What is wrong is one sentence: ``MasterDown`` if nothing answers, and
``MasterRefuses`` if something answers that cannot do the work.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol

from hart_salt.base.errors import MasterDown, MasterRefuses, PeerError, Refused
from hart_salt.base.text import one_line
from hart_salt.config.cluster import Peer
from hart_salt.master.minions import Minions

FUNCTION = "hart.peer_keys"
LARGEST = 4 * 2**20  #: bytes of an answer of salt-api
#: HTTP codes of a server in front of salt-api, or of salt-api itself, without a salt-master behind it
NOBODY = (502, 503, 504)


class Channel(Protocol):
    """A way to a master."""

    #: seconds for an answer
    timeout: float
    #: what it means if there is none by then, in a sentence
    silence: str

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        """
        Return what the master answered; the caller bounds the time. Raises ``PeerError``.

        ``until`` is the uptime of its machine after which it must not begin the work (default: none), and ``sent`` the
        uptime when the request was sent (default: unknown).
        """
        ...


class ViaMinion:
    """The way through the minion on the peer's machine, which is a minion of this master, too."""

    def __init__(self, minions: Minions, minion_id: str, timeout: float) -> None:
        self._minions = minions
        self._minion_id = minion_id
        self.timeout = timeout
        self.silence = (
            f"its minion {minion_id} does not answer within {timeout:g} seconds: check salt {minion_id} test.ping"
        )

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        minion_id = self._minion_id
        try:
            request = [work, dict(keys), self.timeout, until, sent]
            answer = self._minions.request(minion_id, FUNCTION, request, self.timeout)
        except Refused as error:
            raise MasterRefuses(str(error)) from None
        except Exception as error:
            reason = one_line(str(error)) or type(error).__name__
            raise MasterRefuses(f"this master cannot send jobs: {reason}") from error
        if answer is None:
            raise MasterDown(self.silence)
        if isinstance(answer, str) and "is not available" in answer:
            raise MasterRefuses(
                f"its minion {minion_id} has no function {FUNCTION}: install hart-salt in the Python of that minion, "
                f"and run salt {minion_id} saltutil.sync_modules"
            )
        return answer


class ViaApi:
    """The way through the peer's salt-api, with the runner there."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.timeout = peer.timeout
        self.silence = (
            f"its salt-api does not answer within {peer.timeout:g} seconds: check salt-api and salt-master there"
        )

    def ask(self, work: str, keys: Mapping[str, str], until: float | None = None, sent: float | None = None) -> Any:
        peer = self._peer
        order = {
            "client": "runner", "fun": FUNCTION,
            "kwarg": {"work": work, "keys": dict(keys), "until": until, "sent": sent},
            "username": peer.username, "eauth": peer.eauth,
            "password": peer.password.get_secret_value() if peer.password else "",
        }  # fmt: skip
        request = urllib.request.Request(  # noqa: S310 - the setting allows only http and https
            f"{str(peer.api).rstrip('/')}/run",
            json.dumps([order]).encode(),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            body = _body(request, peer.ca_file, peer.timeout)
        except urllib.error.HTTPError as error:
            raise _refusal(error.code) from None
        except TimeoutError:
            raise MasterDown(self.silence) from None
        except (OSError, ValueError) as error:
            raise self._unreachable(getattr(error, "reason", None) or error) from None
        except http.client.HTTPException as error:
            raise MasterRefuses(
                f"its salt-api answers something that is not HTTP: {type(error).__name__}: check the port in api"
            ) from None
        try:
            (said,) = json.loads(body)["return"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise MasterRefuses(
                "its salt-api answers something that is not an answer of Salt: check the address in api"
            ) from None
        return said

    def _unreachable(self, reason: object) -> PeerError:
        """Return what is wrong if there is no answer of an HTTP server. A failure of TLS comes from a living one."""
        if isinstance(reason, TimeoutError):
            return MasterDown(self.silence)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return MasterRefuses(
                f"the certificate of its salt-api is not trusted ({reason.verify_message}): set ca_file to the "
                "certificate that signed it, and use in api a name that it contains"
            )
        if isinstance(reason, ssl.SSLError):
            return MasterRefuses(
                f"its salt-api does not speak TLS as expected ({one_line(str(reason.reason or reason))}): check the "
                "port in api, and ssl_crt and ssl_key of rest_cherrypy there"
            )
        return MasterDown(f"its salt-api cannot be reached: {one_line(str(reason))}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address must not get the password."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener(is_tls: bool, ca_file: str | None) -> urllib.request.OpenerDirector:
    """Return what opens a request. Raises ``MasterRefuses`` if the certificates in ``ca_file`` cannot be used."""
    if not is_tls:
        return urllib.request.build_opener(_NoRedirect)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise MasterRefuses(
            f"the certificates in {ca_file} cannot be used: {one_line(str(error))}: check ca_file"
        ) from None
    return urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))


def _body(request: urllib.request.Request, ca_file: str | None, seconds: float) -> bytes:
    """Return the body of an answer. A timeout of urllib begins again with each byte, so it bounds no answer."""
    deadline, body = time.monotonic() + seconds, b""
    with _opener(request.type == "https", ca_file).open(request, timeout=seconds) as answer:
        while len(body) <= LARGEST and (part := answer.read1()):
            body += part
            if time.monotonic() > deadline:  # nobody waits for the rest
                raise TimeoutError
    return body


def _refusal(code: int) -> PeerError:
    """Return what an HTTP code means; measured with the salt-api of Salt 3008.4."""
    kind = MasterDown if code in NOBODY else MasterRefuses
    return kind(f"its salt-api answers {code}: {_HINTS.get(code, 'its log says more')}")


_RIGHTS = f"username, password and eauth must be right, and external_auth there must allow this user @runner {FUNCTION}"
_HINTS: Mapping[int, str] = {
    302: "api must be the address of salt-api itself, which redirects nowhere",
    400: "netapi_enable_clients there must have runner, and api must start with https:// if salt-api uses TLS",
    401: _RIGHTS,
    403: _RIGHTS,
    404: "api must be the address of salt-api with rest_cherrypy, without a path",
    500: "hart-salt must be installed in the Python of salt-api there; its log says more",
    **dict.fromkeys(NOBODY, "salt-api and salt-master must run there"),
}
