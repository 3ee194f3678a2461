"""
A fictitious service account of the emulated Google: its key, and the server that issues tokens for it.

A client signs a token itself with the account's key (https://google.aip.dev/auth/4111), or sends such a
signature to the token server and gets a token without any meaning of its own (RFC 7523).
"""

from __future__ import annotations

import functools
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import google.auth.exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from tests.drivers.gce.emulator.state import PROJECT
from tests.emulation.http import Answer, Request

EMAIL = f"hart@{PROJECT}.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: a token must name one of these scopes
SCOPES = ("https://www.googleapis.com/auth/compute", "https://www.googleapis.com/auth/cloud-platform")
AUDIENCE = "https://compute.googleapis.com/"
LIFETIME = 3600


@functools.cache
def _pair() -> tuple[str, str]:
    """
    Return the key pair, one for all emulators of a process, because making one takes a moment.

    It is short: each client loads it, and the check of 2048 bits takes 40 ms.
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it protects nothing
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    return (
        private.private_bytes(serialization.Encoding.PEM, form, plain).decode(),
        private.public_key().public_bytes(serialization.Encoding.PEM, public).decode(),
    )


@dataclass
class Account:
    """The account, and the tokens that were issued for it."""

    email: str = EMAIL
    #: the tokens of the token server
    given: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """The private key in PEM."""
        return _pair()[0]

    def key_file(self, token_uri: str) -> str:
        """Return the JSON key of a service account in Google's form."""
        facts = {
            "type": "service_account", "project_id": PROJECT, "private_key_id": "0" * 40, "private_key": self.key,
            "client_email": self.email, "client_id": "1" * 21, "token_uri": token_uri,
        }  # fmt: skip
        return json.dumps(facts, indent=2)

    def accepts(self, token: str) -> bool:
        """Return whether a token grants its bearer access to Compute Engine."""
        if token in self.given:
            return True
        claims = self._claims(token)
        scopes = str(claims.get("scope", "")).split()
        return bool(claims) and (claims.get("aud") == AUDIENCE or any(scope in SCOPES for scope in scopes))

    def may_read_permissions(self, token: str) -> bool:
        """Return whether a token grants access to the permissions of the project."""
        return token in self.given or "cloud-platform.read-only" in str(self._claims(token).get("scope", ""))

    def _claims(self, assertion: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(assertion, certs=_pair()[1])
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            return {}
        return claims if claims.get("iss") == self.email else {}

    def give(self, request: Request) -> Answer:
        """Answer as the token server does."""
        form = parse_qs(request.body.decode(errors="replace"))
        assertion = form.get("assertion", [""])[0]
        if form.get("grant_type") != [GRANT] or not self._claims(assertion):
            return Answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self.given.add(token)
        return Answer(200, {"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"})
