"""
Declare nodes in an orchestration: which exist, which do not, and how many a role has.

:depends: the Python package ``hart-salt``

These states run on the master, in an orchestration (``salt-run state.orchestrate``), beside ``salt.state`` and
``salt.runner``. They call the functions of the runner of the same machine; every change is a job of the master.

A state has changes only if it changed something, so ``onchanges`` works. With ``test=True`` it returns the plan and
changes nothing. If something failed, its result is False, and its comment says why.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hart_salt.operations.desired import Outcome
    from hart_salt.operations.presence import Seen

    # What Salt's loader and its state compiler add.
    __opts__: dict[str, Any] = {}
    __salt__: dict[str, Callable[..., Any]] = {}

log = logging.getLogger(__name__)

__virtualname__ = "hart"


def __virtual__() -> str | tuple[bool, str]:
    if globals()["__opts__"].get("__role") != "master":
        return False, "the states of hart run on the master, in an orchestration: salt-run state.orchestrate"
    return __virtualname__


def present(
    name: str,
    ids: str | list[str] | None = None,
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Make sure that nodes exist and are ready; create those that do not exist.

    A node that exists and is ready is left unchanged. It is compared with ``role``, ``provider``, ``region``, ``zone``
    and ``size``, if the state gives them, and never changed: if one of them differs, the result is False. A node whose
    instance is gone, and a node that a call left behind that died, is created again. If a node exists and is not ready
    for another reason, the result is False, the comment says what to do, and nothing is changed.

    name
        The id of the minion.

    ids
        The ids of several minions instead of ``name``: a list, or a text with commas or blanks between them. They are
        created side by side, in one call. (With Salt's own ``names``, one is created after the other.)

    role
        The role that the settings come from. Default: none.

    provider
        The configured provider. Default: the one that the configuration names, or the only configured one.

    region
        The region. Default: the one that the configuration names.

    config
        Path of hart's TOML file. Default: ``/etc/hart.toml``, if it exists.

    test
        True: return the plan and change nothing, as ``test=True`` for the whole orchestration does. Default: False.

    settings
        Any setting of a role, such as ``size`` or ``minion_config``. Do not pass a secret; see ``hart.create``.

    The changes have ``created``, with the facts of each new node by minion id.

    .. code-block:: yaml

        web1.example.com:
          hart.present:
            - role: app
            - size: s-2vcpu-4gb

        the databases:
          hart.present:
            - ids: [db1.example.com, db2.example.com]
            - role: db

    .. versionadded:: 2.0.0
    """
    given = {"role": role, "provider": provider, "region": region, "config": config, **settings}

    def work(plan: bool) -> Outcome:
        from hart_salt import arguments
        from hart_salt.operations import desired

        chosen = _ids("hart.present", name, ids)
        places = arguments.names(role=role, provider=provider, region=region)
        seen = _look(chosen, config, sure=not plan)
        return desired.present(seen, chosen, {**given, **places}, _call, test=plan)

    return _answer(name, test, work)


def absent(
    name: str, ids: str | list[str] | None = None, config: str | None = None, test: bool = False, **unknown: Any
) -> dict[str, Any]:
    """
    Make sure that nodes do not exist: no instance, no key and no record. Destroy those that exist.

    name
        The id of the minion.

    ids
        The ids of several minions instead of ``name``, as for ``hart.present``. They are destroyed side by side.

    config, test
        As for ``hart.present``.

    The changes have ``destroyed``, with the facts of each node by minion id.

    .. code-block:: yaml

        web1.example.com:
          hart.absent: []

        the old ones:
          hart.absent:
            - ids: [web2.example.com, web3.example.com]

    .. versionadded:: 2.0.0
    """

    def work(plan: bool) -> Outcome:
        from hart_salt import arguments
        from hart_salt.operations import desired

        arguments.refuse(unknown, of=absent)
        chosen = _ids("hart.absent", name, ids)
        return desired.absent(_look(chosen, config, sure=False), chosen, config, _call, test=plan)

    return _answer(name, test, work)


