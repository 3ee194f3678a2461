"""
The base class of drivers on a blocking library: what all vendors have in common.

It imports no such library: the library may be missing until the first verb that needs it.
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
    """One account. ``P`` is the type of the objects that need the library."""

    #: the package to install if the library cannot be imported
    needs: ClassVar[str]
    #: the form of an instance's id: any other text could become another call, or delete many instances
    id_pattern: ClassVar[re.Pattern[str]]

    def __init__(self, provider: Provider, master: MasterInfo, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(provider, master)
        self._account: Any = provider.account
        self._sleep = sleep
        self._made: P | None = None
        self._making = threading.Lock()

    @property
    def _parts(self) -> P:
        """The objects that need the library, made on first use. Raises ``Refused`` if the library is missing."""
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
        """Import the library, which may take a second or more, and make the objects that need it. Make no call."""

    def _is_id(self, text: str) -> bool:
        return self.id_pattern.fullmatch(text) is not None


class SdkApi:
    """The base class of a client for one account on an SDK. Safe for several threads."""

    def __init__(self, account: Any, sleep: Callable[[float], None] = time.sleep, outage: Outage | None = None) -> None:
        """
        Store the arguments; make no call.

        account
            the provider's settings; ``api_timeout`` is the seconds between two bytes of an answer
        sleep
            waits between two attempts, and for operations of the vendor
        outage
            how long to wait for an API that cannot be reached (default: as for one that fails)
        """
        self._account = account
        self._sleep = sleep
        self._outage = outage
        self._lock = threading.Lock()


class Answers:
    """
    A cache for answers that do not change during a call of hart. Failures are not cached.

    Safe for several threads: a second thread waits for the result of the first.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._lock = threading.RLock()  # one answer may need another

    def once(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return the result of ``ask`` for this key, and call it at most once."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = ask()
            found: T = self._kept[key]
            return found


def kind_of(
    code: str, status: int, by_code: Mapping[str, type[DriverError]], by_status: Mapping[int, type[DriverError]]
) -> type[DriverError]:
    """
    Return the error class of a refusal, by the vendor's code, or by its status if the table lacks the code.

    If both are unknown, a status of 500 and above is a ``TemporaryFailure`` and any other an ``InvalidRequest``.
    """
    known = by_code.get(code) or by_status.get(status)
    return known or (TemporaryFailure if status >= 500 else InvalidRequest)


@contextmanager
def removing(what: str) -> Iterator[None]:
    """
    Remove a temporary resource inside the block.

    what
        its kind and name, such as ``security group hart-1``

    Raises ``TemporaryFailure``, which names the resource that is still there, for any failure.
    """
    try:
        yield
    except DriverError as error:
        raise TemporaryFailure(f"the temporary {what} could not be removed: {error}") from error
