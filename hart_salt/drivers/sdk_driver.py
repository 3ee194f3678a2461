"""
The base of drivers on a library that blocks: what is the same whatever the vendor.

It imports no such library: it may be missing until the first verb that needs it.
"""

from __future__ import annotations

import abc
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

from hart_salt.base.errors import DriverError, InvalidRequest, Refused, TemporaryFailure
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.outage import Outage
from hart_salt.model import MasterInfo

P = TypeVar("P")
T = TypeVar("T")


class SdkDriver(Driver, Generic[P]):
    """One account. ``P`` is what the driver works with once the library is there."""

    #: what to install where the library cannot be imported
    needs: ClassVar[str]
    #: what an instance's id looks like: anything else would lead to another call, or to a delete of many
    id_pattern: ClassVar[re.Pattern[str]]

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master)
        self._account: Any = provider.account
        self._sleep = sleep
        self._made: P | None = None
        self._making = threading.Lock()

    @property
    def _parts(self) -> P:
        """Made once, when they are first needed. Raises ``Refused`` where the library is missing."""
        with self._making:
            if self._made is None:
                try:
                    self._made = self._make_parts()
                except ImportError as error:
                    raise Refused(
                        f"the driver {self.schema.driver} needs {self.needs}: salt-pip install {self.needs}"
                    ) from error
            return self._made

    @abc.abstractmethod
    def _make_parts(self) -> P:
        """Import the library, which may take a second or more, and make what needs it; no call yet."""

    def _is_id(self, text: str) -> bool:
        return self.id_pattern.fullmatch(text) is not None


class SdkApi:
    """How an account is asked with an SDK. Used from several threads."""

    def __init__(self, account: Any, sleep: Callable[[float], None] = time.sleep, outage: Outage | None = None) -> None:
        """
        Remember how to ask.

        account
            the provider's settings; ``api_timeout`` is seconds between two bytes of an answer
        sleep
            how to wait between two tries, and for what goes on at the vendor's
        outage
            how long an API that cannot be reached is waited for (default: like one that fails)
        """
        self._account = account
        self._sleep = sleep
        self._outage = outage
        self._lock = threading.Lock()


class Answers:
    """
    What a vendor says that stays the same while a call of hart lasts, asked for once. A failure is asked for again.

    Used from several threads: whoever comes second waits for what the first one finds.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._lock = threading.RLock()  # an answer may need another one

    def once(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return what ``ask`` returned for this key."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = ask()
            found: T = self._kept[key]
            return found


def kind_of(
    code: str, status: int, by_code: Mapping[str, type[DriverError]], by_status: Mapping[int, type[DriverError]]
) -> type[DriverError]:
    """
    Return what a refusal is, by the vendor's code, or by its status where the table does not have the code.

    A status that is not in its table either: the server's failure, or a request that it understood and refuses.
    """
    known = by_code.get(code) or by_status.get(status)
    return known or (TemporaryFailure if status >= 500 else InvalidRequest)


@contextmanager
def removing(what: str) -> Iterator[None]:
    """
    Remove something temporary in the block.

    what
        what it is, and its name: ``security group hart-1``

    Raises ``TemporaryFailure``, which says what is still there, for any failure.
    """
    try:
        yield
    except DriverError as error:
        raise TemporaryFailure(f"the temporary {what} could not be removed: {error}") from error
