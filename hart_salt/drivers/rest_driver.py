"""
The base class of drivers for JSON APIs with a token: what all vendors have in common.

It imports no client: requests or a vendor's library may be missing until the first verb that needs it.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hart_salt.base.errors import AuthError, InvalidRequest, NotFound, TemporaryFailure
from hart_salt.config.schema import Provider
from hart_salt.drivers import retry, tagging, tags
from hart_salt.drivers.capabilities import AdoptionSupport, TagSupport
from hart_salt.drivers.catalog import ODD, required
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.rights import ALWAYS, BAKES, Rights
from hart_salt.drivers.sdk_driver import Answers, SdkDriver, removing
from hart_salt.model import UNKNOWN, Access, Candidate, Check, Instance, Leftover, MasterInfo, Node

Report = Mapping[str, Any]  #: an instance as the API reports it


class RestDriver(SdkDriver[Any], AdoptionSupport, TagSupport):
    """
    One account at a JSON API whose instances have tags.

    Tags are flat, as in ``tags.py``; for a vendor whose tags have names and values, override ``_tags_of`` and
    ``_set_tags``.
    """

    #: the vendor's name in messages
    vendor: ClassVar[str]
    #: the path of the instances in the API, and the field of an answer that holds one instance
    path: ClassVar[str]
    field: ClassVar[str]
    #: the field of an instance that holds its name
    name_field: ClassVar[str] = "name"
    #: the query parameters of its lists, if they are not called ``tag`` and ``name``
    query_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master, sleep)
        self._answers = Answers()

    @property
    def _api(self) -> Any:
        return self._parts

    def _make_parts(self) -> Any:
        account = self._account
        return self._client()(
            account.token.get_secret_value(), account.endpoint, account.api_timeout, self._sleep, self.outage
        )

    @abc.abstractmethod
    def _client(self) -> Callable[..., Any]:
        """Import and return the client's class; it takes token, endpoint, timeout, ``sleep`` and ``outage``."""

    def _listed(self, **query: str) -> list[dict[str, Any]]:
        """Return all pages of the instances that match the query: ``tag`` or ``name``."""
        asked = {self.query_names.get(name, name): value for name, value in query.items()}
        listed: list[dict[str, Any]] = self._api.listed(self.path, self.path, **asked)
        return listed

    @abc.abstractmethod
    def _instance(self, report: Report) -> Instance:
        """Convert a report to an ``Instance``. Every field of the report except the id may be missing."""

    @abc.abstractmethod
    def _set_tags(self, report: Report, wanted: Sequence[str]) -> None:
        """Replace all tags of an instance."""

    # tags

    def _tags_of(self, report: Report) -> Sequence[str]:
        return report.get("tags") or []

    def _tag_value(self, text: str) -> str:
        """Return a role or a minion id in the form of a tag."""
        return text

    @property
    def _owner_tag(self) -> str:
        return f"hart-owner:{self.master.owner}"

    def _batch_tag(self, batch: str) -> str:
        """Return the tag of all instances of a batch."""
        return f"hart-batch:{batch}"

    def _role_tags(self, role: str | None) -> list[str]:
        return [f"hart-role:{self._tag_value(role)}"] if role else []

    def _end_tags(self, ends: float | None, batch: str) -> list[str]:
        """Return the tag that says when a node of a batch ends, if it does."""
        return [f"{name}:{value}" for name, value in tags.end_mark(ends).items()]

    def _tags(self, node: Node, batch: str, *more: str) -> list[str]:
        """Return the tags of a create call: hart's own, ``more`` and the user's, without duplicates."""
        own = ["hart", self._owner_tag, self._batch_tag(batch), *self._role_tags(node.role), *more]
        own += [f"{tags.DIGEST}:{node.digest}"] if node.digest else []
        own += self._end_tags(node.ends, batch)
        return list(dict.fromkeys([*own, *tags.user_tags(node)]))

    def _retag(self, report: Report, wanted: Sequence[str]) -> None:
        """Replace the tags for owner, role and minion id with ``wanted``, and keep all other tags."""
        there = list(self._tags_of(report))
        kept = [tag for tag in there if tag != "hart" and not tag.startswith(tags.ADOPTED)]
        if sorted(there) != sorted([*kept, *wanted]):
            self._set_tags(report, [*kept, *wanted])

    def tag_objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Check the names that are reserved for hart, and the vendor's rules."""
        vendor = [self._tag_problem(name, value) for name, value in tags.items()]
        return [*tagging.own_objections(tags), *filter(None, vendor)]

    def _tag_problem(self, name: str, value: str) -> str:
        """Return why the vendor would refuse a tag, in a sentence; empty if it would not, which is the default."""
        return ""

    def user_tags(self, instance: Instance) -> Mapping[str, str]:
        """Make one call."""
        return tagging.from_flat(self._tags_of(self._reported(instance)))

    def set_tags(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """
        Make one call, and those that change the tags. Another tag of a name that is set goes.

        A change that someone else makes at the same time may be lost.
        """
        report = self._reported(instance)
        there = list(self._tags_of(report))
        old = {*tags, *remove}
        kept = [tag for tag in there if tagging.is_own(tag) or tag.partition(":")[0] not in old]
        wanted = [*kept, *(tagging.flat(name, value) for name, value in tags.items())]
        if sorted(there) != sorted(wanted):
            self._set_tags(report, wanted)

    # the account and the vendor's offer

    #: the uses in the table of rights whose reading calls are made as a test
    reading: ClassVar[Sequence[str]] = (ALWAYS,)

    def check_rights(self, node: Node) -> Check:
        """
        Make each reading call that a node needs.

        No answer says whether the token can write: only the first create call shows that.
        """
        rights: Rights = self._api.rights
        lacking = []
        for call in rights.reads(self.reading):
            try:
                self._api.probe(call.removeprefix("GET /"))
            except AuthError as error:
                lacking.append(str(error))
        if lacking:
            return Check("rights", AuthError.__name__, "; ".join(lacking))
        protects = ["the setting `protect`"] if node.settings.protect else []
        wanted = [ALWAYS, *protects, *([BAKES] if node.settings.bake else [])]
        uses = [use for use in rights.uses if any(purpose in use.purpose for purpose in wanted)]
        writing = sorted({right for use in uses for call, needed in use.calls.items()
                          if not call.startswith("GET ") for right in needed})  # fmt: skip
        return Check(
            "rights", UNKNOWN,
            f"the token can read what hart reads; {self.vendor} does not report whether it has the other rights that "
            f"nodes need: {', '.join(writing)}",
        )  # fmt: skip

    def _known(self, path: str) -> list[dict[str, Any]]:
        """Return a list of the vendor or the account. This driver object requests each list once."""
        found: list[dict[str, Any]] = self._answers.once(path, lambda: self._api.listed(path, path))
        return found

    # creating

    def _create(self, node: Node, body: Mapping[str, Any], access: Access, not_found: str = "") -> Report:
        """
        Make one create call. If its answer is lost, look for the instance by its name and the batch's tag.

        The call is not sent again after a lost answer: the instance may only show up late, and there would be two.

        not_found
            text to append to the API's "not found", which is about something that a setting names
        """
        try:
            made: Report = self._api.post(self.path, body, self.field)
            self._read(made)
        except NotFound as error:
            raise InvalidRequest(f"{error}{not_found}") from error
        except TemporaryFailure as error:
            found = self._look_for(node.minion_id, self._batch_tag(access.batch)) if error.uncertain else None
            if found is None:
                raise
            return found
        return made

    def _look_for(self, name: str, tag: str) -> Report | None:
        def find() -> Report | None:
            return next((one for one in self._tagged(tag) if one.get(self.name_field) == name), None)

        return retry.look(find, self._sleep)

    # lists

    def _tagged(self, tag: str) -> list[dict[str, Any]]:
        """Return the instances with a tag. Check it here too: APIs may ignore case, and sweep may remove the result."""
        return [report for report in self._listed(tag=tag) if tag in self._tags_of(report)]

    def instances(self, region: str | None = None) -> list[Instance]:
        """Make one list call with the owner's tag as the filter, and skip instances that are being deleted."""
        return self._living(self._tagged(self._owner_tag))

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """Make one list call with the batch's tag as the filter, and check the owner here."""
        listed = self._tagged(self._batch_tag(batch))
        return self._living([report for report in listed if self._owner_tag in self._tags_of(report)])

    def instances_called(self, minion_id: str) -> list[Instance]:
        """Make two list calls: with the name, and with the tag of an imported instance that has another name."""
        listed = [*self._listed(name=minion_id), *self._tagged(f"{tags.MINION}{self._tag_value(minion_id)}")]
        found = self._living([report for report in listed if self._owner_tag in self._tags_of(report)])
        return [one for one in found if one.minion_id == minion_id]

    def instance(self, instance: Instance) -> Instance | None:
        """Make one call. An instance that is being deleted counts as absent."""
        return next(iter(self._living(self._report(instance.instance_id))), None)

    def _living(self, reports: Sequence[Report]) -> list[Instance]:
        return [one for one in map(self._read, self._completed(reports)) if one.state != "gone"]

    def _completed(self, reports: Sequence[Report]) -> Sequence[Report]:
        """Return reports of the API with what only another call shows (default: nothing)."""
        return reports

    def _read(self, report: Report) -> Instance:
        """
        Convert a report like ``_instance``.

        Raises ``TemporaryFailure`` if it has no id or cannot be read: without it, the instance would count as gone.
        """
        try:
            required(report, "id")
            return self._instance(report)
        except ODD as error:
            name = report.get("id") or report.get(self.name_field) or "without id and name"
            raise TemporaryFailure(
                f"{self.vendor}: the report of the {self.field} {name} cannot be read ({error!r})", uncertain=True
            ) from error

    def _reported(self, instance: Instance) -> Report:
        for report in self._report(instance.instance_id):
            return report
        raise NotFound(f"the instance {instance.instance_id} is gone")

    def _report(self, instance_id: str) -> list[Report]:
        """Return the report of the instance with that id, or an empty list."""
        if not self._is_id(instance_id):
            return []
        try:
            return [self._api.get(f"{self.path}/{instance_id}", self.field)]
        except NotFound:
            return []

    # import

    def candidates(self, minion_id: str, instance_id: str | None = None, region: str | None = None) -> list[Candidate]:
        """Search by the instance's name, which hart and salt-cloud set to the minion id, or by its id."""
        found: Sequence[Report]
        if instance_id is None:
            found = [one for one in self._listed(name=minion_id) if one.get(self.name_field) == minion_id]
        else:
            found = self._report(instance_id)
        candidates = [self._candidate(report) for report in self._completed(found)]
        return [one for one in candidates if one.instance.state != "gone"]

    def _candidate(self, report: Report) -> Candidate:
        owner = tags.owner(self._tags_of(report), self.master.owner)
        return Candidate(self._read(report), report.get(self.name_field) or "", owner)

    def adopt(self, instance: Instance, minion_id: str, role: str | None) -> None:
        """
        Set the tags. The minion id becomes a tag only if the name differs from it.

        A change that someone else makes at the same time may be lost. Raises ``NotFound`` if the instance is gone.
        """
        report = self._api.get(f"{self.path}/{instance.instance_id}", self.field)
        named = [] if report.get(self.name_field) == minion_id else [f"{tags.MINION}{self._tag_value(minion_id)}"]
        self._retag(report, ["hart", *self._role_tags(role), *named, self._owner_tag])

    def release(self, instance: Instance) -> None:
        """Remove hart's tags and keep all others."""
        for report in self._report(instance.instance_id):
            self._retag(report, [])

    # protection

    def protect(self, instance: Instance, *, on: bool) -> None:
        """
        Set or remove the tag ``hart-protected``, and the vendor's own protection (``_lock``).

        A change that someone else makes to the tags at the same time may be lost.
        """
        reports = self._report(instance.instance_id)
        if on and not reports:
            raise NotFound(f"{self.vendor}: there is no {self.field} {instance.instance_id}")
        for report in reports:
            if on:
                self._mark(report, [tags.PROTECTED])
            self._lock(report, on=on)
            if not on:
                self._mark(report, [])

    def _mark(self, report: Report, wanted: Sequence[str]) -> None:
        """Replace the marks of a protected node with ``wanted``, and keep all other tags."""
        there = list(self._tags_of(report))
        marks = [tag for tag in there if tags.is_protection(tag)]
        if bool(marks) != bool(wanted):
            self._set_tags(report, [*(tag for tag in there if tag not in marks), *wanted])

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Make one call, and those that change the tags. A change that someone else makes meanwhile may be lost."""
        report = self._reported(instance)
        there = list(self._tags_of(report))
        wanted = [*(tag for tag in there if not tags.is_end(tag)), *self._end_tags(ends, self._batch_of(report))]
        if sorted(there) != sorted(wanted):
            self._set_tags(report, wanted)

    def _batch_of(self, report: Report) -> str:
        """Return the batch of an instance, for ``_end_tags``."""
        return self._read(report).batch

    def _lock(self, report: Report, *, on: bool) -> None:
        """Turn the vendor's own deletion protection on or off (default: it has none)."""

    # termination

    def terminate(self, instance: Instance) -> None:
        """
        Delete the instance until it is gone, for about three minutes: a new instance may refuse or ignore the call.

        Failures of the API itself are retried as for any other call.
        """
        if self._is_id(instance.instance_id):
            retry.until_gone(lambda: self._terminate_once(instance.instance_id), self._sleep)

    def _terminate_once(self, instance_id: str) -> None:
        try:
            self._api.delete(f"{self.path}/{instance_id}")
            self._api.get(f"{self.path}/{instance_id}", self.field)
        except NotFound:
            return
        raise StillThere(f"{self.vendor}: {self.field} {instance_id} is still there after it was deleted")


class KeyedRestDriver(RestDriver):
    """A vendor that mails root's password unless the create call names an SSH key of the account."""

    #: the path of the account's keys in the API
    keys_path: ClassVar[str]

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """
        Make a temporary SSH key; on exit, remove it and the batch's other temporary resources (``_temporary``).

        The key's name contains the owner and the batch, so ``leftovers`` can find it from the moment it exists.
        """
        name = f"{self._key_prefix}{batch}"
        key = self._make_key(name, self._key_body(batch, client_public_key))
        try:
            yield Access(batch, client_public_key, {"ssh_key": key})
        finally:
            self._remove({f"{self.keys_path}/{key}": f"SSH key {name}", **self._temporary(batch)})

    def _temporary(self, batch: str) -> Mapping[str, str]:
        """Return what else to remove at the end of a batch: paths, and a name for messages."""
        return {}

    @property
    def _key_prefix(self) -> str:
        return f"hart-{self.master.owner}-"

    def _key_body(self, batch: str, public_key: str) -> Mapping[str, Any]:
        return {"name": f"{self._key_prefix}{batch}", "public_key": public_key}

    def _make_key(self, name: str, body: Mapping[str, Any]) -> int:
        """Create the key and return its id. If the answer is lost, look for the key by its name."""
        try:
            return int(self._api.post(self.keys_path, body, "ssh_key")["id"])
        except TemporaryFailure as error:
            found = retry.look(lambda: self._key_named(name), self._sleep) if error.uncertain else None
            if found is None:
                raise
            return found

    def _key_named(self, name: str) -> int | None:
        keys = self._api.listed(self.keys_path, "ssh_keys")
        return next((int(key["id"]) for key in keys if key.get("name") == name), None)

    def _remove(self, paths: Mapping[str, str]) -> None:
        """Delete all of them, even if one fails."""
        problems = []
        for path, what in paths.items():
            try:
                with removing(what):
                    self._api.delete(path)
            except TemporaryFailure as error:
                problems.append(str(error))
        if problems:
            raise TemporaryFailure("; ".join(problems))

    def leftovers(self) -> list[Leftover]:
        """Return the temporary keys of this master's batches; their names begin with the owner."""
        return [
            Leftover(
                "SSH key", key["name"], f"{self.keys_path}/{key['id']}", key["name"].removeprefix(self._key_prefix),
                created=tags.seconds(key.get("created")),
            )
            for key in self._api.listed(self.keys_path, "ssh_keys")
            if (key.get("name") or "").startswith(self._key_prefix)
        ]  # fmt: skip

    def remove(self, leftover: Leftover) -> None:
        """Delete the path that is its handle."""
        self._api.delete(leftover.handle)
