"""
Compute Engine's API through google-cloud-compute.

hart uses only its ``*_unary`` methods and lists, each with a timeout and without the library's own retries. By default
the library polls operations at the real address whatever endpoint is set, treats an operation with an error as a
success, and retries lists beyond any timeout. Each of these has a test.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from google.auth.transport.requests import AuthorizedSession
from google.cloud import compute_v1
from google.protobuf import json_format

from hart_salt.base.errors import DriverError, InvalidRequest, TemporaryFailure
from hart_salt.drivers import http
from hart_salt.drivers.gce import credentials, errors
from hart_salt.drivers.gce.instances import last
from hart_salt.drivers.outage import Outage
from hart_salt.drivers.sdk_driver import SdkApi

T = TypeVar("T")

HOST = "compute.googleapis.com"
RESOURCE_MANAGER = "cloudresourcemanager.googleapis.com"
PAGE = 500  #: items on a page, which is the maximum
OPERATION_TIMEOUT = 300.0  #: seconds for an operation; a delete leaves the guest about 90 of them to shut down
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  #: seconds between two polls of an operation
DONE = compute_v1.Operation.Status.DONE
#: the warning of an incomplete list
UNREACHABLE = "UNREACHABLE"


class Api(SdkApi):
    """
    Calls for one project; every failure is a ``DriverError``.

    Each thread has its own clients, because threads must not share their sessions. Services have the names of the
    library's modules: ``instances``, ``zone_operations``.
    """

    def __init__(self, account: Any, sleep: Callable[[float], None] = time.sleep, outage: Outage | None = None) -> None:
        super().__init__(account, sleep, outage)
        self.project = str(account.project)
        self._made: Any = None
        self._threads = threading.local()

    def who(self) -> str:
        """Return the owner of the credentials, for people."""
        return credentials.name_of(self.credentials)

    @property
    def credentials(self) -> Any:
        """The credentials, made once for all threads."""
        with self._lock:
            if self._made is None:
                self._made = credentials.make(self._account)
            return self._made

    def get(self, service: str, method: str = "get", **fields: Any) -> Any:
        """Return one resource. Retry after throttling and temporary failures."""
        return self._repeated(lambda: _named(self._call(service, method, fields)))

    def list_of(self, service: str, **fields: Any) -> list[Any]:
        """Return all pages of a list. Retry like ``get``, and the whole list if a later page fails."""

        def work() -> list[Any]:
            pages = self._pages(service, "list", fields)
            return [item for page in pages for item in page.items]

        return self._repeated(work)

    def aggregated(self, service: str, region: str | None = None, **fields: Any) -> list[Any]:
        """
        Return all resources of a kind in all zones. Retry like ``list_of``.

        An unreachable zone is a failure, because unlisted resources would count as gone. With ``region``, only zones of
        that region matter.
        """

        def work() -> list[Any]:
            found = []
            for page in self._pages(service, "aggregated_list", fields):
                _refuse_partial(page, region)
                found += [item for scope in page.items.values() for item in getattr(scope, service)]
            return found

        return self._repeated(work)

    def change(self, service: str, method: str, request_id: str = "", **fields: Any) -> Any:
        """
        Start a change and return its operation, which continues.

        Retry after throttling and temporary failures, always with the same request id: the server recognises a retry
        by it, and answers with the operation of the first attempt.

        request_id
            a UUID, for a change that a later call may have to retry (default: a new one)

        Raises the operation's error if it is known at once.
        """
        return self.change_once(service, method, request_id=request_id or str(uuid.uuid4()), **fields)

    def change_once(self, service: str, method: str, **fields: Any) -> Any:
        """
        Start a change that takes no request id, such as one of an image's labels; otherwise like ``change``.

        A retry of it must be harmless: a fingerprint makes the API refuse the second one, for example.
        """
        operation = self._repeated(lambda: _named(self._call(service, f"{method}_unary", fields)))
        _raise_for(operation)
        return operation

    def wait(self, operation: Any) -> None:
        """
        Wait until an operation has ended.

        Raises the operation's error; after ``OPERATION_TIMEOUT``, while the operation continues, ``TemporaryFailure``
        with ``uncertain`` set.
        """
        waited, pause = 0.0, FIRST_PAUSE
        while not self.is_done(operation):
            if waited >= OPERATION_TIMEOUT:
                raise TemporaryFailure(
                    f"Compute Engine: {operation.operation_type} of {last(operation.target_link)} was not done within "
                    f"{OPERATION_TIMEOUT:g} s",
                    uncertain=True,
                )
            self._sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, LONGEST_PAUSE)
            operation = self._operation(operation)
        _raise_for(operation)

    def is_done(self, operation: Any) -> bool:
        """Return whether an operation has ended."""
        return bool(operation.status == DONE)

    def failure_of(self, operation: Any) -> DriverError | None:
        """Return the error of an operation, or None if it has none."""
        return errors.of_operation(operation)

    def granted(self, permissions: Sequence[str]) -> set[str]:
        """
        Return those of the permissions that the credentials have in the project.

        This is a call of Cloud Resource Manager (cloud.google.com/resource-manager/reference/rest/v1/projects), which
        can be off in a project. Retry like ``get``.
        """
        address = f"{self._account.endpoint or f'https://{RESOURCE_MANAGER}'}".rstrip("/")
        url = f"{address}/v1/projects/{self.project}:testIamPermissions"
        session = AuthorizedSession(credentials.for_project(self._account, self.credentials))

        def work() -> set[str]:
            try:
                answer = session.post(url, json={"permissions": list(permissions)}, timeout=self._account.api_timeout)
                answer.raise_for_status()
                return set(answer.json().get("permissions", ()))
            except (requests.HTTPError, ValueError) as error:
                raise InvalidRequest(
                    "Cloud Resource Manager does not answer for this project: enable its API (cloudresourcemanager."
                    "googleapis.com) in the project to have the permissions checked"
                ) from error
            except Exception as error:
                raise self._translated(error, "projects.testIamPermissions") from error

        return self._repeated(work)

    def body(self, kind: str, fields: dict[str, Any]) -> Any:
        """
        Return a message of the library, such as ``Instance``, from fields in the API's own names.

        Raises ``InvalidRequest`` if the library does not know a field, which would then never reach the API.
        """
        try:
            return getattr(compute_v1, kind).from_json(json.dumps(fields), ignore_unknown_fields=False)
        except json_format.ParseError as error:
            raise InvalidRequest(f"Compute Engine: {error}") from error

    def _operation(self, operation: Any) -> Any:
        if operation.zone:
            return self.get("zone_operations", zone=last(operation.zone), operation=operation.name)
        return self.get("global_operations", operation=operation.name)

    def _pages(self, service: str, method: str, fields: dict[str, Any]) -> Iterable[Any]:
        call = _called(service, method)
        pages = iter(self._call(service, method, {"max_results": PAGE, **fields}).pages)
        while True:
            try:
                page = next(pages, None)
            except Exception as error:
                raise self._translated(error, call) from error
            if page is None:
                return
            if not (page.kind or page.id or page.self_link):
                raise errors.unreadable()  # without this check it would count as an empty list
            yield page

    def _call(self, service: str, method: str, fields: dict[str, Any]) -> Any:
        """Make a call. ``retry=None``, because the library's own retries have no end and ignore Retry-After."""
        try:
            call = getattr(self._client(service), method)
            return call(request={"project": self.project, **fields}, retry=None, timeout=self._account.api_timeout)
        except DriverError:
            raise
        except Exception as error:
            raise self._translated(error, _called(service, method)) from error

    def _repeated(self, work: Callable[[], T]) -> T:
        if self._outage is None:
            return http.repeated(work, self._sleep)

        def attempt() -> T:
            self._reach_token_server()
            return work()

        return http.repeated(attempt, self._sleep, peer=self._outage.peer(self._name, self._address))

    def _reach_token_server(self) -> None:
        """Wait for the token server if a token is needed: the library itself would wait for a minute or more."""
        server = credentials.token_server(self.credentials)
        if server and self._outage is not None:
            host = urlsplit(server).hostname
            self._outage.peer(f"Google's server for tokens at {host}", server).reach(self._sleep)

    @property
    def _address(self) -> str:
        return str(self._account.endpoint or f"https://{HOST}")

    @property
    def _name(self) -> str:
        return f"Compute Engine's API at {urlsplit(self._address).hostname}"

    def _translated(self, error: Exception, call: str) -> DriverError:
        return errors.of(error, self._name, call)

    def _client(self, service: str) -> Any:
        clients = self._threads.__dict__
        if service not in clients:
            kind = getattr(compute_v1, "".join(word.title() for word in service.split("_")) + "Client")
            options = {"api_endpoint": self._account.endpoint.rstrip("/")} if self._account.endpoint else None
            clients[service] = kind(credentials=self.credentials, client_options=options)
        return clients[service]


def _called(service: str, method: str) -> str:
    """Return the API's name of a method, such as ``images.getFromFamily``, from the library's names."""
    return ".".join(
        re.sub(r"_([a-z])", lambda found: found[1].upper(), name) for name in (service, method.removesuffix("_unary"))
    )


def _named(thing: Any) -> Any:
    """
    Return a message that has a name. The library accepts any JSON object, from any server, as any message.

    Raises ``TemporaryFailure`` if the name is missing.
    """
    if not thing.name:
        raise errors.unreadable()
    return thing


def _raise_for(operation: Any) -> None:
    error = errors.of_operation(operation)
    if error is not None:
        raise error


def _refuse_partial(page: Any, region: str | None) -> None:
    lacking = [last(scope) for scope in page.unreachables]
    lacking += [last(name) for name, scope in page.items.items() if scope.warning.code == UNREACHABLE]
    lacking = [zone for zone in lacking if region is None or zone.startswith(f"{region}-")]
    if lacking:
        raise TemporaryFailure(f"Compute Engine cannot list {', '.join(sorted(set(lacking)))} at present")
