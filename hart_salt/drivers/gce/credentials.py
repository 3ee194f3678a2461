"""
Who asks Compute Engine: a service account's key, a key file, or the master's application default credentials.

Facts are from google-auth's own source, version 2.62.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import google.auth
import google.auth.compute_engine
import google.auth.credentials
import google.auth.exceptions
from google.oauth2 import service_account

from hart_salt.base.endpoints import objection
from hart_salt.base.errors import AuthError
from hart_salt.drivers.outage import within

#: all that hart needs; Google's own tools ask for this or for more
SCOPES = ("https://www.googleapis.com/auth/compute",)
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
FIND_WITHIN = 3.0  #: seconds to find application default credentials
NONE = (
    "Compute Engine: there are no credentials that can be used: set user_id and key, or key_file, in the provider's "
    "settings, or give this master application default credentials"
)


def make(account: Any) -> Any:
    """
    Return google-auth's credentials for an account.

    No call is made yet but for application default credentials, which a machine at Google asks its metadata
    server for. Raises ``AuthError`` with a sentence that says which setting to fix, and never holds a key.
    """
    if account.key is not None:
        own = _of_key(account.user_id, account.key.get_secret_value())
    elif account.key_file is not None:
        own = _of_file(account.key_file)
    else:
        own = _of_this_machine()
    return OnlyHere(own) if account.endpoint else own


def token_server(credentials: Any) -> str | None:
    """The address that a token would be asked for at this moment; None: none is needed, or they sign it themselves."""
    own = credentials.own if isinstance(credentials, OnlyHere) else credentials
    if credentials.valid or getattr(own, "_always_use_jwt_access", False):
        return None
    if isinstance(own, google.auth.compute_engine.Credentials):
        return f"http://{os.environ.get('GCE_METADATA_HOST') or 'metadata.google.internal'}"
    return _token_address(own)


def _token_address(own: Any) -> str | None:
    """Of the kinds of credentials that there are, one has it in public."""
    found = (getattr(own, name, None) for name in ("token_uri", "_token_uri", "_token_url"))
    return next((str(address) for address in found if address), None)


def name_of(credentials: Any) -> str:
    """Whose they are, for people."""
    own = credentials.own if isinstance(credentials, OnlyHere) else credentials
    email = getattr(own, "service_account_email", None)
    return str(email) if email and "@" in email else "application default credentials"


class OnlyHere(google.auth.credentials.Credentials):  # type: ignore[misc]  # without type information
    """
    Credentials whose tokens go to the endpoint of the settings and to no other server.

    By themselves, those of google-auth also send a token to an address of Google's, in a thread of their own,
    to ask where the account may work from (its "regional access boundary").
    """

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.own = own

    def refresh(self, request: Any) -> None:
        """Get a new token."""
        self.own.refresh(request)
        self.token, self.expiry = self.own.token, self.own.expiry


def _of_key(user_id: str, key: str) -> Any:
    """hart takes PEM text or a path; by way of libcloud, the file or the text could also be a whole JSON key."""
    text = key.strip()
    if not text.startswith(("-----BEGIN", "{")):
        text = _read(text, "key").strip()
    if text.startswith("{"):
        text = str(_json(text, "key").get("private_key", ""))
    # A key that was cut out of a JSON file has its line ends as two characters.
    facts = {"client_email": user_id, "private_key": text.replace("\\n", "\n"), "token_uri": TOKEN_URI}
    return _service_account(facts, "key is no private key in PEM form")


def _of_file(path: str) -> Any:
    facts = _json(_read(path, "key_file"), "key_file")
    return _service_account(facts, f"key_file {path} is no JSON key of a service account")


def _service_account(facts: dict[str, Any], problem: str) -> Any:
    """With ``always_use_jwt_access`` it signs its tokens itself, and asks no server for them."""
    _refuse_plain(facts.get("token_uri"), problem)
    try:
        made = service_account.Credentials.from_service_account_info(facts, scopes=SCOPES)
    except (ValueError, KeyError, TypeError, google.auth.exceptions.GoogleAuthError):
        raise AuthError(f"Compute Engine: {problem}") from None
    return made.with_always_use_jwt_access(True)


def _of_this_machine() -> Any:
    """Away from Google, the library asks for a metadata server that is not there, for 12 s; Google's is at hand."""
    try:
        found, _ = within(FIND_WITHIN, lambda: google.auth.default(scopes=SCOPES))
    except (google.auth.exceptions.GoogleAuthError, ValueError, OSError):
        raise AuthError(NONE) from None
    if not isinstance(found, google.auth.compute_engine.Credentials):  # Google's machines have it in the clear
        _refuse_plain(_token_address(found), "application default credentials")
    return found


def _refuse_plain(address: Any, where: str) -> None:
    """A file with a key says itself where tokens are asked for: that is held to the rule for settings."""
    if address and (said := objection(str(address))):
        raise AuthError(f"Compute Engine: {where}: token_uri {said}")


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise AuthError(f"Compute Engine: {setting} cannot be read from {path}: {reason}") from None


def _json(text: str, setting: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise AuthError(f"Compute Engine: {setting} is no JSON key of a service account")
    return facts
