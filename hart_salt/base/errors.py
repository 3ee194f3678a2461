"""
The errors, named by what the caller does next.

Every message is one clear sentence (or a list of them) that a person can act on. No message contains a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HartError(Exception):
    """An error that hart reports as a sentence and not as a traceback."""


def kind_of(error: HartError) -> str:
    """Return the name of an error in the reference; a driver's own subclass has the name of its nearest class here."""
    return next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == __name__)


class Refused(HartError):
    """The request cannot be carried out as given, and nothing was changed: change the request."""


@dataclass(frozen=True)
class Fault:
    """One fault of the configuration: where it is, and what to do about it."""

    path: str  #: such as ``hart:roles:app:ec2:szie``
    problem: str  #: such as ``unknown setting, did you mean size?``

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ConfigError(Refused):
    """The configuration has faults, all of them in ``faults``: fix the configuration."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class EnvironmentFault(HartError):
    """A file, a disk, a limit, Salt's store or the coordination server prevents the work: fix it, and call again."""


class BrokenRecord(EnvironmentFault):
    """A record exists but cannot be used: remove it, or destroy the node. hart does not overwrite it."""

    def __init__(self, minion_id: str, message: str) -> None:
        self.minion_id = minion_id
        super().__init__(message)


class LeaseLost(HartError):
    """The call's lease was lost, or another call has taken the node: hart leaves it to that call, or to a sweep."""


class PeerError(HartError):
    """Another master of the nodes did not do what hart asked: see ``hart:masters``."""


class MasterDown(PeerError):
    """Another master does not answer: start it, or see ``masters_down``."""


class MasterRefuses(PeerError):
    """Another master answers, but cannot do what hart asks: the message names what to do there."""


class NodeFailed(HartError):
    """A node did not become a minion, at a stage that the caller knows. Its resources must be rolled back."""


class Interrupted(HartError):
    """A signal with the number ``signum``, or what counts as one, ended the run; unfinished work has been undone."""

    def __init__(self, signum: int, message: str) -> None:
        self.signum = signum
        super().__init__(message)


class DriverError(HartError):
    """A provider's API refused or failed. The subclasses say what the caller does next."""


class AuthError(DriverError):
    """The credentials are invalid or lack a permission: fix them. Retrying is pointless."""


class NotFound(DriverError):
    """The named resource does not exist. When deleting, that is a success."""


class InvalidRequest(DriverError):
    """The provider understood the request and refuses it: fix the settings."""


class Protected(InvalidRequest):
    """The provider protects the resource against deletion: keep it, or call ``hart.unprotect`` for a node."""


class QuotaExceeded(DriverError):
    """The account's limit is reached: raise the limit, or remove something."""


class NoCapacity(DriverError):
    """The provider has no capacity for this size in this place: try another zone, size or time."""


class RateLimited(DriverError):
    """Too many calls. ``retry_after`` is the number of seconds that the provider asks to wait, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TemporaryFailure(DriverError):
    """The provider failed and may recover soon. ``uncertain``: the call may have taken effect."""

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        self.uncertain = uncertain
        super().__init__(message)
