"""Version 4 of Amazon's signatures, in a header, checked with botocore's own code: who signed a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.drivers.ec2.emulator.answers import CODES, Refusal
from tests.emulation.http import Request

HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]*)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/aws4_request, ?SignedHeaders=(?P<headers>[^,]*), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class _AsSigned(SigV4Auth):  # type: ignore[misc]  # botocore has no type information
    """A signature over the headers that the client signed, of which botocore would leave some out."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        """Return the headers that the request names, and no others."""
        return request.headers

    def canonical_query_string(self, request: AWSRequest) -> str:
        """Return the query in canonical form, because a client can sign it in another form than it sends it."""
        pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
        quoted = ((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
        return "&".join(f"{name}={value}" for name, value in sorted(quoted))


@dataclass(frozen=True)
class Scope:
    """What a request is signed for."""

    key: str
    region: str
    service: str


def scope_of(request: Request) -> Scope | None:
    """Return the scope that a request claims; None without a signature."""
    found = HEADER.fullmatch(request.headers.get("authorization", ""))
    return Scope(found["key"], found["region"], found["service"]) if found else None


def check(request: Request, secrets: Mapping[str, str]) -> Scope:
    """
    Return what the request is signed for.

    ``secrets`` are the account's secrets by access key id.

    Raises ``Refusal`` if the signature is missing or wrong.
    """
    found = HEADER.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise Refusal("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    scope = Scope(found["key"], found["region"], found["service"])
    secret = secrets.get(scope.key)
    if secret is None or _signature(request, scope, secret, found) != found["signature"]:
        raise _unknown(scope.service)
    return scope


def _unknown(service: str) -> Refusal:
    if service == "sts":
        return Refusal("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
    if service == "pricing":
        return Refusal("UnrecognizedClientException", "The security token included in the request is invalid.", 400)
    return Refusal(*CODES[401], 401)


def _signature(request: Request, scope: Scope, secret: str, found: Any) -> str:
    signed = {name: request.headers.get(name, "") for name in found["headers"].split(";")}
    again = AWSRequest(
        method=request.method,
        url=f"{request.base_url}{request.path}{'?' + request.raw_query if request.raw_query else ''}",
        headers=signed,
        data=request.body,
    )
    again.context["timestamp"] = request.headers.get("x-amz-date", "")
    auth = _AsSigned(Credentials(scope.key, secret), scope.service, scope.region)
    text = auth.string_to_sign(again, auth.canonical_request(again))
    return str(auth.signature(text, again))
