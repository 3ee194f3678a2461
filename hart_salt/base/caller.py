"""
Who called hart, in words. They are shown and never decide anything.

What Salt shows a runner of who called it, measured on Salt 3007.16 and 3008.4:

======================== ===================================================================================
the call                 what there is
======================== ===================================================================================
``salt-run``             ``__user__``: the user of the process; ``sudo_alice`` if root ran it through sudo
salt-api, ``salt-run -a`` ``__user__``: the name that external authentication accepted
``publish.runner``       ``__user__``: the user of the master; only Salt's own frames have the minion's id
a reactor                ``__user__``: ``Reactor``; only Salt's own frames have the reaction's id and its SLS;
                         the tag of the event is nowhere
an orchestration         ``__user__`` and the keyword ``__pub_user``: who called the orchestration, also
                         ``Reactor``; only Salt's own frames have its SLS, the state's id and the job's id
``salt.parallel_runners`` ``__user__``: ``UNKNOWN``
======================== ===================================================================================

So the frames of the call are read. No argument, and so no event, can change what is in them. Their names are the same
in all supported releases; without them, hart says less.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hart_salt.base.text import one_line

REACTOR = "Reactor"  #: the user of Salt's reactor
SUDO = "sudo_"  #: how Salt begins the name of a user of sudo
PART = 100  #: the most characters of one name


@dataclass(frozen=True)
class Caller:
    """Who called a function of hart. Empty texts are unknown."""

    by: str = ""
    #: such as ``hart.create``
    function: str = ""


@dataclass(frozen=True)
class Path:
    """The way of a call through Salt, as its frames show it; an empty mapping or text is unknown."""

    #: the low data of the reaction
    reaction: Mapping[str, Any]
    #: the low data of the state, of an orchestration or of a state run
    state: Mapping[str, Any]
    #: the minion that called through ``peer_run``
    minion: str = ""


@dataclass(frozen=True)
class Given:
    """What the keywords of a call say of who called it, besides what Salt says."""

    #: of a job that hart started for a reactor: what hart passed to it
    by: object = None
    #: the tag of an event
    event: object = None


#: of the call in this thread. Salt can execute the module of a runner again while a function of it runs, and so replace
#: a variable there
given: contextvars.ContextVar[Given] = contextvars.ContextVar("hart_given", default=Given())  # noqa: B039 - it is frozen


@contextlib.contextmanager
def keywords(by: object, event: object) -> Iterator[None]:
    """Keep what the keywords of a call say, during the block."""
    token = given.set(Given(by, event))
    try:
        yield
    finally:
        given.reset(token)


def path_of(frame: FrameType | None) -> Path:
    """Return how Salt came to call the function of this frame; of nested orchestrations, the innermost."""
    reaction: Mapping[str, Any] = {}
    state: Mapping[str, Any] = {}
    minion = ""
    for module, function, names in _frames(frame):
        low = names.get("low")
        if not isinstance(low, Mapping):
            low = {}
        if (module, function) == ("salt.state", "call") and "__sls__" in low:
            state = state or low
        if (module, function) == ("salt.client.mixins", "low") and {"__state__", "__id__"} <= low.keys():
            reaction = low
        load = names.get("load")
        if function == "minion_runner" and isinstance(load, Mapping):
            minion = str(load.get("id", ""))
    return Path(reaction, state, minion)


def _frames(frame: FrameType | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the module, the function and the variables of Salt's frames, from the innermost."""
    while frame is not None:
        module, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if module.startswith("salt.") and function in ("call", "low", "minion_runner"):
            yield module, function, frame.f_locals
        frame = frame.f_back


def words(user: object, path: Path, event: object = None, opts: Mapping[str, Any] | None = None) -> str:
    """
    Return who called, such as ``alice (sudo), orchestration orch.deploy (job 20261130075001228978)``.

    ``user`` is Salt's ``__user__``, ``event`` a tag that the reaction's SLS passed, and ``opts`` the master's options.
    """
    parts = [_who(str(user or ""), path, opts or {})]
    state = path.state
    if jid := state.get("__orchestration_jid__"):
        parts.append(f"orchestration {_name(state['__sls__'])} (job {_name(jid)})")
    elif state:
        parts.append(f"state {_name(state['__sls__'])}")
    if event:
        parts.append(f"event {_name(event)}")
    return ", ".join(parts)


def _who(user: str, path: Path, opts: Mapping[str, Any]) -> str:
    if path.minion:
        return f"minion {_name(path.minion)}"
    if user == REACTOR:
        name, sls = path.reaction.get("__id__"), path.reaction.get("__sls__")
        return "reactor" + (f" {_name(name)}" if name else "") + (f" ({_name(sls)})" if sls else "")
    if user in ("", "UNKNOWN"):
        return "unknown"
    if user.startswith(SUDO):
        return f"{_name(user.removeprefix(SUDO))} (sudo)"
    # As root, salt-run becomes the user of the master, and Salt no longer looks for sudo.
    sudo = os.environ.get("SUDO_USER") if opts.get("__cli") == "salt-run" and user == opts.get("user") else None
    return f"{_name(sudo)} (sudo)" if sudo else _name(user)


def _name(value: object) -> str:
    """Return a name as one visible line. A long one is not cut, because a half secret could not be hidden."""
    return one_line(str(value), PART)


def in_job(said: object, user: object, opts: Mapping[str, Any]) -> str:
    """
    Return who called a job that hart started for a reactor: ``said``, which hart passed to it.

    Only the user of the master starts such jobs. Another user who passes the same words is named as well.
    """
    shown = one_line(str(said), 5 * PART)
    own = user in (opts.get("user"), "root")
    return shown if own else f"{shown}, called by {_name(user)}"
