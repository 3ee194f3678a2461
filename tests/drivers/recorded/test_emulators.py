"""
The emulators' answers have every field that real answers have and that hart reads, with the same type.

What hart reads is observed: while a verb runs, every dict and every message of an answer notes which of its fields are
asked for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import proto  # type: ignore[import-untyped]
import pytest
import requests

from hart_salt.drivers.capabilities import SnapshotSupport
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.ec2 import client as ec2_client
from hart_salt.drivers.gce import client as gce_client
from hart_salt.model import RESERVED, AddressRequest, Instance, NewImage
from tests.drivers.clouds import driver_of, module_of
from tests.drivers.recorded.answers import CLOUDS, recorded
from tests.drivers.recorded.readings import owned, read
from tests.drivers.tested import Time

Fields = defaultdict[str, set[str]]

#: by cloud and kind of thing: fields that the emulators do not have on purpose, each with the reason
OMITTED: Mapping[tuple[str, str], str] = {
    **dict.fromkeys(
        [("hetzner", f"servers.datacenter{more}") for more in ("", ".location", ".location.name")],
        "the API now reports the location of a server, and no longer its datacenter",
    ),
    **dict.fromkeys(
        [("ec2", f"Subnets.Tags.{more}") for more in ("Key", "Value")],
        "the account's subnets have no names in the emulator; test_network.py gives them some",
    ),
    ("ec2", "Instances.InstanceLifecycle"): "only a spot instance has it: test_interruptions.py",
    **dict.fromkeys(
        [("gce", f"image.deprecated{more}") for more in ("", ".state")],
        "no image of the emulated project is deprecated; the public ones are",
    ),
    **dict.fromkeys(
        [
            ("gce", f"operation.{more}")
            for more in (
                "error",
                "error.errors",
                "error.errors.code",
                "error.errors.message",
                "httpErrorStatusCode",
                "error.errors.errorDetails",
                "error.errors.errorDetails.errorInfo",
                "error.errors.errorDetails.errorInfo.metadatas",
            )
        ],
        "only an operation that fails has an error: test_launch.py",
    ),
}


# what is read


class Noting(dict[str, Any]):
    """A dict that notes which of its fields are read. ``kind`` is the path of the list that it is in."""

    def __init__(self, value: Mapping[str, Any], kind: str, noted: set[str]) -> None:
        super().__init__({key: noting(inner, f"{kind}.{key}", noted) for key, inner in value.items()})
        self._kind, self._noted = kind, noted

    def __getitem__(self, key: str) -> Any:
        self._noted.add(f"{self._kind}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Note the field and return it."""
        self._noted.add(f"{self._kind}.{key}")
        return super().get(key, default)


def noting(value: Any, kind: str, noted: set[str]) -> Any:
    """Return plain data whose dicts note what is read."""
    if isinstance(value, dict):
        return Noting(value, kind, noted)
    return [noting(one, kind, noted) for one in value] if isinstance(value, list) else value


class Message:
    """A message of Google's library that notes which of its fields are read, in the API's own names."""

    def __init__(self, message: Any, kind: str, noted: set[str]) -> None:
        self._message, self._kind, self._noted = message, kind, noted

    def __getattr__(self, name: str) -> Any:
        first, *others = name.strip("_").split("_")
        path = f"{self._kind}.{first}{''.join(word.title() for word in others)}"
        self._noted.add(path)
        return message(getattr(self._message, name), path, self._noted)


def message(value: Any, kind: str, noted: set[str]) -> Any:
    """Return a value of a message; messages and lists of messages note what is read."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [message(one, kind, noted) for one in value]
    return Message(value, kind, noted) if isinstance(value, proto.Message) else value


# what is answered


def note_types(value: Any, kind: str, types: Fields) -> None:
    """Note the types of all fields of plain data; numbers of both kinds are one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            types[f"{kind}.{key}"].add(type_of(inner))
            note_types(inner, f"{kind}.{key}", types)
    elif isinstance(value, list):
        for one in value:
            note_types(one, kind, types)


