"""
Create cloud instances as trusted Salt minions, and destroy them again.

:depends: the Python package ``hart-salt``

Configuration is the ``hart:`` key of the master config, the ``hart:`` key of the master's own pillar, and
``/etc/hart.toml``; see the documentation of hart-salt.

Every function returns a dictionary of the same shape. ``version`` and ``function`` say how to read it. ``nodes`` holds
the outcome of each node by minion id (a function that is not about nodes has another word, such as ``sizes``).
``problems`` lists sentences about what failed and concerns no single node, ``notes`` sentences that you need to know.
If something failed, ``salt-run`` exits with a code that is not 0, a ``salt.runner`` state is False, and the dictionary
has ``retcode``, and either ``error`` (nothing was done) or, under the id of each node that failed, ``result: False``
and ``error``. At a terminal, a table is printed instead, unless ``--out`` asks for another format.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import inspect
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import TextIO

    from hart_salt.base.caller import Caller
    from hart_salt.result import Result
    from hart_salt.service import Service

    MakeService = Callable[[str | None], Service]
    # What Salt's loader adds.
    __context__: dict[str, Any] = {}
    __opts__: dict[str, Any] = {}

log = logging.getLogger(__name__)

__virtualname__ = "hart"

INTERRUPTED = 130  # the exit code of a shell after Ctrl-C
#: marks the arguments of a call that a reactor started and that runs as a process of its own. It grants no rights: such
#: a call only does not wait for others, and fires an event when it ends
BACKGROUND = "__hart_background__"
#: marks such a call if it waits for its slot before it loads the rest of hart
QUEUES = "__hart_queues__"
#: holds who called such a call; it is only shown
BY = "__hart_by__"
#: the name of the file of a job that the engine has started; see ``job_files``
ENGINE = "__hart_engine__"
#: a keyword with which the SLS of a reaction passes the tag of its event, to be shown; Salt itself does not pass it
EVENT = "__event__"
#: the functions that take several ids
SEVERAL = ("create", "destroy", "protect", "unprotect", "start", "stop", "reboot", "resize", "set_tags", "extend")
#: marks a call that reads the master's files again
CURRENT = "__hart_current__"
DEFECT = 70  # the exit code of a defect in hart: EX_SOFTWARE of sysexits.h


def __virtual__() -> str | tuple[bool, str]:
    # Salt imports every runner on every salt-run: this finds the package without importing its dependencies.
    if importlib.util.find_spec("hart_salt") is None:
        return False, "the Python package hart-salt is not installed: salt-pip install its wheel or checkout"
    _make_place_for_jobs()
    return __virtualname__


def _make_place_for_jobs() -> None:
    """
    Create the directory in which Salt 3008 keeps a file for each salt-run; a master makes it when it first starts.
    """
    from pathlib import Path

    with contextlib.suppress(KeyError, OSError):
        Path(globals()["__opts__"]["cachedir"], "proc").mkdir(parents=True, exist_ok=True)


def _acts(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """
    Return ``function``, which changes something, with a process of its own for calls by a reactor.

    A reactor calls runners in threads of the master: they occupy one of its few workers, die silently with the master,
    and nobody sees their failure. There hart asks the master to start the job, as ``salt-run --async`` does, and
    reports the outcome as the event ``hart/<job>/result``, and in the log if it failed.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
        from hart_salt.base import caller

        marked = kwargs.pop(BACKGROUND, None) is True
        by, event, token = kwargs.pop(BY, None), kwargs.pop(EVENT, None), kwargs.pop(ENGINE, None)
        with caller.keywords(by if marked else None, event):
            if marked and token is not None:
                return _act_for_engine(function, args, kwargs, token)
            return _act(function, args, kwargs, marked=marked)

    return call