def scaled(
    name: str,
    role: str | None = None,
    count: int | None = None,
    min: int | None = None,
    max: int | None = None,
    provider: str | None = None,
    region: str | None = None,
    remove: str | list[str] = "newest",
    force: bool = False,
    cooldown: float = 0,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Make sure that a role has a number of nodes, as ``salt-run hart.scale`` does.

    name
        The role.

    role
        The role, instead of ``name``.

    count
        The number of nodes.

    min, max
        Instead of ``count``: the role keeps its number of nodes if that is at least ``min`` and at most ``max``.

    provider, region, remove, force, cooldown
        As for the runner function ``hart.scale``.

    config, test, settings
        As for ``hart.present``; ``settings`` apply to new nodes.

    The changes have ``nodes``, with the ``old`` and the ``new`` number, and ``created`` and ``destroyed``, with the
    facts of each node by minion id.

    .. code-block:: yaml

        app:
          hart.scaled:
            - min: 2
            - max: 5

        three databases:
          hart.scaled:
            - role: db
            - count: 3
            - remove: oldest

    .. versionadded:: 2.0.0
    """
    numbers = {"count": count, "min": min, "max": max}
    places = {"provider": provider, "region": region, "config": config}
    options = {"remove": remove, "force": force, "cooldown": cooldown}

    def work(plan: bool) -> Outcome:
        from hart_salt.operations import desired

        given = {"role": name if role is None else role, **numbers, **places, **options, **settings}
        return desired.scaled({key: one for key, one in given.items() if one is not None}, _call, test=plan)

    return _answer(name, test, work)


def fleet(
    name: str,
    fleets: str | list[str] | None = None,
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Make sure that a declared fleet is as it is declared, as ``salt-run hart.apply`` does.

    name
        The name of a fleet in ``hart:fleets``.

    fleets
        The names of several fleets instead of ``name``: a list, or a text with commas or blanks between them.

    force
        True: also do what would remove more than half of the nodes of a fleet. Default: False, which holds it.

    config, test
        As for ``hart.present``.

    The changes have ``created`` and ``destroyed``, with the facts of each node by minion id; a replaced node is in
    both. ``baked`` has the new image of each role that was baked. In a test, they have ``planned``: what would be done
    with each fleet, in this order. If a fleet is blocked or held, the result is False, and the comment says why. What
    waits for a window is no change.

    .. code-block:: yaml

        web:
          hart.fleet: []

        all of the shop:
          hart.fleet:
            - fleets: [web, worker]

    .. versionadded:: 2.0.0
    """

    def work(plan: bool) -> Outcome:
        from hart_salt import arguments
        from hart_salt.operations import desired

        arguments.refuse(unknown, of=fleet)
        names = list(dict.fromkeys(arguments.fleets("hart.fleet", name if fleets is None else fleets, ())))
        given = {"force": arguments.flag(force, "force") or None, "config": config}
        return desired.fleets(names, given, _call, test=plan)

    return _answer(name, test, work)


def _answer(name: str, test: Any, work: Callable[[bool], Outcome]) -> dict[str, Any]:
    """Do the work, and return its outcome as a state does; no exception leaves this function."""
    outcome = _outcome(test, work)
    changes, result = dict(outcome.changes), outcome.result
    state = {"name": name, "result": result, "changes": changes, "comment": outcome.comment}
    return {**state, "warnings": list(outcome.warnings)} if outcome.warnings else state


def _outcome(test: Any, work: Callable[[bool], Outcome]) -> Outcome:
    from hart_salt import arguments
    from hart_salt.base.errors import HartError
    from hart_salt.operations.desired import Outcome

    try:
        return work(bool(__opts__.get("test")) or arguments.flag(test))
    except HartError as error:
        return Outcome(False, str(error))
    except Exception as error:  # a state that raises shows a traceback, which may quote anything
        log.error("a state of hart failed: %s", type(error).__name__)  # noqa: TRY400 - see above
        return Outcome(False, f"a defect in hart: {type(error).__name__}; salt-run -l debug shows where")


def _ids(function: str, name: str, ids: Any) -> list[str]:
    from hart_salt import arguments

    return list(dict.fromkeys(arguments.ids(function, name if ids is None else ids, ())))


def _look(ids: Sequence[str], config: str | None, *, sure: bool) -> Seen:
    """
    Look at the nodes with these ids, as ``hart.show`` does.

    Raises ``Refused`` if hart cannot be used, for example because of a fault in its configuration.
    """
    from hart_salt.answer import answer
    from hart_salt.base.errors import Refused
    from hart_salt.operations.presence import Presence, Seen
    from hart_salt.result import Result

    def work(make: Callable[[str | None], Any]) -> Result:
        service = make(config)
        look = Presence(service.context, service.config.providers, service.driver).look(ids, sure=sure)
        return Result({"entries": look.entries, "gone": sorted(look.gone), "problems": list(look.problems)})

    found = answer(__opts__, work, config)
    if not found.ok:
        raise Refused(found.error)
    return Seen(found.data["entries"], frozenset(found.data["gone"]), found.data["problems"])


def _call(function: str, given: Mapping[str, Any]) -> Any:
    """Call a function of the runner as a state ``salt.runner`` does, and return what it returns."""
    own = {"__pub_user": globals().get("__user__"), "__orchestration_jid__": globals().get("__orchestration_jid__")}
    run = functools.partial(__salt__["saltutil.runner"], f"hart.{function}", full_return=True)
    done = run(kwarg=dict(given), **{name: value for name, value in own.items() if value is not None})
    return done.get("return") if isinstance(done, dict) else done
