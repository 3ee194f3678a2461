"""
Credentials for Compute Engine: a service account's key, a key file, or application default credentials.

Facts come from google-auth's own source, version 2.62.
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

from hart_salt.base.deadline import within
from hart_salt.base.endpoints import objection
from hart_salt.base.errors import AuthError

#: the only scope that hart needs; Google's own tools request this one or more
SCOPES = ("https://www.googleapis.com/auth/compute",)
PROJECT_SCOPES = ("https://www.googleapis.com/auth/cloud-platform.read-only",)  #: to read permissions
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
FIND_WITHIN = 3.0  #: seconds to find application default credentials
NONE = (
    "Compute Engine: there are no usable credentials: set user_id and key, or key_file, in the provider's settings, or "
    "set up application default credentials on this master"
)


def make(account: Any) -> Any:
    """
    Return google-auth's credentials for an account.

    Make no call yet, except for application default credentials: a machine at Google gets them from its metadata
    server.

    Raises ``AuthError``, which names the setting to fix and never contains a key.
    """
    if account.key is not None:
        own = _of_key(account.user_id, account.key.get_secret_value())
    elif account.key_file is not None:
        own = _of_file(account.key_file)
    else:
        own = _of_this_machine()
    return OnlyHere(own) if account.endpoint else own


def for_project(account: Any, credentials: Any) -> Any:
    """Return the same credentials with the scope for permissions of a project, if their scopes can be chosen."""
    own = credentials.own if isinstance(credentials, OnlyHere) else credentials
    if not isinstance(own, service_account.Credentials):
        return credentials
    scoped = own.with_scopes(PROJECT_SCOPES)
    return OnlyHere(scoped) if account.endpoint else scoped


def token_server(credentials: Any) -> str | None:
    """Return the address of the token server, or None if the token is valid or the credentials sign it themselves."""
    own = credentials.own if isinstance(credentials, OnlyHere) else credentials
    if credentials.valid or getattr(own, "_always_use_jwt_access", False):
        return None
    if isinstance(own, google.auth.compute_engine.Credentials):
        return f"http://{os.environ.get('GCE_METADATA_HOST') or 'metadata.google.internal'}"
    return _token_address(own)


def _token_address(own: Any) -> str | None:
    """Return the token server's address. Only one kind of credentials has it in a public attribute."""
    found = (getattr(own, name, None) for name in ("token_uri", "_token_uri", "_token_url"))
    return next((str(address) for address in found if address), None)


def name_of(credentials: Any) -> str:
    """Return the owner of the credentials, for people."""
    own = credentials.own if isinstance(credentials, OnlyHere) else credentials
    email = getattr(own, "service_account_email", None)
    return str(email) if email and "@" in email else "application default credentials"


class OnlyHere(google.auth.credentials.Credentials):  # type: ignore[misc]  # without type information
    """
    Credentials whose tokens go to the endpoint of the settings and to no other server.

    By default, google-auth also sends a token to an address of Google, in its own thread, to get the account's
    "regional access boundary".
    """

    def __init__(self, own: Any) -> None:
        super().__init__()
        self.own = own

    def refresh(self, request: Any) -> None:
        """Get a new token."""
        self.own.refresh(request)
        self.token, self.expiry = self.own.token, self.own.expiry


def _of_key(user_id: str, key: str) -> Any:
    """Make credentials from PEM text, a path or, as in libcloud, a whole JSON key as text or in the file."""
    text = key.strip()
    if not text.startswith(("-----BEGIN", "{")):
        text = _read(text, "key").strip()
    if text.startswith("{"):
        text = str(_json(text, "key").get("private_key", ""))
    # A key copied from a JSON file has a backslash and an n in place of each line end.
    facts = {"client_email": user_id, "private_key": text.replace("\\n", "\n"), "token_uri": TOKEN_URI}
    return _service_account(facts, "key is not a private key in PEM form")


def _of_file(path: str) -> Any:
    facts = _json(_read(path, "key_file"), "key_file")
    return _service_account(facts, f"key_file {path} is not a JSON key of a service account")


def _service_account(facts: dict[str, Any], problem: str) -> Any:
    """Make credentials that sign their tokens themselves (``always_use_jwt_access``), without a token server."""
    _refuse_plain(facts.get("token_uri"), problem)
    try:
        made = service_account.Credentials.from_service_account_info(facts, scopes=SCOPES)
    except (ValueError, KeyError, TypeError, google.auth.exceptions.GoogleAuthError):
        raise AuthError(f"Compute Engine: {problem}") from None
    return made.with_always_use_jwt_access(True)


def _of_this_machine() -> Any:
    """Find application default credentials. Outside Google, the library waits 12 s for a metadata server."""
    try:
        found, _ = within(FIND_WITHIN, lambda: google.auth.default(scopes=SCOPES))
    except (google.auth.exceptions.GoogleAuthError, ValueError, OSError):
        raise AuthError(NONE) from None
    if not isinstance(found, google.auth.compute_engine.Credentials):  # on Google's machines the address is plain HTTP
        _refuse_plain(_token_address(found), "application default credentials")
    return found


def _refuse_plain(address: Any, where: str) -> None:
    """
    Check the token server that a key file names, by the rule for settings.

    Raises ``AuthError`` if the address must not get credentials.
    """
    if address and (said := objection(str(address))):
        raise AuthError(f"Compute Engine: {where}: token_uri {said}")


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise AuthError(f"Compute Engine: {setting} cannot be read from {path}: {reason}") from None


def _json(text: str, setting: str) -> dict[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise AuthError(f"Compute Engine: {setting} is not a JSON key of a service account")
    return facts
