"""
Errors, named by what the caller does next.

Every message is one clear sentence (or a list of them) that a person can act on, and holds no secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HartError(Exception):
    """Anything that hart reports as a sentence and not as a traceback."""


def kind_of(error: HartError) -> str:
    """The name that the reference has for an error; a driver's own kinds go by what they are a kind of."""
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == __name__)


class Refused(HartError):
    """The request cannot be carried out as given; nothing was touched. Change the request."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the configuration: where it stands, and what to do about it."""

    path: str  #: such as ``hart:roles:app:ec2:szie``
    problem: str  #: such as ``unknown setting, did you mean size?``

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ConfigError(Refused):
    """The configuration has faults; all that were found are in ``faults``. Mend the configuration."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class EnvironmentFault(HartError):
    """Something of this machine is in the way: a file, a disk, a limit, Salt's store. Fix that, and call again."""


class BrokenRecord(EnvironmentFault):
    """A record is there and cannot be used. Remove the record, or destroy the node; it is not overwritten."""

    def __init__(self, minion_id: str, message: str) -> None:
        self.minion_id = minion_id
        super().__init__(message)


class NodeFailed(HartError):
    """A node did not become a minion, at a stage that the caller knows. What it had has to be undone."""


class Interrupted(HartError):
    """A signal ended the run; what was under way has been undone. ``signum`` is the signal's number."""

    def __init__(self, signum: int, message: str) -> None:
        self.signum = signum
        super().__init__(message)


class DriverError(HartError):
    """A provider's API said no. The subclasses below say what the caller does next."""


class AuthError(DriverError):
    """The credentials do not work or do not suffice: fix them; trying again is pointless."""


class NotFound(DriverError):
    """What was named does not exist. When deleting, that is success."""


class InvalidRequest(DriverError):
    """The provider understood the request and refuses it: fix the settings."""


class QuotaExceeded(DriverError):
    """The account's limit is reached: raise the limit or remove something."""


class NoCapacity(DriverError):
    """The provider is out of this size in this place: try another zone, size or time."""


class RateLimited(DriverError):
    """Too many calls. ``retry_after`` is the provider's wish in seconds, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TemporaryFailure(DriverError):
    """The provider failed and may do better soon. ``uncertain``: the call may have taken effect."""

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        self.uncertain = uncertain
        super().__init__(message)
