"""
The base of drivers for JSON APIs that are asked with a token: what is the same whatever the vendor.

It imports no client: requests, or a vendor's library, may be missing until the first verb that needs it.
"""

from __future__ import annotations

import abc
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from hart_salt.base.errors import InvalidRequest, NotFound, Refused, TemporaryFailure
from hart_salt.config.schema import Provider
from hart_salt.drivers import retry, tags
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.retry import StillThere
from hart_salt.model import Access, Candidate, Instance, MasterInfo, Node

Report = Mapping[str, Any]  #: an instance as the API reports it


class RestDriver(Driver):
    """One account at a JSON API that keeps flat tags with its instances."""

    #: as messages name the vendor
    vendor: ClassVar[str]
    #: what to install where the client cannot be imported
    needs: ClassVar[str]
    #: where the API has its instances, and the field that a single one comes in
    path: ClassVar[str]
    field: ClassVar[str]
    #: the field of an instance that holds its name
    name_field: ClassVar[str] = "name"
    #: what an instance's id looks like: anything else would lead to another call, or to a delete of many
    id_pattern: ClassVar[re.Pattern[str]]

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master)
        self._sleep = sleep
        self._made: Any = None

    @property
    def _api(self) -> Any:
        """The client, made when it is first needed. Raises ``Refused`` where its library is missing."""
        if self._made is None:
            try:
                make = self._client()
            except ImportError as error:
                raise Refused(
                    f"the driver {self.schema.driver} needs {self.needs}: salt-pip install {self.needs}"
                ) from error
            account: Any = self.provider.account
            self._made = make(
                account.token.get_secret_value(), account.endpoint, account.api_timeout, self._sleep, self.outage
            )
        return self._made

    @abc.abstractmethod
    def _client(self) -> Callable[..., Any]:
        """Import the client's class; it is made with token, endpoint, time-out, ``sleep`` and ``outage``."""

    @abc.abstractmethod
    def _listed(self, **query: str) -> list[dict[str, Any]]:
        """All pages of the instances that the query lets through: ``tag`` or ``name``."""

    @abc.abstractmethod
    def _instance(self, report: Report) -> Instance:
        """An instance as hart knows it; every field of a report but the id may be missing."""

    @abc.abstractmethod
    def _batch_tag(self, batch: str) -> str:
        """The tag that all instances of a batch carry."""

    @abc.abstractmethod
    def _retag(self, report: Report, wanted: Sequence[str]) -> None:
        """Make ``wanted`` the only tags of hart's that say whose the instance is, and what."""

    @property
    def _owner_tag(self) -> str:
        return f"hart-owner:{self.master.owner}"

    # creating

    def _create(self, node: Node, body: Mapping[str, Any], access: Access, not_found: str = "") -> Report:
        """
        One create call. If its answer is lost, the instance is looked for by its name and the batch's tag.

        It is never sent again after that: an instance that shows up late would be a second one.

        not_found
            what to add where the API says that something does not exist, which a setting names
        """
        try:
            made: Report = self._api.post(self.path, body, self.field)
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

    # looking

    def _tagged(self, tag: str) -> list[dict[str, Any]]:
        """Filtered once more here: an API may take no notice of case, and what is listed may be swept."""
        return [report for report in self._listed(tag=tag) if tag in (report.get("tags") or [])]

    def instances(self, region: str | None = None) -> list[Instance]:
        """One list, filtered by the owner's tag on the server."""
        return [self._instance(report) for report in self._tagged(self._owner_tag)]

    def instance(self, instance: Instance) -> Instance | None:
        """One call."""
        return next((self._instance(report) for report in self._report(instance.instance_id)), None)

    def _report(self, instance_id: str) -> list[Report]:
        """The instance of that id, if there is one."""
        if not self.id_pattern.fullmatch(instance_id):
            return []
        try:
            return [self._api.get(f"{self.path}/{instance_id}", self.field)]
        except NotFound:
            return []

    # taking over

    def candidates(
        self, minion_id: str, instance_id: str | None = None, region: str | None = None
    ) -> list[Candidate]:
        """By the instance's name, which is the minion id of all that hart and salt-cloud made; or by its id."""
        found: Sequence[Report]
        if instance_id is None:
            found = [one for one in self._listed(name=minion_id) if one.get(self.name_field) == minion_id]
        else:
            found = self._report(instance_id)
        return [self._candidate(report) for report in found]

    def _candidate(self, report: Report) -> Candidate:
        owner = tags.owner(report.get("tags") or [], self.master.owner)
        return Candidate(self._instance(report), report.get(self.name_field, ""), owner)

    def release(self, instance: Instance) -> None:
        """The tags that are not hart's stay."""
        for report in self._report(instance.instance_id):
            self._retag(report, [])

    # ending

    def terminate(self, instance: Instance) -> None:
        """
        Delete the instance until it is gone, for some three minutes: one that is new may refuse, or take no notice.

        A failure of the API itself is repeated as everywhere.
        """
        if self.id_pattern.fullmatch(instance.instance_id):
            retry.until_gone(lambda: self._terminate_once(instance.instance_id), self._sleep)

    def _terminate_once(self, instance_id: str) -> None:
        try:
            self._api.delete(f"{self.path}/{instance_id}")
            self._api.get(f"{self.path}/{instance_id}", self.field)
        except NotFound:
            return
        raise StillThere(f"{self.vendor}: {self.field} {instance_id} is still there after it was deleted")
