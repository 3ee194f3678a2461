"""Drivers whose libraries get recorded answers instead of the network's; any other request is a failure."""

from __future__ import annotations

import datetime
import functools
import http.client
import importlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

import boto3.session
import botocore.client
import botocore.loaders
import botocore.parsers
import botocore.session
import requests
from botocore.exceptions import ClientError

from hart_salt.config.schema import Provider
from tests.drivers.recorded.answers import Recorded, recorded
from tests.drivers.tested import OWNER, master_of

#: the path of each API below its host
ROOTS = {"do": "/v2/", "vultr": "/v2/", "hetzner": "/v1/", "gce": "/compute/v1/projects/p"}
TOKEN = {"token": "t"}
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "do": TOKEN,
    "vultr": TOKEN,
    "hetzner": TOKEN,
    "gce": {"project": "p"},
    "ec2": {"aws_access_key_id": "a", "aws_secret_access_key": "b", "regions": ["us-east-1"]},
}
DRIVERS = {"do": "DigitalOcean", "vultr": "Vultr", "hetzner": "Hetzner", "gce": "ComputeEngine", "ec2": "Ec2"}
#: how EC2 marks an instance of this master
OWN_PAIRS = [
    {"Key": f"hart-{key}", "Value": value} for key, value in (("owner", OWNER), ("role", "app"), ("minion", "w"))
]
#: botocore's fields that are dates
DATES = ("LaunchTime", "CreateTime", "AttachTime", "DeprecationTime", "StartTime")

#: the clients of the SDKs, which take long to make
THREADS = threading.local()
CLIENTS: dict[tuple[str, str], Any] = {}
Change = Callable[[Any], Any]


@contextmanager
def replayed(answer: Recorded, change: Change, tags: Sequence[Mapping[str, str]]) -> Iterator[Any]:
    """
    Yield the driver of an account whose API gives an answer, and those beside it.

    ``change`` gets each page of the answer, and returns what the API says instead. ``tags`` are what EC2 returns for an
    instance that it listed without tags.
    """
    everything = [recorded(answer.cloud)[name] for name in answer.beside]
    bodies = {it.path: (it, [*it.pages]) for it in everything}
    bodies[answer.path] = (answer, [change(json.loads(json.dumps(page))) for page in answer.pages])
    with ExitStack() as stack:
        if answer.cloud == "ec2":
            call = _operation(bodies, tags)
            stack.enter_context(mock.patch.object(botocore.client.BaseClient, "_make_api_call", call))
            stack.enter_context(mock.patch.object(botocore.session, "create_loader", _loader))
        else:
            send = _http(ROOTS[answer.cloud], bodies)
            stack.enter_context(mock.patch.object(requests.adapters.HTTPAdapter, "send", send))
        yield driver_of(answer.cloud)


def driver_of(cloud: str) -> Any:
    """Return a driver that never waits, with credentials that nobody asks for."""
    module = importlib.import_module(f"hart_salt.drivers.{cloud}.driver")
    provider = Provider(cloud, cloud, module.Account(**ACCOUNTS[cloud]))
    driver = getattr(module, DRIVERS[cloud])(provider, master_of(OWNER, str(Path("/nonexistent"))), lambda _: None)
    driver.outage = None  # nothing is reached
    if cloud == "gce":
        from google.auth.credentials import AnonymousCredentials

        driver._parts.api._made, driver._parts.api._threads = AnonymousCredentials(), THREADS
    if cloud == "ec2":
        # botocore reads megabytes of models for each client.
        driver._parts.api._clients, driver._parts.api._session = CLIENTS, _session()
    return driver


@functools.cache
def _session() -> Any:
    return boto3.session.Session(
        **{key: str(ACCOUNTS["ec2"][key]) for key in ("aws_access_key_id", "aws_secret_access_key")}
    )


@functools.cache
def _loader(search_path: str | None = None) -> Any:
    return botocore.loaders.create_loader(search_path)


# HTTP

Bodies = Mapping[str, tuple[Recorded, list[Any]]]


def _http(root: str, bodies: Bodies) -> Callable[..., requests.Response]:
    asked: defaultdict[str, int] = defaultdict(int)

    def send(self: Any, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        assert parts.path.startswith(root), request.url
        path = parts.path.removeprefix(root).strip("/")
        assert path in bodies, f"{request.method} {path} is not recorded"
        answer, pages = bodies[path]
        query = dict(parse_qsl(parts.query))
        page = pages[asked[path] % len(pages)]
        if answer.cloud == "do":
            page = _of_the_query(answer, query, page)
        asked[path] += 1
        return _response(request, answer, page)

    return send


def _of_the_query(answer: Recorded, query: Mapping[str, str], page: Any) -> Any:
    """Return an empty list for images of another kind than the recorded ones."""
    wanted = answer.request.partition("?")[2]
    if answer.path == "images" and wanted not in [f"{name}={value}" for name, value in query.items()]:
        return {"images": [], "meta": {"total": 0}}
    return page


def _response(request: requests.PreparedRequest, answer: Recorded, page: Any) -> requests.Response:
    response = requests.Response()
    response.status_code, response.request, response.url = answer.status, request, str(request.url)
    response.reason = http.client.responses[answer.status]
    is_text = isinstance(page, str)
    response._content = page.encode() if is_text else json.dumps(page).encode()
    kind = "text/html" if is_text else "application/json"
    response.headers.update({"Content-Type": kind, **answer.headers})
    return response


# EC2


def _operation(bodies: Bodies, tags: Sequence[Mapping[str, str]]) -> Callable[..., Any]:
    def call(self: Any, operation: str, parameters: Any) -> Any:
        if operation == "DescribeTags":
            return {"Tags": [{**tag, "ResourceId": name} for name in _asked(parameters) for tag in tags]}
        if operation == "GetProducts" and operation not in bodies:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)  # as without that permission
        assert operation in bodies, f"{operation} is not recorded"
        answer, pages = bodies[operation]
        page = pages[0]
        parsed = _parsed(self, operation, answer, page) if isinstance(page, str) else _with_dates(page)
        status = {"HTTPStatusCode": answer.status}
        if "Error" in parsed:
            raise ClientError({"Error": parsed["Error"], "ResponseMetadata": status}, operation)
        return {**parsed, "ResponseMetadata": status}

    return call


def _asked(parameters: Any) -> Sequence[str]:
    (wanted,) = parameters["Filters"]
    assert wanted["Name"] == "resource-id"
    names: Sequence[str] = wanted["Values"]
    return names


def _parsed(client: Any, operation: str, answer: Recorded, text: str) -> Any:
    model = client.meta.service_model
    parser = botocore.parsers.create_parser("ec2")
    response = {"headers": {}, "status_code": answer.status, "body": text.encode()}
    return parser.parse(response, model.operation_model(operation).output_shape)


def _with_dates(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _with_dates(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_dates(inner) for inner in value]
    if name in DATES and isinstance(value, str):
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