def _act(
    function: Callable[..., dict[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any], *, marked: bool
) -> dict[str, Any]:
    # Salt says who calls; it is checked first, because the arguments may come from an event, and so from any minion.
    if _from_reactor():
        return _begin(function, args, kwargs)
    if not marked:
        return function(*args, **kwargs)
    __context__[BACKGROUND] = True
    # A scale first looks whether another call changes the role, and then waits for its slot.
    __context__[QUEUES] = not kwargs.get("test") and function.__name__ not in ("scale", "replace", "apply")
    data = function(*args, **kwargs)
    _announce(f"hart.{function.__name__}", globals()["__jid__"], data)
    return data


def _act_for_engine(
    function: Callable[..., dict[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any], token: object
) -> dict[str, Any]:
    """Do the work of a job of the engine, which sees by its file when and how it has ended."""
    from hart_salt.inventory.job_files import JobFiles, outcome_of

    __context__[CURRENT] = True
    with JobFiles(__opts__["cachedir"]).held(token) as outcome:
        data = _act(function, args, kwargs, marked=True)
        outcome.update(outcome_of(data))
    return data


def _options() -> dict[str, Any]:
    """Return the master's options. A job of the engine uses ``hart:`` as the engine has just read it from the files."""
    if CURRENT not in __context__:
        return __opts__
    from hart_salt.master.configuration import with_current_hart

    return with_current_hart(__opts__)


@_acts
def create(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Create one or several nodes with the ids that you choose.

    minion_id
        The id of the new minion, or several ids separated by commas or blanks.

    role
        The role that the settings come from. Default: none; only the defaults of hart and of the provider apply.

    provider
        The configured provider that creates the instance. Default: the one that the configuration names, or the only
        configured one.

    region
        The region of the new instance. Default: the one that the configuration names.

    config
        Path of hart's TOML file. Default: ``/etc/hart.toml``, if it exists.

    test
        True: return the plan and change nothing. Default: False.

    settings
        Any setting of a role, such as ``size=``, ``minion_config=`` or ``apply=highstate``. Do not pass a secret as an
        argument: before hart runs, Salt has published all arguments in the process list, on its event bus and in its
        job cache. Put secrets into the pillar, or reference them in the configuration with ``sdb://``. If an argument
        holds a secret, the ``notes`` of the result name it.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create db1.example.com provider=do size=s-2vcpu-4gb

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        ids = arguments.ids("hart.create", minion_id, extra)
        arguments.refuse_count(settings)
        return service(config).by_hand.create(
            ids,
            **arguments.names(role=role, provider=provider, region=region),
            settings=_clean(settings),
            takes=arguments.parameters(create),
            test=arguments.flag(test),
        )

    return _report("create", work, config, settings)


@_acts
def create_role(
    role: str | None = None,
    *extra: Any,
    count: int = 1,
    provider: str | None = None,
    region: str | None = None,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Create nodes of a role; their ids follow the role's ``role_naming_scheme``.

    role
        The role; ``hart.list_roles`` lists the roles.

    count
        The number of nodes. They start in parallel; a node that fails does not affect the others. Default: 1.

    provider, region, config, test, settings
        As for ``hart.create``. Do not pass a secret as an argument.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create_role app count=3 provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        name = arguments.word("hart.create_role", "role", role, extra)
        return service(config).by_hand.create(
            None, role=name, count=arguments.count(count), **arguments.names(provider=provider, region=region),
            settings=_clean(settings), takes=arguments.parameters(create_role), test=arguments.flag(test),
        )  # fmt: skip

    return _report("create_role", work, config, settings)


@_acts
def create_master(
    minion_id: str | None = None,
    *extra: Any,
    authorize_key: str | None = None,
    grains: dict[str, Any] | None = None,
    hart_salt: str | None = None,
    pip_index: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Create a new salt-master in a cloud. Any machine with Salt can do this: it needs neither a running master nor a key.

    The machine gets salt-master, hart-salt, and salt-minion without a service and without a master (for ``salt-call``).

    hart rolls back whatever fails. ``hart.destroy`` removes the machine; ``hart.list_minions`` and ``hart.show`` show
    it.

    minion_id
        The id of the new master's own minion, and the name of the machine.

    authorize_key
        An OpenSSH public key line. Its owner can log in as root afterwards, and as the image's own user if it has one.
        Default: none; then only the image's own logins work.

    grains
        Grains of its minion, as a mapping; they override those of ``minion_config``. Default: none.

    hart_salt
        What ``salt-pip`` installs on the machine: the address of a wheel, as in
        ``hart-salt[all] @ https://…/hart_salt-….whl``, or a name in your own index, ``pip_index``. hart-salt is not on
        PyPI. Default: the hart-salt of this machine, with the dependencies for the new master's cloud.

    pip_index
        Address of the Python package index, with https. Default: PyPI, or what the image's pip is configured with.

    provider, region, config, test
        As for ``hart.create``.

    settings
        Any setting of a node except ``apply`` and ``drain``, such as ``size=``, ``minion_config=``, or ``script=``,
        which runs on the machine as root at the end. ``salt_version`` can be any version in the repository. Default:
        the newest version in the release series of this machine's Salt. Do not pass a secret as an argument; see
        ``hart.create``.

    Returns a dictionary by id, as ``hart.create`` does, with ``ssh_host_key_fingers`` added and with
    ``master_key_finger`` instead of ``minion_key_finger``. ``master_key_finger`` is the value of ``master_finger`` for
    the new master's minions. No events are fired.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create_master salt.example.com provider=do authorize_key="$(cat ~/.ssh/id_ed25519.pub)"

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        name = arguments.word("hart.create_master", "id", minion_id, extra)
        options = {"authorize_key": authorize_key, "grains": grains, "hart_salt": hart_salt, "pip_index": pip_index}
        return service(config).create_master(
            name,
            **arguments.names(provider=provider, region=region),
            options=options,
            settings=_clean(settings),
            takes=arguments.parameters(create_master),
            test=arguments.flag(test),
        )

    given = {**settings, "grains": grains, "pip_index": pip_index, "hart_salt": hart_salt}
    return _report("create_master", work, config, given)


@_acts
def destroy(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    status: str | None = None,
    yes: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Destroy nodes: the instance, its key and its record. This is safe to repeat.

    minion_id
        The id of the node, or several ids separated by commas or blanks. Globs are not expanded.

    role, provider, region, status
        Destroy all nodes that match, instead of those with the given ids. ``status`` is as in ``hart.list_minions``.
        ``role=app,region=nyc3`` is the same as ``role=app region=nyc3``. Such a call needs ``yes=True``; without it,
        the plan is returned, nothing is changed, and the call fails. It is refused if no node matches, and if the list
        of the nodes is incomplete, for example because a provider does not answer.

    yes
        True: destroy the nodes that match. It is not needed for ids. Default: False.

    config, test
        As for ``hart.create``.

    Returns a dictionary by minion id. ``notes`` names volumes that stay at the provider.

    CLI Example:

    .. code-block:: bash

        salt-run hart.destroy web1.example.com,web2.example.com
        salt-run hart.destroy role=app region=nyc3 test=True
        salt-run hart.destroy role=app region=nyc3 yes=True

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=destroy)
        selector = arguments.selector(role=role, provider=provider, region=region, status=status)
        minion_ids = arguments.ids_or_selector("hart.destroy", minion_id, extra, selector)
        plans, confirmed = arguments.flag(test), arguments.flag(yes, "yes")
        if selector:
            return service(config).by_hand.destroy_selected(selector, test=plans, yes=confirmed)
        return service(config).by_hand.destroy(minion_ids, test=plans)

    return _report("destroy", work, config, unknown)


@_acts
def protect(
    minion_id: str | list[str] | None = None, *extra: Any, config: str | None = None, test: bool = False, **unknown: Any
) -> dict[str, Any]:
    """
    Protect nodes: ``hart.destroy``, ``hart.scale``, ``hart.replace`` and ``hart.sweep`` keep them.

    The record of the node says it, and a tag or label of its instance; where the provider has a deletion protection of
    its own, hart turns that on as well (EC2, Compute Engine and Hetzner). One of them is enough: a lost record does not
    end the protection. To destroy the node, call ``hart.unprotect`` first. This is safe to repeat, and it completes a
    protection that is not complete.

    minion_id
        The id of the node, or several ids separated by commas or blanks. The nodes must be ready.

    config
        As for ``hart.create``.

    test
        True: return what would be done and change nothing. Default: False.

    Returns, under the id of each node, ``result``, ``changed`` and ``protected``; after a failure, ``error``. With
    ``test``, ``action`` is ``protect`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.protect db1.example.com,db2.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=protect)
        ids = arguments.ids("hart.protect", minion_id, extra)
        return service(config).protect(ids, on=True, test=arguments.flag(test))

    return _report("protect", work, config, unknown)


@_acts
def unprotect(
    minion_id: str | list[str] | None = None, *extra: Any, config: str | None = None, test: bool = False, **unknown: Any
) -> dict[str, Any]:
    """
    Remove the protection of nodes: from the record, from the instance, and the provider's own.

    This is safe to repeat. It also removes a deletion protection that was turned on without hart, at EC2 the stop
    protection, too, which keeps the instance from being terminated as well.

    minion_id
        The id of the node, or several ids separated by commas or blanks.

    config
        As for ``hart.create``.

    test
        True: return what would be done and change nothing. Default: False.

    Returns the same as ``hart.protect``; with ``test``, ``action`` is ``unprotect`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.unprotect db1.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=unprotect)
        ids = arguments.ids("hart.unprotect", minion_id, extra)
        return service(config).protect(ids, on=False, test=arguments.flag(test))

    return _report("unprotect", work, config, unknown)


@_acts
def import_minion(
    minion_id: str | None = None,
    *extra: Any,
    provider: str | None = None,
    instance_id: str | None = None,
    region: str | None = None,
    role: str | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Bring an existing minion under management, whether hart, salt-cloud or a person created it.

    hart finds its instance at the provider, adds the tags that hart's own instances have, and writes a record. It
    changes nothing else: neither the machine nor its key. Afterwards the minion is a node like any other, and
    ``hart.destroy`` destroys it. This is safe to repeat: a minion that is already imported unchanged is a success.

    The import is refused, and nothing is changed, if this master has not accepted the minion's key; if no instance or
    more than one can be this minion's; if the instance carries the tag of another hart master, or belongs to another
    node; or if it has none of the addresses that the minion itself reports. If the minion does not answer, its
    addresses are not compared, and the ``notes`` of the result say so.

    minion_id
        The id of the minion.

    provider
        The configured provider that has its instance. Default: the one that the configuration names, or the only
        configured one.

    instance_id
        The provider's id of the instance. Default: hart finds the instance by its name. At DigitalOcean and Hetzner
        the name, at EC2 the tag ``Name``, and at Vultr the label must be the minion id. At Compute Engine the name must
        be the one that hart or hart-salt derives from the id, the id itself, or its first label.

    region
        Search only this region. Default: all regions.

    role
        One of the configured roles. Default: the role in its tags, or the configured role that its grain ``roles``
        names, if there is one.

    config
        As for ``hart.create``.

    test
        True: return what would be done and change nothing. Default: False.

    Returns a dictionary by minion id, with ``changed`` and the fields that ``hart.create`` returns for a node.

    CLI Example:

    .. code-block:: bash

        salt-run hart.import_minion db1.example.com provider=do test=True
        salt-run hart.import_minion db1.example.com provider=ec2 instance_id=i-0123456789abcdef0 role=db

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=import_minion)
        from hart_salt.migration.match import ImportRequest

        name = arguments.word("hart.import_minion", "id", minion_id, extra)
        names = arguments.names(provider=provider, instance_id=instance_id, region=region, role=role)
        empty = [word for word, value in names.items() if value == ""]
        if empty:
            from hart_salt.base.errors import Refused

            raise Refused(f"{empty[0]} must not be empty; leave it out where nothing is meant")
        request = ImportRequest(name, **{**names, "provider": names["provider"] or ""})
        return service(config).by_hand.import_minion(request, test=arguments.flag(test))

    return _report("import_minion", work, config, unknown)


@_acts
def import_minions(
    file: str | None = None,
    *extra: Any,
    provider: str | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Import all minions of the original hart's own store, each as ``hart.import_minion`` does.

    Region, role and instance id come from the file where they are still correct. A minion that cannot be imported does
    not affect the others.

    file
        The original hart's store of minions. Default: the file that the environment variable ``HART_MINION_STORE``
        names, as for hart, otherwise ``/var/lib/hart/minions.json``.

    provider
        The configured provider of all of them. Default: for each minion the provider that has the name which hart used,
        such as ``do``; otherwise the only provider with that driver.

    config
        As for ``hart.create``.

    test
        True: return what would be done and change nothing. Default: False.

    Returns a dictionary by minion id, as ``hart.import_minion`` does; each minion that failed has ``result: False``
    and ``error``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.import_minions test=True
        salt-run hart.import_minions /var/lib/hart/minions.json

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=import_minions)
        from hart_salt.migration.hart_store import default_file

        path = default_file() if file is None else arguments.word("hart.import_minions", "file", file, extra)
        return service(config).by_hand.import_minions(
            path, **arguments.names(provider=provider), test=arguments.flag(test)
        )

    return _report("import_minions", work, config, unknown)


def from_salt_cloud(
    directory: str | None = None, *extra: Any, map: str | None = None, **unknown: Any
) -> dict[str, Any]:
    """
    Translate salt-cloud's configuration: print an equivalent ``hart:`` section. This changes nothing.

    It prints a file for ``master.d``: each provider of DigitalOcean, EC2, Compute Engine and Vultr becomes a provider
    of hart, and each profile becomes a role. Comments list by name what has no equivalent, and the commands for the
    machines of maps. A fault of one setting or one file affects nothing else. No secret is shown: the section refers
    to each secret where it already is with ``sdb://salt_cloud/…``, by Salt's own sdb driver ``yaml``, whose profile is
    printed as well.

    directory
        Salt's configuration directory, with ``cloud``, ``cloud.providers``, ``cloud.profiles``, and the directories of
        the same names ending in ``.d``. Default: the directory of the master's config file.

    map
        A map: its path, or its name in ``cloud.maps.d``. Default: all maps in that directory.

    Returns the text. If ``--out`` asks for another format, it returns a dictionary with ``config``, ``notes``, and the
    commands, ``create`` and ``import``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.from_salt_cloud
        salt-run hart.from_salt_cloud /etc/salt map=web.map

    .. versionadded:: 1.0.0
    """
    as_text = _prints_text()

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, from_salt_cloud)
        from hart_salt.result import Result
        from hart_salt.unconfigured import from_salt_cloud as translate

        names = arguments.names(directory=directory, map=map)
        made = translate(__opts__, names["directory"], names["map"])
        data = made.data()
        return Result({"text": made.text()}) if as_text else Result(data, notes=data["notes"])

    data = _report("from_salt_cloud", work, None, unknown)
    return {"outputter": "txt", "data": data["text"]} if "text" in data else data


@_acts
def add_ip(
    minion_id: str | None = None,
    *extra: Any,
    kind: str | None = None,
    ip: str | None = None,
    vpc: str | None = None,
    reboot: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Add another IPv4 address to a running node: at its provider, and on the node through Salt.

    The address works at once and after every boot; the node's other network settings are left alone. If the call fails
    or is interrupted, hart rolls it back. This is safe to repeat: if the address is already complete, the call succeeds
    and changes nothing.

    minion_id
        The id of the node.

    kind
        ``reserved``: a reserved address of the account, which remains the account's. ``additional``: an address that
        the provider picks and bills with the instance; a node that already has one keeps it. ``private``: an address in
        a private network. Default: ``reserved``, if ``ip`` is given. ``vultr`` supports all three. ``do`` supports
        reserved addresses, one per droplet; DigitalOcean forwards their traffic itself, and nothing is configured on
        the node. Other drivers support none.

    ip
        The reserved address. Only with ``kind=reserved``.

    vpc
        The id of the private network. Only with ``kind=private``. Default: the only network of the region.

    reboot
        True: the provider may restart the node, which Vultr does to attach a private network. Default: False; an
        address that needs a restart is then refused.

    config
        As for ``hart.create``.

    test
        True: return what would be done and change nothing. Default: False.

    Returns, under the node's id, ``result``, ``kind``, ``ip``, ``changed``, ``interface`` (None if the node has nothing
    to configure) and ``notes``; after a failure, ``error``. With ``test``, ``action`` is ``add``, ``configure`` or
    ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.add_ip web1.example.com ip=203.0.113.7
        salt-run hart.add_ip web1.example.com kind=private reboot=True

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=add_ip)
        name = arguments.word("hart.add_ip", "id", minion_id, extra)
        request = arguments.address_request(**arguments.names(kind=kind, ip=ip, vpc=vpc))
        return service(config).add_ip(name, request, reboot=arguments.flag(reboot, "reboot"), test=arguments.flag(test))

    return _report("add_ip", work, config, unknown)


@_acts
def remove_ip(
    minion_id: str | None = None,
    *extra: Any,
    ip: str | None = None,
    reboot: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Remove an additional address from a node: on the node through Salt, then at its provider. This is safe to repeat.

    A reserved address stays in the account. ``hart.destroy`` does this by itself: an additional address ends with its
    node, and a reserved address becomes free again.

    minion_id
        The id of the node.

    ip
        The address. An address that the node does not have is a success; the addresses that the node was created with
        are refused.

    reboot, config, test
        As for ``hart.add_ip``.

    Returns the same as ``hart.add_ip``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.remove_ip web1.example.com ip=203.0.113.7

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=remove_ip)
        name = arguments.word("hart.remove_ip", "id", minion_id, extra)
        flags = {"reboot": arguments.flag(reboot, "reboot"), "test": arguments.flag(test)}
        return service(config).remove_ip(name, arguments.ipv4(ip), **flags)

    return _report("remove_ip", work, config, unknown)


@_acts
def start(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    timeout: float | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Start nodes that were stopped, by the provider's API, and wait until their minions answer a ``test.ping``.

    A node that runs already is a success with ``changed: False``. If the minion does not answer in time, the node stays
    started, and the call fails.

    minion_id
        The id of the node, or several ids separated by commas or blanks. Globs are not expanded.

    timeout
        The seconds to wait for each minion. Default: the setting ``start_timeout`` of its role.

    config, test
        As for ``hart.create``.

    Returns a dictionary by minion id: ``result``, ``changed``, ``state``, ``size``, ``public_ip``, ``private_ip``,
    ``seconds`` and ``notes``; after a failure, ``error``. At some providers, a node has another public address after
    its start. With ``test``, ``action`` is ``start`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.start web1.example.com,web2.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=start)
        ids, wait = arguments.ids("hart.start", minion_id, extra), arguments.timeout(timeout)
        return service(config).everyday.start(ids, timeout=wait, test=arguments.flag(test))

    return _report("start", work, config, unknown)


@_acts
def stop(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Stop nodes, by the provider's API. Their keys, records and disks stay; most providers bill a stopped node as before.

    The operating system shuts down first, except at Vultr, whose API can only cut the power. ``hart.scale`` counts a
    stopped node, and ``hart.sweep`` does not touch it. A node that is stopped already is a success with
    ``changed: False``.

    minion_id
        As for ``hart.start``.

    force
        True: cut the power at once, without a shutdown. Default: False.

    config, test
        As for ``hart.create``.

    Returns the same as ``hart.start``. With ``test``, ``action`` is ``stop`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.stop web1.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=stop)
        ids = arguments.ids("hart.stop", minion_id, extra)
        return service(config).by_hand.stop(ids, force=arguments.flag(force, "force"), test=arguments.flag(test))

    return _report("stop", work, config, unknown)


@_acts
def reboot(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    force: bool = False,
    timeout: float | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Restart nodes, by the provider's API, and wait until their minions answer a ``test.ping`` on the new boot.

    This also helps if a minion does not answer any more. A node that is stopped is refused: ``hart.start`` starts it.

    minion_id
        As for ``hart.start``.

    force
        True: cut the power instead of a restart by the operating system, where the provider has both (``do``,
        ``hetzner``). Default: False.

    timeout, config, test
        As for ``hart.start``.

    Returns the same as ``hart.start``. With ``test``, ``action`` is ``reboot``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.reboot web1.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=reboot)
        ids, wait = arguments.ids("hart.reboot", minion_id, extra), arguments.timeout(timeout)
        flags = {"force": arguments.flag(force, "force"), "test": arguments.flag(test)}
        return service(config).everyday.reboot(ids, timeout=wait, **flags)

    return _report("reboot", work, config, unknown)


@_acts
def resize(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    size: str | None = None,
    timeout: float | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Change the size of nodes: stop them, change the size, start them, and wait until their minions answer.

    If a step fails or the call is interrupted, hart goes back to the old size and starts the node. For that, the disk
    stays as it is: it does not grow with the size. Vultr can only upgrade an instance, with its disk, so hart cannot go
    back there. A node that is off stays off.

    The call is refused, and nothing is changed, if the size does not exist in the region or is the present one, if its
    disk is smaller, or if a rule of the provider is broken, for one of the nodes.

    minion_id
        As for ``hart.start``.

    size
        The new size; ``hart.list_sizes`` shows the names.

    timeout, config
        As for ``hart.start``.

    test
        True: return what would be done, with the prices, and change nothing. Default: False.

    Returns the same as ``hart.start``, and ``before``, the old size. With ``test``, ``action`` is ``resize``;
    ``monthly_price`` and ``monthly_price_before`` are in ``currency``, ``restarts`` says whether the node is restarted,
    and ``can_be_undone`` whether it can go back to its old size.

    CLI Example:

    .. code-block:: bash

        salt-run hart.resize db1.example.com size=s-2vcpu-4gb test=True
        salt-run hart.resize db1.example.com size=s-2vcpu-4gb

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=resize)
        ids, wait = arguments.ids("hart.resize", minion_id, extra), arguments.timeout(timeout)
        return service(config).by_hand.resize(ids, arguments.size(size), timeout=wait, test=arguments.flag(test))

    return _report("resize", work, config, unknown)


@_acts
def set_tags(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    tags: str | list[str] | dict[str, str] | None = None,
    remove: str | list[str] | None = None,
    config: str | None = None,
    test: bool = False,
    **pairs: Any,
) -> dict[str, Any]:
    """
    Set and remove tags of existing nodes at their provider, as the setting ``tags`` has them for new ones.

    All other tags stay. hart's own tags, whose names begin with ``hart``, are refused. At DigitalOcean and Vultr, whose
    tags have no values, ``team=blue`` is the tag ``team:blue``. At Hetzner and Compute Engine it is a label.

    minion_id
        As for ``hart.start``.

    tags
        More tags: names without a value, as a list or separated by commas, or a mapping. At Compute Engine, a tag
        without a value is a network tag. Default: none.

    remove
        The names of the tags to remove, as a list or separated by commas. An absent tag is a success. Default: none.

    pairs
        Any other ``name=value`` is a tag.

    config, test
        As for ``hart.create``.

    Returns a dictionary by minion id: ``result``, ``changed``, ``tags`` (the user's tags after the call) and
    ``before``; after a failure, ``error``. With ``test``, ``action`` is ``set_tags`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.set_tags web1.example.com,web2.example.com team=blue stage=test
        salt-run hart.set_tags web1.example.com tags=urgent remove=stage

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        ids = arguments.ids("hart.set_tags", minion_id, extra)
        change = arguments.tag_change(tags, remove, pairs)
        return service(config).everyday.set_tags(ids, change, test=arguments.flag(test))

    return _report("set_tags", work, config, pairs)


@_acts
def extend(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    duration: str | float | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Move the end of nodes that end by themselves (setting ``ttl``), or remove it.

    The new end is the present one and the duration; if the present end has passed, it counts from now. Each call
    extends the life of the nodes again. A node without an end is refused, and then nothing is changed for any node.

    minion_id
        As for ``hart.start``. Several ids can also be separated by blanks.

    duration
        How much later the nodes end, such as ``4h``, ``30d`` or ``1h30m``, or a number of seconds; ``never`` removes
        the end. It is the last argument, or ``duration=4h``.

    config, test
        As for ``hart.create``.

    Returns a dictionary by minion id: ``result``, ``changed``, ``ends`` and ``before``, which are the new and the old
    end, null for none; after a failure, ``error``. With ``test``, ``action`` is ``extend`` or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.extend ci1.example.com 4h
        salt-run hart.extend ci1.example.com,ci2.example.com 2d test=True
        salt-run hart.extend ci1.example.com never

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=extend)
        ids, extension = arguments.extension(minion_id, extra, duration)
        return service(config).everyday.extend(ids, extension, test=arguments.flag(test))

    return _report("extend", work, config, unknown)


@_acts
def scale(
    role: str | None = None,
    *extra: Any,
    count: int | None = None,
    delta: int | None = None,
    min: int | None = None,
    max: int | None = None,
    cooldown: float = 0,
    provider: str | None = None,
    region: str | None = None,
    remove: str | list[str] = "newest",
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Scale a role to a number of nodes. This is safe to repeat: a role that has that number is left unchanged.

    Only one call at a time changes the fleet of a role; a second call waits for the first. A call by a reactor does not
    wait: it returns and says that another call is running.

    role
        The role; ``hart.list_roles`` lists the roles.

    count
        The number of nodes to have. Stopped nodes count, and so do nodes that other calls are creating.

    delta
        Instead of ``count``: how many nodes to add, or, if negative, to remove.

    min, max
        With ``delta``: no node is removed below ``min`` (default: 0), and none is added above ``max`` (default: no
        limit). A bound never reverses the direction: four nodes with ``delta=+1 min=8`` become five.
        Without ``count`` and ``delta``: add nodes if there are fewer than ``min``, and remove nodes if there are more
        than ``max``.

    cooldown
        Seconds after a change of the role's fleet during which nothing is changed again. Default: 0.

    provider, region
        Count and change only the nodes of this provider and this region. Default: all nodes of the role; the
        configuration decides where new nodes go.

    remove
        Which nodes to remove first: ``newest``, ``oldest``, or ids separated by commas. Default: ``newest``. If the
        role sets ``drain``, a node is drained first, and is kept if that fails.

    force
        True: remove the nodes even if draining fails. Default: False.

    config, test, settings
        As for ``hart.create``; ``settings`` apply to new nodes. Do not pass a secret as an argument.

    Returns a dictionary with ``role``, the numbers ``before`` and ``after``, ``changed``, and, by minion id,
    ``created``, ``destroyed`` and ``kept`` (nodes that could not be drained); or a ``note`` that says why nothing was
    changed.

    CLI Example:

    .. code-block:: bash

        salt-run hart.scale app count=4
        salt-run hart.scale app delta=+2 max=10 cooldown=300
        salt-run hart.scale app min=2 max=5

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        name = arguments.word("hart.scale", "role", role, extra)
        wanted = arguments.target_size(count=count, delta=delta, min=min, max=max)
        order = arguments.order(name, provider, region, force, test, settings, of=scale)
        names = arguments.names(remove=",".join(remove) if isinstance(remove, list) else remove)
        return service(config).by_hand.scale(
            order,
            wanted,
            remove=names["remove"] or "newest",
            cooldown=arguments.seconds("cooldown", cooldown),
            wait=_may_wait(),
        )

    return _report("scale", work, config, settings)


@_acts
def replace(
    role: str | None = None,
    *extra: Any,
    batch: int = 1,
    provider: str | None = None,
    region: str | None = None,
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Replace all nodes of a role, a few at a time: new nodes become ready before the same number of old ones is removed.

    It stops at the first failure. By then each old node is either still there or replaced by a ready one.

    role
        The role; ``hart.list_roles`` lists the roles.

    batch
        How many nodes to replace at a time. Default: 1.

    provider, region
        Replace only the nodes of this provider and this region. Default: the provider that the configuration names, or
        the only one; all regions.

    force, config, test, settings
        As for ``hart.scale``. Do not pass a secret as an argument.

    Returns the same as ``hart.scale``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.replace app batch=2

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        chosen = arguments.selector(role=role, provider=provider, region=region)
        name = arguments.word("hart.replace", "role", chosen.role, extra)
        order = arguments.order(name, chosen.provider, chosen.region, force, test, settings, of=replace)
        return service(config).by_hand.replace(order, arguments.whole("batch", batch, 1) or 1, wait=_may_wait())

    return _report("replace", work, config, settings)


def plan(
    fleet: str | list[str] | None = None, *extra: Any, config: str | None = None, **unknown: Any
) -> dict[str, Any]:
    """
    Show what differs between declared fleets and their nodes, and what ``hart.apply`` would do. Nothing is changed.

    The exit code is 0 if there is nothing to do, and 3 if there is something, also if it waits for a window or if a
    fleet is blocked.

    fleet
        The name of a fleet in ``hart:fleets``, or several names separated by commas. Default: all fleets, and the nodes
        outside of fleets whose ``ttl`` has ended.

    config
        As for ``hart.create``.

    Returns ``fleets``: under the name of each one ``state`` (``steady``, ``changing``, ``blocked`` or ``held``) with
    ``why``, the number ``wanted``, ``load``, which says what autoscaling makes of the load, the number of ``nodes`` in
    each state, and the actions: ``actions`` are done now, in this order, ``following`` are done by the same call after
    them, and ``later`` have to wait, with ``why`` and ``since``. Each action has a ``reason`` and prices per month. The
    action ``bake`` makes a new image of the role (``bake_after``); it changes no node.

    CLI Example:

    .. code-block:: bash

        salt-run hart.plan
        salt-run hart.plan web

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=plan)
        return service(config).fleets.plan(arguments.fleets("hart.plan", fleet, extra))

    return _report("plan", work, config, unknown)


@_acts
def apply(
    fleet: str | list[str] | None = None,
    *extra: Any,
    force: bool = False,
    waves: int | None = None,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Make declared fleets what their declarations say: create, repair, replace and remove nodes.

    It works in waves. Each wave looks at everything and changes at most ``disruption:at_once`` nodes; nodes are drained
    before they go. It ends when nothing is left that can be done now. It is safe to interrupt it and to call it again.

    fleet
        The name of a fleet in ``hart:fleets``, or several names separated by commas. Default: all fleets, and the nodes
        outside of fleets whose ``ttl`` has ended.

    force
        True: also do what would remove more than half of the nodes of a fleet. Default: False, which holds it.

    waves
        The most waves. Default: as many as are needed.

    config
        As for ``hart.create``.

    test
        True: return the plan, as ``hart.plan`` does, with the exit code 0. Default: False.

    Returns ``fleets`` as ``hart.plan`` does, with what is left to do, and ``nodes``: the outcome of each node that was
    created or destroyed. If a role was baked because of ``bake_after``, ``bakes`` has the outcome as ``hart.bake``
    returns it, by role. It fails if a node or a bake fails, and if a fleet is blocked or held.

    CLI Example:

    .. code-block:: bash

        salt-run hart.apply
        salt-run hart.apply web

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=apply)
        names = arguments.fleets("hart.apply", fleet, extra)
        forced, most = arguments.flag(force, "force"), arguments.whole("waves", waves, 1)
        if arguments.flag(test):
            return service(config).fleets.plan(names, code=0, force=forced)
        return service(config).fleets.apply(names, force=forced, waves=most, wait=_may_wait())

    return _report("apply", work, config, unknown)


def fleets(
    fleet: str | list[str] | None = None, *extra: Any, config: str | None = None, **unknown: Any
) -> dict[str, Any]:
    """
    Show the state of each declared fleet.

    fleet
        The name of a fleet in ``hart:fleets``, or several names separated by commas. Default: all fleets.

    config
        As for ``hart.create``.

    Returns the same as ``hart.plan``. ``state`` is ``steady`` (nothing can be done now), ``changing``, ``blocked`` (and
    ``why`` says what to do) or ``held`` (by ``hart.hold``, or because too many nodes would be removed).

    CLI Example:

    .. code-block:: bash

        salt-run hart.fleets

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=fleets)
        return service(config).fleets.states(arguments.fleets("hart.fleets", fleet, extra))

    return _report("fleets", work, config, unknown)


@_acts
def hold(fleet: str | None = None, *extra: Any, config: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    Hold a declared fleet: neither the engine nor ``hart.apply`` changes it until ``hart.unhold``.

    A call that is changing the fleet at this moment is not interrupted. ``hart.scale`` and ``hart.destroy`` still work.

    fleet
        The name of a fleet in ``hart:fleets``.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.hold web

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=hold)
        return service(config).fleets.hold(arguments.fleet("hart.hold", fleet, extra))

    return _report("hold", work, config, unknown)


@_acts
def unhold(fleet: str | None = None, *extra: Any, config: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    End the hold of a declared fleet. This is safe to repeat.

    fleet
        The name of a fleet in ``hart:fleets``.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.unhold web

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=unhold)
        return service(config).fleets.unhold(arguments.fleet("hart.unhold", fleet, extra))

    return _report("unhold", work, config, unknown)


@_acts
def sweep(
    *extra: Any,
    provider: str | None = None,
    grace: float = 3600,
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Find and remove orphans: what a crash left behind.

    Orphans are instances, keys and records that no longer belong together, and temporary keys and firewalls. hart needs
    no memory of the crash to find them. It never removes resources that carry another master's tag or none; ready nodes
    whose instance exists; anything that a running operation is working on; nodes that ``keep_failed`` kept; or a minion
    that answers, even one that was never completed. A node whose instance is gone is removed only after several lists,
    over 15 seconds, have missed it. Each create and scale first removes what dead operations left, as far as this
    machine knows that they are dead; ``hart.sweep`` also finds everything else.

    Only one sweep runs at a time, on this machine or, with ``coordination``, in all masters. A second one changes
    nothing and returns only ``note``, which is not an error.

    It also repairs what lives. A node that became ready but was never sealed is sealed through Salt. If an instance has
    no record but its minion's key is accepted, the record is rebuilt from the instance's tags. If many records are
    missing at once (at least 5 nodes, or a tenth of all), the record store seems to be lost: nothing is removed without
    ``force``.

    provider
        Sweep only this provider. Default: all configured providers.

    grace
        Seconds. Younger resources are kept unless their operation is known to be dead, because another master with the
        same key may be working on them. Default: 3600.

    force
        True: remove orphans even if the records seem to be lost. Default: False.

    config
        As for ``hart.create``.

    test
        True: show what would be done and change nothing. Default: False.

    Returns a dictionary with the lists ``removed`` (with ``test``: ``would_remove``) and ``kept``, and, if not empty,
    ``rebuilt`` (``would_rebuild``), ``sealed`` (``would_seal``), ``failed`` and ``errors``. If the records seem to be
    lost, ``lost`` says so in a sentence.

    CLI Example:

    .. code-block:: bash

        salt-run hart.sweep test=True

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, sweep)
        names = arguments.names(provider=provider)
        return service(config).sweep(
            **names,
            grace=arguments.seconds("grace", grace),
            test=arguments.flag(test),
            force=arguments.flag(force, "force"),
        )

    return _report("sweep", work, config, unknown)


def list_minions(
    *extra: Any,
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    status: str | None = None,
    ping: bool = True,
    sort: str | None = None,
    columns: str | list[str] | None = None,
    watch: float | None = None,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    List this master's nodes as the cloud, the records, the key store and the minions themselves report them.

    On a terminal the result is a table, unless ``--out`` asks for another format.

    role, provider, region, status
        Show only nodes that match. Default: all. ``role=app,region=nyc3`` is the same as ``role=app region=nyc3``.

    ping
        Whether to ping the minions; a minion that is down costs some seconds. Default: True.

    sort
        ``id``, ``status``, ``role``, ``provider``, ``region``, ``zone``, ``place``, ``size``, ``ip``, ``age``,
        ``created``, ``ends``, ``price`` or ``by``; with ``-`` in front, as in ``sort=-age``, in the reverse order.
        Default: ``id``.

    columns
        The columns of the table at a terminal, separated by commas: ``id``, ``status``, ``role``, ``provider``,
        ``region``, ``zone``, ``place``, ``size``, ``ip``, ``public_ip``, ``private_ip``, ``age``, ``created``,
        ``ends``, ``price``, ``by``, ``protected``, ``drifted`` or ``instance_id``. Default: as many as fit. The data
        always has everything.

    watch
        Renew the table every so many seconds, 1 or more, until Ctrl-C; then the exit code is 0. This needs a terminal.
        Default: list once.

    config
        As for ``hart.create``.

    Returns a dictionary by minion id. ``status`` is ``ready`` or the reason why the node is not ready: ``in progress``,
    ``unreachable``, ``unsealed``, ``no instance``, ``stopped``, ``no key``, ``no record``, ``failed``, ``left at`` a
    stage, ``unknown``, ``broken record``, ``elsewhere`` for a node that only another master can change, or ``not ours``
    for a minion of which hart knows only the key. ``sources`` holds what each source reports. An instance whose tags do
    not identify a node has the status ``bad id`` and is listed under its instance id. It has a ``note``, and so
    have a node that is ``elsewhere`` and one that a bake left behind.

    ``drifted`` lists what differs from the present configuration of the node's role: ``role``, ``size``, ``image``,
    ``release``, ``settings``, ``bootstrap``. It is null if that is not known: for a node without a role, or whose role
    is not configured any more, and for one that was imported or created before hart-salt 2.0. ``ends`` is the time at
    which the node is due to be destroyed; null if it has no end.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_minions role=app
        salt-run hart.list_minions columns=id,age,price,ip sort=-age
        salt-run hart.list_minions watch=5

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, list_minions)
        selector = arguments.selector(role=role, provider=provider, region=region, status=status)
        options = {
            "ping": arguments.flag(ping, "ping"), "sort": arguments.sort_by(sort), "columns": arguments.columns(columns)
        }  # fmt: skip
        every = None if watch is None else arguments.interval(watch)
        if every is None:
            return service(config).list_minions(selector, **options)
        terminal = _terminal()
        made = service(config)
        from hart_salt.screens.watch import Watch

        look = functools.partial(made.list_minions, selector, **options)
        return Watch(look, made.gate.data, every, terminal, colored=bool(__opts__.get("color", True))).run()

    return _report("list_minions", work, config, unknown)


def history(
    minion_id: str | None = None,
    *extra: Any,
    since: str | None = None,
    role: str | None = None,
    limit: int = 100,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Show what became of nodes: what was created, imported, changed, destroyed or swept, and what failed.

    The journal is ``history.jsonl`` in the directory of the nodes' logs; ``hart.check`` shows that directory. It has
    the last 20,000 outcomes or more of this master. Each master has its own.

    minion_id
        Show this node only. Default: all.

    since
        How far back: a duration such as ``30m``, ``12h``, ``1d`` or ``2w``, or a date or time in ISO 8601 such as
        ``2026-11-30`` or ``2026-11-30T08:00``, in UTC unless it says otherwise. Default: everything.

    role
        Show nodes of this role only. Default: all.

    limit
        The most outcomes; the last ones are shown. Default: 100.

    config
        As for ``hart.create``.

    Returns the list ``history``, the oldest outcome first. Each has ``time``, ``action`` (such as ``create``,
    ``import``, ``destroy``, ``sweep`` and ``add_ip``), ``minion_id``, ``result``, ``by`` (who called), ``function``
    (what was called), the place of the node, ``created``, ``seconds`` (how long it took), ``stages`` (the seconds in
    each stage of a created node), ``monthly_price`` and ``currency`` of its size, ``details`` and ``error``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.history since=1d
        salt-run hart.history app-1.example.com

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, history)
        return service(config).past.history(arguments.history(minion_id, role, since, limit))

    return _report("history", work, config, unknown)


def engine(*extra: Any, **unknown: Any) -> dict[str, Any]:
    """
    Show what the engine, which keeps the fleets as they are declared, did last and will do next.

    This needs no valid configuration of hart and queries no cloud: it shows what the engine of this master says of
    itself, and what the leader among several masters has written into the record store.

    Returns ``engine``: ``status`` (``working``, ``failing``, ``starting``, ``not running``, ``not configured``, or
    ``late``, which means that no look has succeeded for three intervals), ``interval`` in seconds, ``leader``,
    ``leads`` (whether this master is the leader), ``last_look``, ``seconds`` (how long it took), ``next_look``,
    ``failures`` in a row, ``error`` of the last look, and ``early_looks`` (how many events have asked for). ``fleets``
    has, for each fleet, its ``state``, ``why``, ``since``, the numbers of ``actions`` for now and for ``later``, its
    last ``job`` with ``job_began`` and ``job_runs``, and, after jobs that failed, ``job_failures``, ``job_error`` and
    ``next_job``.

    The exit code is 1 if the engine is configured and does not run, or is ``late``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.engine

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, engine)
        from hart_salt.unconfigured import engine as seen

        return seen(__opts__)

    return _report("engine", work, None, unknown)


def check_seal(
    tgt: str | None = None,
    *extra: Any,
    tgt_type: str = "glob",
    role: str | None = None,
    provider: str | None = None,
    region: str | None = None,
    status: str | None = None,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Check on the minions that nothing temporary of their bootstrap is left: ``hart.sealed`` across a fleet.

    tgt
        The target, as for ``salt``.

    tgt_type
        The type of the target, as for ``salt``: ``glob``, ``list``, ``grain``, ``compound`` and so on. Default:
        ``glob``.

    role, provider, region, status
        Check the nodes that match, instead of a target; see ``hart.destroy``.

    config
        As for ``hart.create``.

    Returns a dictionary by minion id, with ``result`` and, if something is left, ``error``. The minions need hart's
    execution module: run ``salt '*' saltutil.sync_modules``, or install the package hart-salt on them.

    CLI Example:

    .. code-block:: bash

        salt-run hart.check_seal 'roles:app' tgt_type=grain
        salt-run hart.check_seal role=app region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=check_seal)
        names = arguments.names(tgt_type=tgt_type)
        selector = arguments.selector(role=role, provider=provider, region=region, status=status)
        if selector:
            arguments.refuse({}, [tgt, *extra] if tgt is not None else extra)
            return service(config).check_seal_selected(selector)
        target = arguments.word("hart.check_seal", "target", tgt, extra)
        return service(config).check_seal(target, names["tgt_type"] or "glob")

    return _report("check_seal", work, config, unknown)


def show(minion_id: str | None = None, *extra: Any, config: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    Show everything about one node except secrets: its place, its parts, the seconds of each stage, the path of its log.

    minion_id
        The id of the node.

    config
        As for ``hart.create``.

    Returns a dictionary; ``status`` and ``sources`` are as in ``hart.list_minions``. ``image`` is the
    id of the baked image that the node runs from; null if it is a plain one, or if that is not known. ``log_note`` says
    that the log is not on this machine.

    CLI Example:

    .. code-block:: bash

        salt-run hart.show web1.example.com

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=show)
        return service(config).show(arguments.word("hart.show", "id", minion_id, extra))

    return _report("show", work, config, unknown)


def timeline(
    minion_id: str | list[str] | None = None,
    *extra: Any,
    file: str | None = None,
    force: bool = False,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Show where the seconds of nodes went: in which stage of its creation each node was for how long.

    With ``file``, hart also writes the picture of it: one HTML file that loads nothing from anywhere and that any
    browser shows.

    minion_id
        A minion id, a batch as ``hart.show`` shows it, or several of both separated by commas or blanks. A node that
        failed or was destroyed is shown as long as its log is on this machine.

    file
        The path of the HTML file; its directory must exist. A relative path begins at the working directory of
        ``salt-run``; in an orchestration, a reactor or salt-api the path must be absolute. An earlier report of hart
        is replaced. A new file has the mode 0640, a replaced one keeps its mode. Default: no file.

    force
        True: also replace a file that is not a report of hart. Default: False.

    config
        As for ``hart.create``.

    Returns ``nodes`` by minion id, the slowest first: ``end`` (``done``, ``failed`` or ``unfinished``), ``total``, the
    ``seconds`` of each stage, and the ``steps`` of the bootstrap. ``stages`` and ``steps`` have the ``median``, ``p90``
    (nine of ten nodes took no longer) and the ``slowest`` of all nodes. ``total`` is from the first start to the last
    end, and ``file`` the path of the page.

    CLI Example:

    .. code-block:: bash

        salt-run hart.timeline web1.example.com file=web1.html
        salt-run hart.timeline 6a1b2c3d4e5f60 file=/srv/www/batch.html

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=timeline)
        names = arguments.ids("hart.timeline", minion_id, extra)
        return service(config).pictures.timeline(names, _destination(arguments, file, force))

    return _report("timeline", work, config, unknown)


def report(
    *extra: Any,
    file: str | None = None,
    force: bool = False,
    ping: bool = True,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Show the whole fleet in numbers: nodes by state, role and region, their price, their history, the slowest stages.

    With ``file``, hart also writes a page for people who would rather look than read: one HTML file that loads nothing
    from anywhere, with pictures of these numbers, and with what differs between the provider, hart's records, the key
    store and the minions.

    file, force
        As for ``hart.timeline``.

    ping
        Whether to ping the minions; a minion that is down costs some seconds. Default: True.

    config
        As for ``hart.create``.

    Returns ``fleet``: the number of ``nodes``; how many nodes have each ``status``, ``role`` and ``region``;
    ``monthly_price`` by currency, and ``unknown_prices``, the number of nodes that it lacks; what was created,
    destroyed and failed in the ``last_30_days``; ``median_seconds`` of each stage; and ``file``, if one was written. If
    a provider does not answer, the page is written all the same, and ``problems`` says what it lacks.

    CLI Example:

    .. code-block:: bash

        salt-run hart.report
        salt-run hart.report file=fleet.html

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, report)
        return service(config).pictures.report(_destination(arguments, file, force), ping=arguments.flag(ping, "ping"))

    return _report("report", work, config, unknown)


def node(minion_id: str | None = None, *extra: Any, stage: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    Return hart's record of one node. It queries no cloud and no minion, and is fast.

    Use it in reactors. Any minion can fire any event with any data: take an event as a reason to look, and act only on
    what this function returns.

    minion_id
        The id of the node. An invalid minion id is refused.

    stage
        ``launching``, ``running``, ``bootstrapping``, ``enrolling``, ``enrolled`` or ``ready``: refuse a node that has
        not reached this stage or that failed. Default: accept any stage.

    Returns a dictionary with ``minion_id``, ``kind``, ``stage``, ``sealed``, ``role``, ``provider``, ``region``,
    ``zone``, ``size``, ``instance_id``, ``public_ip``, ``private_ip`` and ``addresses``, a list of all addresses. If
    there is no such node, it returns only ``error`` and ``retcode``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.node web1.example.com stage=ready

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=node)
        from hart_salt.unconfigured import node as look

        name = arguments.word("hart.node", "id", minion_id, extra)
        return look(__opts__, name, arguments.names(stage=stage)["stage"])

    return _report("node", work, None, unknown)


def node_of(ip: str | None = None, *extra: Any, **unknown: Any) -> dict[str, Any]:
    """
    Return the node that has an IP address, from hart's records. It queries no cloud and is fast; see ``hart.node``.

    ip
        The address. An invalid address is refused, and so is one with a zone, such as ``fe80::1%eth0``.

    Returns a dictionary with ``ip`` and ``minion_id``, which is None if no node has the address.

    CLI Example:

    .. code-block:: bash

        salt-run hart.node_of 203.0.113.7

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=node_of)
        from hart_salt.unconfigured import node_of as look

        return look(__opts__, arguments.word("hart.node_of", "ip", ip, extra))

    return _report("node_of", work, None, unknown)


@_acts
def sync_keys(*extra: Any, config: str | None = None, test: bool = False, **unknown: Any) -> dict[str, Any]:
    """
    Compare the keys of all ready nodes with the key store of every master, and repair what differs.

    Where a node's key is missing or pending, it is accepted. The keys of destroyed nodes that could not be deleted
    because their master was down are deleted. Any other key is reported under ``kept`` and stays. The other masters are
    those in ``hart:masters``.

    config
        As for ``hart.create``.

    test
        True: show what would be done and change nothing. Default: False.

    Returns a dictionary by master, this one first, each with ``result``, ``correct`` (the number of nodes whose keys
    are right) and, if not empty, ``accepted`` and ``deleted`` (with ``test``: ``would_accept`` and ``would_delete``),
    ``kept`` with the reasons, and ``error``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.sync_keys test=True

    .. versionadded:: 1.1.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, sync_keys)
        return service(config).sync_keys(test=arguments.flag(test))

    return _report("sync_keys", work, config, unknown)


def peer_keys(
    work: str | None = None,
    *extra: Any,
    keys: dict[str, str] | None = None,
    until: float | None = None,
    sent: float | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Work for another master of the same nodes: show this master, accept or delete keys of nodes in its store.

    hart on the other master calls this through salt-api, if its ``hart:masters`` has ``api``; there is no need to call
    it yourself. Whoever may call it can make any key accepted here: allow it only to the user of the other masters.

    work
        ``facts``, ``list``, ``print``, ``accept`` or ``delete``.

    keys
        A text for each minion id: the public key to accept; for ``delete``, the public key or its fingerprint.

    until
        The uptime of this machine in seconds after which the work is not begun. Default: no limit.

    sent
        The uptime of this machine when the request was sent: no key is accepted whose id was deleted since. Default:
        unknown.

    Returns a dictionary with ``keys``, or with the facts, or with ``error``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.peer_keys facts

    .. versionadded:: 1.1.0
    """

    def do(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=peer_keys)
        from hart_salt.unconfigured import peer_work_for

        return peer_work_for(__opts__, arguments.word("hart.peer_keys", "work", work, extra), keys, until, sent)

    return _report("peer_keys", do, None, unknown)


def list_roles(*extra: Any, config: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    List the roles, each with the providers that a call without ``provider=`` can use.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_roles

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, list_roles)
        return service(config).offers.list_roles()

    return _report("list_roles", work, config, unknown)


def show_role(
    role: str | None = None,
    *extra: Any,
    provider: str | None = None,
    region: str | None = None,
    config: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """
    Show the settings of a new node of a role, with all layers merged. Secrets are shown as ``***``.

    role, provider, region, config, settings
        As for ``hart.create_role``. Do not pass a secret as an argument.

    CLI Example:

    .. code-block:: bash

        salt-run hart.show_role app provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        name = arguments.word("hart.show_role", "role", role, extra)
        names = arguments.names(provider=provider, region=region)
        return service(config).offers.show_role(
            name, **names, settings=_clean(settings), takes=arguments.parameters(show_role)
        )

    return _report("show_role", work, config, settings)


def list_regions(provider: str | None = None, *extra: Any, config: str | None = None, **unknown: Any) -> dict[str, Any]:
    """
    List the regions of a provider.

    provider
        The configured provider. Default: the one that the configuration names, or the only one.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_regions do

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, list_regions)
        return service(config).offers.list_regions(**arguments.names(provider=provider))

    return _report("list_regions", work, config, unknown)


def cost(
    *extra: Any,
    role: str | None = None,
    provider: str | None = None,
    month: str | None = None,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Show what the nodes cost per month now, or what they cost in a month of the past, by role and by provider.

    These are estimates from the list prices of the nodes' sizes, before tax. Traffic, addresses, further volumes and
    snapshots are not included. Amounts in different currencies are not added.

    role, provider
        Count only these nodes. Default: all.

    month
        A month in UTC, such as ``2026-11``: what the nodes cost in it, by hart's journal and at the prices that they
        had then. Each node costs its monthly price times the part of the month in which it existed. For the present
        month it is what they have cost so far. Default: what the nodes that exist now cost per month.

    config
        As for ``hart.create``.

    Returns, under ``cost``, ``month``, ``total`` by currency, ``providers`` and ``roles`` with the amounts of each by
    currency (nodes without a role are under ``(none)``), and ``nodes`` by minion id, with ``cost``, ``currency``, role,
    provider, region and size, and ``state`` or, for a month, ``hours``. A ``cost`` of None is not known; ``notes`` say
    why. A stopped node counts as 0 at EC2 and Compute Engine, where it costs only its disks.

    CLI Example:

    .. code-block:: bash

        salt-run hart.cost
        salt-run hart.cost role=app month=2026-11

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, cost)
        return service(config).money.cost(**arguments.names(role=role, provider=provider, month=month))

    return _report("cost", work, config, unknown)


def simulate(
    fleet: str | None = None,
    *extra: Any,
    file: str | None = None,
    boot: float | str = 60,
    interval: float | str = 60,
    min: int | None = None,
    max: int | None = None,
    target: float | None = None,
    tolerance: float | None = None,
    up_after: float | str | None = None,
    down_after: float | str | None = None,
    cooldown: float | str | None = None,
    warm_up: float | str | None = None,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Show what the autoscaling of a fleet would have done over a recorded time. Nothing is changed, no minion is asked.

    The load is divided among the nodes that would have been ready: a node that is added takes its share once it has
    booted. Only autoscaling is simulated, not the other limits of a fleet, such as ``changes_per_hour``.

    fleet
        The name of a fleet that has ``autoscale``.

    file
        The path of a file with the recorded load. Each of its lines is a JSON object with ``time`` (ISO 8601, in UTC if
        it names no zone, or seconds since the epoch) and either ``load``, the sum over the whole fleet, or ``values``,
        the answer of each node as a list or a mapping, ``null`` for silence. CSV is possible, too: a heading with
        ``time`` and ``load``, or ``time`` and a column for each node. A relative path begins at the working directory
        of ``salt-run``. Default: what the engine recorded on the last day, in ``hart-fleet-FLEET-DATE.jsonl`` in the
        directory of the nodes' logs.

    boot
        How long a new node takes until it is ready, in seconds or as in ``90s``. Default: 60.

    interval
        The time between two looks of the engine, in seconds or as in ``1m``. Default: 60.

    min, max
        Other bounds of the number of nodes. Default: those of the fleet.

    target, tolerance, up_after, down_after, cooldown, warm_up
        Other settings of ``autoscale``, to compare them. Default: those of the fleet.

    config
        As for ``hart.create``.

    Returns, under ``simulation``, the ``fleet``, the ``file``, the times ``from`` and ``until``, ``min``, ``max`` and
    ``target``; ``rows``, one for each look at which something changed, with ``time``, the recorded ``load``, the
    ``average`` over the nodes, the number of nodes ``wanted`` and ``ready``, and the ``reason``; and ``totals``:
    ``hours``, ``node_hours``, ``recorded_node_hours`` if each node's answer was recorded, ``overloaded_hours`` in which
    the average was above the target and its tolerance, ``blind_hours`` in which the load was not known, the ``highest``
    and the ``lowest`` number of nodes, the number of ``changes``, and the ``price`` of the node hours by currency, by
    the list prices of the size, which is empty if they are not known.

    CLI Example:

    .. code-block:: bash

        salt-run hart.simulate web
        salt-run hart.simulate web file=day.jsonl target=0.7 down_after=20m

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        name = arguments.word("hart.simulate", "fleet", fleet, extra)
        arguments.refuse(unknown, (), simulate)
        changed = {
            "target": target, "tolerance": tolerance, "up_after": up_after, "down_after": down_after,
            "cooldown": cooldown, "warm_up": warm_up,
        }  # fmt: skip
        order = arguments.simulation(
            name, file=file, direct=_direct(), boot=boot, interval=interval, low=min, high=max, changed=changed
        )
        return service(config).fleets.simulation.simulate(order)

    return _report("simulate", work, config, unknown)


def list_sizes(
    provider: str | None = None,
    *extra: Any,
    region: str | None = None,
    memory: float | None = None,
    cpus: float | None = None,
    max_price: float | None = None,
    arch: str | None = None,
    sort: str = "price",
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    List the sizes of a provider: memory in MB, CPUs, disk in GB, monthly price before tax, its currency, architecture.

    provider
        The configured provider. Default: the one that the configuration names, or the only one.

    region
        List only sizes that this region offers. Default: all.

    memory, cpus
        List only sizes with at least this many GB of memory, and CPUs. Default: all.

    max_price
        List only sizes that cost at most this much per month, in the provider's currency. A size whose price is unknown
        is not listed then. Default: all.

    arch
        ``amd64`` or ``arm64``. Default: both.

    sort
        ``price``, ``memory``, ``cpus``, ``disk`` or ``name``; with ``-`` before it, the greatest stands first. Sizes
        that are not available stand last. Default: ``price``.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_sizes do region=nyc3
        salt-run hart.list_sizes do memory=4 cpus=2 max_price=30

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, list_sizes)
        wanted = arguments.size_filter(memory=memory, cpus=cpus, max_price=max_price, arch=arch, sort=sort)
        return service(config).offers.list_sizes(**arguments.names(provider=provider, region=region), wanted=wanted)

    return _report("list_sizes", work, config, unknown)


def list_images(
    provider: str | None = None, *extra: Any, region: str | None = None, config: str | None = None, **unknown: Any
) -> dict[str, Any]:
    """
    List the images of a provider, each by the value to write as ``image``.

    Images that ``hart.bake`` made have ``baked: True`` and more facts: role, age, size, price per month, ``nodes``, the
    ids of the nodes that run from it, and ``outdated``, what has changed in the configuration since the bake.

    provider, region, config
        As for ``hart.list_sizes``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_images do

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, list_images)
        return service(config).images.listed(**arguments.names(provider=provider, region=region))

    return _report("list_images", work, config, unknown)


@_acts
def bake(
    role: str | None = None,
    *extra: Any,
    provider: str | None = None,
    region: str | list[str] | None = None,
    apply: str | list[str] | None = None,
    keep: int | None = None,
    config: str | None = None,
    test: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """
    Make an image of a role, from which its nodes boot in seconds.

    hart creates a node for it, which comes up like every node, and applies the states of the setting ``bake``. Then it
    removes everything that belongs to this one node: its id, its keys, its host keys, its logs. It makes the image, and
    destroys the node. A role with ``image: baked`` boots the newest of these images. A failure or a signal rolls back
    the image and the node.

    role
        The role.

    provider
        As for ``hart.create_role``.

    region
        The region of the node, or several separated by commas: the image is copied to the others. Default: the region
        of the role.

    apply
        The states to apply instead of those of the setting ``bake``: ``highstate`` or SLS names.

    keep
        How many images of the role to keep in each region; older ones are deleted, unless nodes run from them or
        the configuration names them. Default: the setting ``bake_keep``.

    config, test
        As for ``hart.create``.

    settings
        Further settings of the node, as for ``hart.create``.

    Returns a dictionary by role: ``result``, and ``image``, the id of the image, or ``error``. ``deleted`` holds the
    ids of the old images that were deleted or, in a plan, would be; there, ``keep`` says how many stay.

    CLI Example:

    .. code-block:: bash

        salt-run hart.bake app
        salt-run hart.bake app region=fra1,nyc3 apply=base,app keep=2

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        return service(config).images.bake(
            arguments.word("hart.bake", "role", role, extra),
            **arguments.bake(provider=provider, region=region, apply=apply, keep=keep, settings=settings),
            settings=_clean(settings), takes=arguments.parameters(bake), test=arguments.flag(test),
        )  # fmt: skip

    return _report("bake", work, config, settings)


@_acts
def remove_image(
    image: str | None = None,
    *extra: Any,
    provider: str | None = None,
    force: bool = False,
    config: str | None = None,
    test: bool = False,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Delete an image that ``hart.bake`` made, with its disk snapshots at the provider.

    It is refused if a node runs from the image, and if a role needs it: the newest image of a role whose ``image`` is
    ``baked``, or an image that the configuration names as ``image`` or ``base_image``.

    image
        The id of the image or its name; ``hart.list_images`` shows them.

    provider
        The provider that has it. Default: all providers are searched.

    force
        True: delete it although a role needs it. Default: False.

    config, test
        As for ``hart.create``.

    Returns a dictionary by the id of the image.

    CLI Example:

    .. code-block:: bash

        salt-run hart.remove_image 112233445 provider=do

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, of=remove_image)
        wanted = arguments.word("hart.remove_image", "image", image, extra)
        names = arguments.names(provider=provider)
        return service(config).images.remove(
            wanted, **names, force=arguments.flag(force, "force"), test=arguments.flag(test)
        )

    return _report("remove_image", work, config, unknown)


def check(
    *extra: Any,
    role: str | None = None,
    provider: str | None = None,
    count: int = 1,
    config: str | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """
    Check what hart needs on this machine and in the accounts of the providers, and print a line for each check.

    This changes nothing and costs nothing. On this machine it checks ``salt-master process``, ``log directory``,
    ``record store``, ``broken records``, ``open files``, ``minion settings``, which shows what minions get because of
    this master's own configuration, and, if it has reactors, ``calls of reactors``. At each provider it checks the
    credentials and their rights and, for each role that can use the provider, region, size, image, network, settings
    and quota. A role has a line ``states`` or ``files`` if this master does not have the states that ``apply``,
    ``bake`` and ``drain`` name, or files that other settings name, and a line ``baked image`` if it boots such images.
    Each line begins with ``ok``, with ``unknown`` if only a change would show it, or with the kind of problem.

    role
        Check this role only (default: all roles).
    provider
        Check this provider only (default: all providers).
    count
        Number of nodes of each role for which the quota must be enough (default: 1).
    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.check
        salt-run hart.check role=app provider=do count=5

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, check)
        wanted = arguments.names(role=role, provider=provider)
        return service(config).check(**wanted, count=arguments.whole("count", count, 1) or 1)

    return _report("check", work, config, unknown)


def explain(name: str | None = None, *extra: Any, **unknown: Any) -> dict[str, Any]:
    """
    Explain a setting or a function: what the reference says of it.

    name
        A setting, such as ``size``; a setting of one driver, such as ``do.backups``; a path as errors name it, such as
        ``hart:roles:app:size``; a driver, for all of its settings; or a function, such as ``create``. Default: list
        everything that can be explained.

    Returns ``entries``: for a setting its type, default, unit and description and where to set it; for a function its
    documentation.

    CLI Example:

    .. code-block:: bash

        salt-run hart.explain
        salt-run hart.explain boot_timeout
        salt-run hart.explain hart:roles:app:ec2:spot
        salt-run hart.explain scale

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, explain)
        from hart_salt.unconfigured import explained

        return explained(arguments.names(name=name)["name"], _documented())

    return _report("explain", work, None, unknown)


def completion(shell: str = "bash", *extra: Any, **unknown: Any) -> dict[str, Any]:
    """
    Print a script that completes hart's functions, their arguments, ids, roles and providers in bash or zsh.

    Write the script to ``/etc/bash_completion.d/hart``, or to a file that ``~/.zshrc`` reads with ``source``. It reads
    the names of nodes, roles and providers from a file in the master's cache directory, which every successful call of
    hart brings up to date. It never starts ``salt-run``. Users who cannot read that directory get no names.

    shell
        ``bash`` or ``zsh``. Default: ``bash``.

    Returns the text. If ``--out`` asks for another format, it returns a dictionary with ``text``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.completion bash
        salt-run hart.completion zsh

    .. versionadded:: 2.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, completion)
        from hart_salt.result import Result
        from hart_salt.unconfigured import completion_script

        name = arguments.word("hart.completion", "shell", shell, ())
        return Result({"text": completion_script(__opts__, name, _public(globals()))})

    data = _report("completion", work, None, unknown)
    document = data["data"]["hart"]["document"] if "outputter" in data else data
    as_text = "text" in document and _prints_text()
    return {"outputter": "txt", "data": document["text"]} if as_text else data


def _public(names: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Return the functions among the names of a module that users can call."""
    return {name: one for name, one in names.items() if inspect.isfunction(one) and not name.startswith("_")}


def _documented() -> dict[str, dict[str, str]]:
    """Return the documentation of all functions that users can call, by program."""
    from hart_salt.modules import hart as on_minions
    from hart_salt.states import hart as states

    programs = {"salt-run": globals(), "state": vars(states), "salt": vars(on_minions)}
    return {
        program: {name: inspect.getdoc(function) or "" for name, function in _public(names).items()}
        for program, names in programs.items()
    }


def version(*extra: Any, **unknown: Any) -> dict[str, Any]:
    """
    Show the versions of hart-salt, Salt and Python, and which files are loaded.

    CLI Example:

    .. code-block:: bash

        salt-run hart.version

    .. versionadded:: 1.0.0
    """

    def work(service: MakeService, arguments: ModuleType) -> Result:
        arguments.refuse(unknown, extra, version)
        from hart_salt.unconfigured import version as versions

        return versions(__file__)

    return _report("version", work, None, unknown)


def _report(
    function: str, work: Callable[..., Result], config: str | None = None, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    Do the work and return its data; make a failure visible in every place where Salt looks for one.

    ``retcode`` in the context makes the event and a ``salt.runner`` state fail; ``retcode`` in the returned dictionary
    makes ``salt-run`` exit with it. Either alone reports a success in the other place. An exception would show as a
    traceback. In a reactor the context outlives the call, so ``retcode`` is always set. Readers of the output, slow or
    missing, change none of this.

    ``config`` and ``given`` are for the gate: the configuration file with secrets, and the arguments that may hold one.
    """
    from hart_salt.base import signals, streams

    with streams.guarded(), signals.heard():
        data = _data(function, work, config, given)
    # Only if Salt runs this function itself, and not an orchestration that includes it.
    if str(__opts__.get("fun", "")).startswith("hart."):
        signals.exit_with(data.get("retcode", 0))
        return _for_people(data)
    return data


def _data(
    function: str, work: Callable[..., Result], config: str | None, given: dict[str, Any] | None
) -> dict[str, Any]:
    __context__["retcode"] = 0
    try:
        from hart_salt.inventory.slots import Slots

        with Slots(__opts__["cachedir"]).call() as slot:
            if __context__.get(QUEUES):
                slot.take_early()
            # Heavy imports happen here, when hart is called, and not when another runner is.
            from hart_salt import arguments
            from hart_salt.answer import answer
            from hart_salt.result import document

            path = config if isinstance(config, str) else None
            bound = functools.partial(work, arguments=arguments)
            report = answer(_options(), bound, path, _clean(given or {}), _caller(function))
        data = document(report, function)
    except SystemExit as error:  # a signal came while nothing was running that hart would roll back
        data = _nothing(function, "interrupted; nothing was started", int(error.code or INTERRUPTED))
    except Exception as error:  # a dependency of hart is missing or broken
        log.error("hart could not start: %s", type(error).__name__)  # noqa: TRY400 - its text may quote anything
        data = _nothing(function, f"hart could not start: {type(error).__name__}; see salt-run hart.version", DEFECT)
    if "retcode" in data:
        __context__["retcode"] = 1
    return data


def _caller(function: str) -> Caller:
    """Return who called."""
    from hart_salt.base import caller

    return caller.Caller(_by(), f"hart.{function}")


def _by() -> str:
    """Return who called, in words; they decide nothing."""
    from hart_salt.base import caller

    given, user = caller.given.get(), globals().get("__user__")
    if given.by:
        return caller.in_job(given.by, user, __opts__)
    return caller.words(user, caller.path_of(sys._getframe()), given.event, __opts__)


def _terminal() -> TextIO:
    """Return standard output. Raises ``Refused`` if it is not a terminal on which a person watches this function."""
    import sys

    from hart_salt.base.errors import Refused

    direct = str(__opts__.get("fun", "")).startswith("hart.") and __opts__.get("output") in (None, "", "hart")
    if not direct or sys.stdout is None or not sys.stdout.isatty():
        raise Refused("watch needs a terminal and no --out; leave it out, and call hart.list_minions again when needed")
    return sys.stdout


def _for_people(data: dict[str, Any]) -> dict[str, Any]:
    """
    Return the data with hart's outputter, if a person reads it: at a terminal, if nobody asked for another format.

    Salt takes the exit code from ``retcode`` in the outputter's data. It takes the success in the event from the
    ``result`` beside the document; without it, it would judge the document as if it held the results of states.
    """
    if sys.stdout is None or not sys.stdout.isatty() or __opts__.get("output"):
        return data
    code = {"retcode": data["retcode"]} if "retcode" in data else {}
    return {"outputter": "hart", "data": {"hart": {"result": not code, "document": data}, **code}}


def _prints_text() -> bool:
    """Return whether a text is printed as it is: if neither ``--out`` nor ``output`` names a format for data."""
    return __opts__.get("output") in (None, "", "hart", "txt")


def _nothing(function: str, error: str, code: int) -> dict[str, Any]:
    """Return what ``result.document`` returns if nothing was done, without an import that may fail."""
    return {"version": 2, "function": function, "problems": [error], "notes": [], "error": error, "retcode": code}


def _direct() -> bool:
    """Return whether ``salt-run`` calls this function: only then the working directory is one that its user knows."""
    return str(__opts__.get("fun", "")).startswith("hart.")


def _destination(arguments: ModuleType, file: Any, force: Any) -> Any:
    """Return where a page is written."""
    from hart_salt.operations.pages import Destination

    return Destination(arguments.file(file), relative=_direct(), force=arguments.flag(force, "force"))


def _clean(keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the user's keywords without those that an orchestration adds, such as ``__pub_user``."""
    return {key: value for key, value in keywords.items() if not key.startswith("__")}


# calls by a reactor


def _from_reactor() -> bool:
    """
    Return whether a reactor called, and not an orchestration that it started: that one waits for the outcome.

    Both have the same user. Only Salt can have put the state of an orchestration on the way of the call.
    """
    from hart_salt.base import caller

    return globals().get("__user__") == caller.REACTOR and not caller.path_of(sys._getframe()).state


def _begin(function: Callable[..., dict[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Ask the master to start the same call as a process of its own, and return its job id."""
    given = inspect.signature(function).bind(*args, **_clean(kwargs)).arguments
    settings: dict[str, Any] = next((given.pop(name) for name in ("settings", "unknown", "pairs") if name in given), {})
    extra = given.pop("extra", ())
    if function.__name__ == "extend" and extra and given.get("duration") is None:
        *extra, given["duration"] = extra  # it is the last argument
    if extra and function.__name__ not in SEVERAL:
        return function(*args, **kwargs)  # refused at once

    def work(service: MakeService, arguments: ModuleType) -> Result:
        if extra:
            given["minion_id"] = arguments.ids(f"hart.{function.__name__}", given["minion_id"], extra)
        # Salt would take a job's "arg" and "kwarg" for all of its arguments; no setting has such a name.
        arguments.refuse({name: settings[name] for name in ("arg", "kwarg") if name in settings})
        from hart_salt.master.client import Master
        from hart_salt.result import Result

        jid = Master(__opts__).begin(f"hart.{function.__name__}", {**given, **settings, BACKGROUND: True, BY: _by()})
        note = f"it runs as its own job; when it ends, it fires hart/{jid}/result"
        return Result({}, notes=[note], more={"job": jid})

    data = _report(function.__name__, work, given.get("config"), {**given, **settings})
    if "retcode" in data:
        log.error("hart.%s was not started: %s", function.__name__, data["error"])
    return data


def _may_wait() -> bool:
    """
    Return whether the call may wait for others: nobody waits for a call by a reactor, so such calls must not queue up.
    """
    return BACKGROUND not in __context__


def _announce(function: str, jid: str, data: Any) -> None:
    """Report the end of a call that a reactor started: fire an event, and log an error if it failed."""
    from hart_salt.master.client import Master

    failed = isinstance(data, dict) and "retcode" in data
    if failed and CURRENT not in __context__:  # the engine reports the failures of its own jobs, each one once
        log.error("%s, which a reactor called as job %s, failed: %s", function, jid, data)
    master = Master(__opts__)
    try:
        master.fire(f"hart/{jid}/result", {"fun": function, "jid": jid, "success": not failed, "return": data})
    finally:
        master.close()