def type_of(value: Any) -> str:
    if value is None:
        return "null"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def things(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an answer has, each with the name of its list: one thing has the same name as several."""
    if not isinstance(body, dict):
        return
    kind = str(body.get("kind", ""))
    if kind.startswith("compute#"):
        yield from _of_google(body, kind)
        return
    for key, value in body.items():
        if key == "Reservations":
            yield from (("Instances", one) for group in value for one in group.get("Instances") or ())
        elif isinstance(value, list):
            yield from ((key, one) for one in value if isinstance(one, dict))
        elif isinstance(value, dict) and key not in ("links", "meta", "ResponseMetadata", "error"):
            yield f"{key}es" if key.endswith("s") else f"{key}s", value


def _of_google(body: Any, kind: str) -> Iterator[tuple[str, Any]]:
    word = kind.partition("#")[2]
    if word.endswith("AggregatedList"):
        scopes = body.get("items", {}).values()
        yield from ((word[: -len("AggregatedList")], one) for scope in scopes for many in lists(scope) for one in many)
    elif word.endswith("List"):
        yield from ((word[: -len("List")], one) for one in body.get("items", ()))
    else:
        yield word, body


def lists(scope: Mapping[str, Any]) -> Iterator[list[Any]]:
    yield from (value for value in scope.values() if isinstance(value, list))


class Observed:
    """What hart read, and which types the answers had, while something ran."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.types: Fields = defaultdict(set)

    def body(self, body: Any) -> None:
        """Note an answer."""
        for kind, one in things(body):
            note_types(one, kind, self.types)

    @contextmanager
    def watch(self, cloud: str) -> Iterator[None]:
        """Note all answers that come and all fields that are read, in the block."""
        with ExitStack() as stack:
            if cloud != "ec2":
                stack.enter_context(mock.patch.object(requests.Session, "send", self._send()))
            for verb in ("call", "listed") if cloud == "ec2" else ():
                stack.enter_context(mock.patch.object(ec2_client.Api, verb, self._of_sdk(verb)))
            if cloud == "gce":
                for verb in ("get", "list_of", "aggregated"):
                    stack.enter_context(mock.patch.object(gce_client.Api, verb, self._of_library(verb)))
            yield

    def _of_sdk(self, verb: str) -> Callable[..., Any]:
        call = getattr(ec2_client.Api, verb)

        def noted(api: Any, region: str, operation: str, *more: Any, **fields: Any) -> Any:
            answer = call(api, region, operation, *more, **fields)
            body = {more[0]: answer} if verb == "listed" else answer
            self.body(body)
            made = self._noting(body)
            return made[more[0]] if verb == "listed" else made

        return noted

    def _noting(self, body: Any) -> Any:
        made = {}
        for key, value in body.items():
            if key == "Reservations":
                made[key] = [{"Instances": noting(one["Instances"], "Instances", self.read)} for one in value]
            else:
                made[key] = noting(value, key, self.read) if isinstance(value, list) else value
        return made

    def _send(self) -> Callable[..., Any]:
        send = requests.Session.send

        def noted(session: Any, request: Any, **how: Any) -> Any:
            response = send(session, request, **how)
            parse = response.json

            def body(**more: Any) -> Any:
                answer = parse(**more)
                if not isinstance(answer, dict):
                    return answer
                plural = {key: (f"{key}es" if key.endswith("s") else f"{key}s") for key in answer}
                return {
                    key: noting(value, key if isinstance(value, list) else plural[key], self.read)
                    if key not in ("links", "meta", "error")
                    else value
                    for key, value in answer.items()
                }

            response.json = body  # type: ignore[method-assign]  # of this one response
            if response.ok and response.content:
                self.body(parse())
            return response

        return noted

    def _of_library(self, verb: str) -> Callable[..., Any]:
        call = getattr(gce_client.Api, verb)

        def noted(api: Any, service: str, *more: Any, **fields: Any) -> Any:
            found = call(api, service, *more, **fields)
            first, *others = service.removeprefix("zone_").removeprefix("global_").rstrip("s").split("_")
            kind = first + "".join(word.title() for word in others)
            if isinstance(found, list):
                return [Message(one, kind, self.read) for one in found]
            return Message(found, kind, self.read)

        return noted


def of_recorded(cloud: str) -> Observed:
    """Observe what hart makes of all recorded answers."""
    observed = Observed()
    with observed.watch(cloud):
        for answer in recorded(cloud).values():
            if answer.status < 300:
                read(answer, owned(answer))
    return observed


def of_emulator(cloud: str, directory: Any) -> Observed:
    """Observe the emulator's answers to the same verbs, with a running instance."""
    observed, time, own = Observed(), Time(), module_of(cloud)
    with own.open_cloud(time) as emulator:
        driver = driver_of(cloud, emulator, time, directory)
        emulator.add_snapshot("mine")
        options = {"network": str(emulator.add_network("inside", "eu-central"))} if cloud == "hetzner" else {}
        with observed.watch(cloud), driver.access("b1", own_key(own), [node := own.node(options=options)]) as access:
            made = driver.launch(node, "#!/bin/sh\n", access)
            time.advance(60)
            (listed,) = [one for one in driver.instances() if one.instance_id == made.instance_id]
            if cloud == "do":
                request = AddressRequest(RESERVED, emulator.add_reserved("nyc3"))
                driver.add_address(listed, driver.find_address(listed, request))
            use(driver, listed)
    return observed


def own_key(own: Any) -> str:
    return str(own.KEY)


def use(driver: Any, instance: Instance) -> None:
    """Use every verb that reads."""
    driver.instance(instance)
    for region in (None, instance.region):
        driver.sizes(region)
        driver.images(region)
    driver.regions()
    driver.check()
    driver.leftovers()
    driver.addresses(instance)
    if isinstance(driver, SnapshotSupport):
        bake(driver, instance)


def bake(driver: Driver, instance: Instance) -> None:
    """Make an image of the instance, and read it in each way."""
    driver.power_off(instance, force=True)
    new = NewImage("hart-app-202611301200-b1", "app", "b1", "1-abc", "3008.3", str(instance.region), "amd64")
    made = driver.make_image(instance, new)
    assert driver.baked_images() != []
    found = driver.baked_image(made)  # some have no id until they are available
    assert found is not None
    driver.finish_image(found)
    assert driver.baked_images() != []  # now with its size


@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_emulator_answers_as_the_real_api_does(cloud: str, tmp_path: Any) -> None:
    real, emulated = of_recorded(cloud), of_emulator(cloud, tmp_path)
    wanted = {path: types - {"null"} for path, types in real.types.items() if path in real.read | emulated.read}
    # Only things that the emulator was asked for can be compared.
    kinds = {path.partition(".")[0] for path in emulated.types}
    found = {
        path: f"real {sorted(types)}, emulated {sorted(emulated.types.get(path, set()) - {'null'})}"
        for path, types in wanted.items()
        if path.partition(".")[0] in kinds
        and types
        and (path not in emulated.types or not emulated.types[path] - {"null"} <= types)
    }
    known = {path for of, path in OMITTED if of == cloud}
    assert {path: said for path, said in found.items() if path not in known} == {}
    assert known <= set(found), "remove what is no longer omitted"
    assert len(wanted) >= 15, json.dumps(sorted(wanted))
