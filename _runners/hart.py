"""
Create cloud instances as trusted Salt minions, and destroy them again.

:depends: the Python package ``hart-salt``

Configuration is the ``hart:`` key of the master config, the ``hart:`` key of the master's own pillar, and
``/etc/hart.toml``; see the documentation of hart-salt.

Every function returns plain data. If something failed, ``salt-run`` exits with a code that is not 0, a
``salt.runner`` state is False, and the returned dictionary has ``retcode`` and either ``error`` (nothing was
done) or, under the id of each node that failed, ``result: False`` and ``error``.
"""

import contextlib
import functools
import importlib.util
import inspect
import logging

log = logging.getLogger(__name__)

__virtualname__ = "hart"

INTERRUPTED = 130  # as after Ctrl-C in a shell
#: among the arguments of a call that a reactor began, and that runs as a process of its own. It grants nothing: such a
#: call waits for no other one, and its end is an event
BACKGROUND = "__hart_background__"
DEFECT = 70  # the exit code of an error that is ours: EX_SOFTWARE of sysexits.h


def __virtual__():
    # Salt imports every runner on every salt-run: this finds the package without importing what it needs.
    if importlib.util.find_spec("hart_salt") is None:
        return False, "the Python package hart-salt is not installed: salt-pip install its wheel or checkout"
    _make_place_for_jobs()
    return __virtualname__


def _make_place_for_jobs():
    """Salt 3008 keeps a file for each salt-run, in a directory that a master makes when it first starts."""
    from pathlib import Path

    with contextlib.suppress(KeyError, OSError):
        Path(globals()["__opts__"]["cachedir"], "proc").mkdir(parents=True, exist_ok=True)


def _acts(function):
    """
    A function that changes something. Called by a reactor, it is done by a process of its own.

    A reactor calls runners in threads of the master: they keep one of its few workers busy, die with the master without
    a word, and nobody hears of their failure. So there the master is asked to start the job, as with ``salt-run
    --async``, and what comes of it is reported as the event ``hart/<job>/result``, and in the log if it failed.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        marked = kwargs.pop(BACKGROUND, None) is True
        # Who calls is asked of Salt first: arguments may come from an event, and so from any minion.
        if _from_reactor():
            return _begin(function, args, kwargs)
        if not marked:
            return function(*args, **kwargs)
        __context__[BACKGROUND] = True
        data = function(*args, **kwargs)
        _tell(f"hart.{function.__name__}", globals()["__jid__"], data)
        return data

    return call


@_acts
def create(minion_id=None, *extra, role=None, provider=None, region=None, config=None, test=False, **settings):
    """
    Create one node, or several, under ids of your choice.

    minion_id
        The id of the minion to be, or several, separated by commas.

    role
        The role to take settings from. Default: none, only the defaults of hart and of the provider.

    provider
        The configured provider to create it at. Default: the one that the configuration names, or the only
        one that is configured.

    region
        The region to create it in. Default: the one that the configuration names.

    config
        Path of hart's TOML file. Default: ``/etc/hart.toml``, if it exists.

    test
        True: return the plan and touch nothing. Default: False.

    settings
        Any setting that a role may have, such as ``size=``, ``minion_config=`` or ``apply=highstate``. Give no secret
        here: before hart runs, Salt has published all arguments in the process list, on its event bus and in its job
        cache. Put secrets into the pillar, or into the configuration by ``sdb://``. The ``notes`` of a result tell of
        an argument that holds one.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create db1.example.com provider=do size=s-2vcpu-4gb

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        ids = arguments.ids("hart.create", minion_id, extra)
        return service(config).create(
            ids,
            **arguments.names(role=role, provider=provider, region=region),
            settings=_clean(settings),
            test=arguments.flag(test),
        )

    return _report(work, config, settings)


@_acts
def create_role(role=None, *extra, count=1, provider=None, region=None, config=None, test=False, **settings):
    """
    Create nodes of a role; their ids follow the role's ``role_naming_scheme``.

    role
        The role, as ``hart.list_roles`` shows it.

    count
        How many. They come up side by side; one that fails leaves the others alone. Default: 1.

    provider, region, config, test, settings
        As for ``hart.create``. Give no secret as an argument.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create_role app count=3 provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        name = arguments.word("hart.create_role", "role", role, extra)
        return service(config).create(
            None, role=name, count=arguments.count(count), **arguments.names(provider=provider, region=region),
            settings=_clean(settings), test=arguments.flag(test),
        )  # fmt: skip

    return _report(work, config, settings)


@_acts
def create_master(
    minion_id=None, *extra, authorize_key=None, grains=None, hart_salt=None, pip_index=None, provider=None, region=None,
    config=None, test=False, **settings,
):  # fmt: skip
    """
    Create a new salt-master in a cloud. Any machine with Salt can: no master need run here, or have a key.

    It gets salt-master, salt-minion without a service and without a master (for ``salt-call``), and hart-salt. Whatever
    fails is undone. ``hart.destroy`` removes it, ``hart.list_minions`` and ``hart.show`` know it.

    minion_id
        The id of the new master's own minion, and the name of the machine.

    authorize_key
        An OpenSSH public key line that may log in as root afterwards, and as the image's own user where it has one.
        Default: none; nobody can log in but by what the image brings.

    grains
        Grains of its minion, a mapping; they go over those of ``minion_config``. Default: none.

    hart_salt
        What ``salt-pip`` installs there: the address of a wheel, as in ``hart-salt[all] @ https://…/hart_salt-….whl``,
        or a name in an index of your own, ``pip_index``. It is not on PyPI. Default: the hart-salt of this machine,
        with what it needs for the cloud that the new master is in.

    pip_index
        Address of the Python package index, with https. Default: PyPI, or what the image's pip is configured with.

    provider, region, config, test
        As for ``hart.create``.

    settings
        Any setting that a node may have but ``apply`` and ``drain``, such as ``size=``, ``minion_config=``, or
        ``script=``, which runs there as root at the end. ``salt_version`` may be any that the repository has. Default:
        the newest of the series of the Salt on this machine. As for ``hart.create``, give no secret as an argument.

    Returns a dictionary by id. Beside what ``hart.create`` returns, it has ``ssh_host_key_fingers``, and
    ``master_key_finger`` instead of ``minion_key_finger``: the ``master_finger`` of its minions to be. No events are
    fired.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create_master salt.example.com provider=do authorize_key="$(cat ~/.ssh/id_ed25519.pub)"

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        name = arguments.word("hart.create_master", "id", minion_id, extra)
        options = {"authorize_key": authorize_key, "grains": grains, "hart_salt": hart_salt, "pip_index": pip_index}
        return service(config).create_master(
            name,
            **arguments.names(provider=provider, region=region),
            options=options,
            settings=_clean(settings),
            test=arguments.flag(test),
        )

    return _report(work, config, {**settings, "grains": grains, "pip_index": pip_index, "hart_salt": hart_salt})


@_acts
def destroy(minion_id=None, *extra, config=None, test=False, **unknown):
    """
    Destroy nodes: the instance, its key, its record. Can be repeated.

    minion_id
        The id of the node, or several, separated by commas. No globs.

    config, test
        As for ``hart.create``.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.destroy web1.example.com,web2.example.com

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        return service(config).destroy(arguments.ids("hart.destroy", minion_id, extra), test=arguments.flag(test))

    return _report(work, config, unknown)


@_acts
def import_minion(
    minion_id=None, *extra, provider=None, instance_id=None, region=None, role=None, config=None, test=False, **unknown
):  # fmt: skip
    """
    Take an existing minion under management, whoever made it: hart, salt-cloud, or somebody by hand.

    Its instance is found at the provider, gets the tags that hart's own have, and a record. Nothing else is touched:
    neither the machine nor its key. Afterwards it is a node like any other, and ``hart.destroy`` ends it. Can be
    repeated: what is imported already, and is the same, is success.

    Refused, with nothing done: what is no accepted minion of this master; none or several instances that it may be;
    an instance that carries another hart master's tag, or is another node's; and one that has none of the addresses
    which the minion itself tells. Where the minion does not answer, the result's ``notes`` say that this was not asked.

    minion_id
        The id of the minion.

    provider
        The configured provider that has its instance. Default: the one that the configuration names, or the only
        one that is configured.

    instance_id
        The provider's id of the instance. Default: it is found by its name: that of a droplet or of a server at
        Hetzner, the tag ``Name`` of an EC2 instance and the label of one at Vultr are the minion id; at Compute Engine
        the name is one that hart or hart-salt makes of the id, the id itself, or its first label.

    region
        Look for it only in this region. Default: in all.

    role
        Its role, of those that are configured. Default: that of its tags, or the one of its grain ``roles`` that is a
        role of the configuration, if there is one.

    config
        As for ``hart.create``.

    test
        True: return what would be done and touch nothing. Default: False.

    Returns a dictionary by minion id, with ``changed``, and what ``hart.create`` tells of a node.

    CLI Example:

    .. code-block:: bash

        salt-run hart.import_minion db1.example.com provider=do test=True
        salt-run hart.import_minion db1.example.com provider=ec2 instance_id=i-0123456789abcdef0 role=db

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        from hart_salt.migration.match import ImportRequest

        name = arguments.word("hart.import_minion", "id", minion_id, extra)
        names = arguments.names(provider=provider, instance_id=instance_id, region=region, role=role)
        empty = [word for word, value in names.items() if value == ""]
        if empty:
            from hart_salt.base.errors import Refused

            raise Refused(f"{empty[0]} must not be empty; leave it out where nothing is meant")
        request = ImportRequest(name, **{**names, "provider": names["provider"] or ""})
        return service(config).import_minion(request, test=arguments.flag(test))

    return _report(work, config, unknown)


@_acts
def import_minions(file=None, *extra, provider=None, config=None, test=False, **unknown):
    """
    Import all minions of hart's own store, each as ``hart.import_minion`` does it.

    Region, role and the id of the instance are taken from the file as far as they are still right. One minion that
    cannot be imported leaves the others alone.

    file
        hart's store of minions. Default: ``/var/lib/hart/minions.json``.

    provider
        The configured provider of all of them. Default: for each the one that has the name which hart gives its
        provider, such as ``do``; otherwise the only one with that driver.

    config
        As for ``hart.create``.

    test
        True: return what would be done and touch nothing. Default: False.

    Returns a dictionary by minion id, as ``hart.import_minion`` does; each that failed has ``result: False`` and
    ``error``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.import_minions test=True
        salt-run hart.import_minions /var/lib/hart/minions.json

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        from hart_salt.migration.hart_store import DEFAULT_FILE

        path = DEFAULT_FILE if file is None else arguments.word("hart.import_minions", "file", file, extra)
        return service(config).import_minions(path, **arguments.names(provider=provider), test=arguments.flag(test))

    return _report(work, config, unknown)


def from_salt_cloud(directory=None, *extra, map=None, **unknown):
    """
    Translate the configuration of salt-cloud: print the ``hart:`` section that says the same. Changes nothing.

    It prints a file for ``master.d``: each provider of DigitalOcean, EC2, Compute Engine and Vultr is one of hart's,
    each profile a role. What has no counterpart is reported, by its name, in comments; so are commands for the machines
    of maps. No secret is shown: each is taken from where it is by ``sdb://salt_cloud/…``, with Salt's own sdb driver
    ``yaml``, whose profile is printed as well.

    directory
        Salt's configuration directory, with ``cloud``, ``cloud.providers``, ``cloud.profiles``, and the directories of
        those names with ``.d``. Default: the one that the master's config file is in.

    map
        A map: its path, or its name in ``cloud.maps.d``. Default: all that are there.

    Returns the text, or, where ``--out`` asks for another form, a dictionary with ``config``, ``notes``, and the
    commands, ``create`` and ``import``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.from_salt_cloud
        salt-run hart.from_salt_cloud /etc/salt map=web.map

    .. versionadded:: 1.0.0
    """
    as_text = not __opts__.get("output")

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        from hart_salt.result import Result
        from hart_salt.service import from_salt_cloud as translate

        names = arguments.names(directory=directory, map=map)
        made = translate(__opts__, names["directory"], names["map"])
        return Result({"text": made.text()} if as_text else made.data())

    data = _report(work, None, unknown)
    return {"outputter": "txt", "data": data["text"]} if "text" in data else data


@_acts
def add_ip(minion_id=None, *extra, kind=None, ip=None, vpc=None, reboot=False, config=None, test=False, **unknown):
    """
    Give a running node a further IPv4 address: at its provider, and on the node over Salt.

    The address is there at once and after every boot, and the network that runs is left alone. If it fails, or is
    interrupted, it is undone. Can be repeated: an address that is all there is success, and nothing is changed.

    minion_id
        The id of the node.

    kind
        ``reserved``: a reserved address of the account, which stays the account's. ``additional``: one that the
        provider picks, and bills with the instance; a node that has one keeps it. ``private``: one in a private
        network. Default: ``reserved``, if ``ip`` is given.

        ``vultr`` has all three. ``do`` has reserved ones, of which a droplet has one at the most, and hands on what
        arrives for them by itself: nothing is configured on the node. Other drivers have none.

    ip
        With ``reserved``: which one.

    vpc
        With ``private``: the id of the network. Default: the only one of the region.

    reboot
        True: the provider may restart the node, which Vultr does for a private network. Default: False, and such an
        address is refused.

    config
        As for ``hart.create``.

    test
        True: return what would be done and touch nothing. Default: False.

    Returns, under the node's id, ``result``, ``kind``, ``ip``, ``changed``, ``interface`` (None where the node has
    nothing to configure) and ``notes``; where it failed, ``error``. With ``test``, ``action``: ``add``, ``configure``
    or ``none``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.add_ip web1.example.com ip=203.0.113.7
        salt-run hart.add_ip web1.example.com kind=private reboot=True

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        name = arguments.word("hart.add_ip", "id", minion_id, extra)
        request = arguments.address_request(**arguments.names(kind=kind, ip=ip, vpc=vpc))
        return service(config).add_ip(name, request, reboot=arguments.flag(reboot, "reboot"), test=arguments.flag(test))

    return _report(work, config, unknown)


@_acts
def remove_ip(minion_id=None, *extra, ip=None, reboot=False, config=None, test=False, **unknown):
    """
    Take a further address from a node: on the node over Salt, and then at its provider. Can be repeated.

    A reserved address stays in the account. ``hart.destroy`` does this by itself: an additional address ends with its
    node, and a reserved one is free again.

    minion_id
        The id of the node.

    ip
        The address. One that the node does not have is success; those that it was created with are refused.

    reboot, config, test
        As for ``hart.add_ip``.

    Returns the same as ``hart.add_ip``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.remove_ip web1.example.com ip=203.0.113.7

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        name = arguments.word("hart.remove_ip", "id", minion_id, extra)
        flags = {"reboot": arguments.flag(reboot, "reboot"), "test": arguments.flag(test)}
        return service(config).remove_ip(name, arguments.ipv4(ip), **flags)

    return _report(work, config, unknown)


@_acts
def scale(
    role=None, *extra, count=None, delta=None, min=None, max=None, cooldown=0, provider=None, region=None,
    remove="newest", force=False, config=None, test=False, **settings,
):  # fmt: skip
    """
    Make the number of a role's nodes what it is to be. Can be repeated: already so is success, and changes nothing.

    One call at a time changes the fleet of a role; a second one waits for the first. Called by a reactor, it does
    not wait but says that another is at work.

    role
        The role, as ``hart.list_roles`` shows it.

    count
        How many nodes there are to be. Nodes that are stopped, and those that other calls are bringing up, count.

    delta
        Instead of ``count``: how many more than now, or, below zero, how many fewer.

    min, max
        With ``delta``: it does not take the number below ``min`` (default: 0), or above ``max`` (default: no bound).

    cooldown
        Seconds after a change of the role's fleet in which nothing is changed again. Default: 0.

    provider, region
        Count and change only the nodes of this provider, and of this region. Default: all of the role's nodes; new
        ones go where the configuration says.

    remove
        Which nodes go first: ``newest``, ``oldest``, or ids separated by commas. Default: ``newest``. Nodes whose role
        has a ``drain`` are drained before they go, and stay if that fails.

    force
        True: they go all the same. Default: False.

    config, test, settings
        As for ``hart.create``; ``settings`` are those of new nodes. Give no secret as an argument.

    Returns a dictionary with ``role``, the numbers ``before`` and ``after``, ``changed``, and by minion id ``created``,
    ``destroyed`` and ``kept``, the nodes that could not be drained; or a ``note`` that says why nothing was changed.

    CLI Example:

    .. code-block:: bash

        salt-run hart.scale app count=4
        salt-run hart.scale app delta=+2 max=10 cooldown=300

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        name = arguments.word("hart.scale", "role", role, extra)
        wanted = arguments.target_size(count=count, delta=delta, min=min, max=max)
        order = arguments.order(name, provider, region, force, test, settings)
        names = arguments.names(remove=",".join(remove) if isinstance(remove, list) else remove)
        return service(config).scale(
            order,
            wanted,
            remove=names["remove"] or "newest",
            cooldown=arguments.seconds("cooldown", cooldown),
            wait=_may_wait(),
        )

    return _report(work, config, settings)


@_acts
def replace(role=None, *extra, batch=1, provider=None, region=None, force=False, config=None, test=False, **settings):
    """
    Replace all nodes of a role by new ones, a few at a time: new ones are ready before as many old ones go.

    It stops at the first failure. By then each old node is either there, or replaced by one that is ready.

    role
        The role, as ``hart.list_roles`` shows it.

    batch
        How many at a time. Default: 1.

    provider, region
        Replace only the nodes of this provider, and of this region. Default: the provider that the configuration names,
        or the only one; all regions.

    force, config, test, settings
        As for ``hart.scale``. Give no secret as an argument.

    Returns the same as ``hart.scale``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.replace app batch=2

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        name = arguments.word("hart.replace", "role", role, extra)
        order = arguments.order(name, provider, region, force, test, settings)
        return service(config).replace(order, arguments.whole("batch", batch, 1) or 1, wait=_may_wait())

    return _report(work, config, settings)


@_acts
def sweep(*extra, provider=None, grace=3600, force=False, config=None, test=False, **unknown):
    """
    Find and remove what crashes left.

    That is instances, keys and records that belong together no more, temporary keys and firewalls. Nothing of the crash
    need be remembered. Never removed: what carries another master's tag or none; nodes that are ready, as long as their
    instance is there; what a living operation works on; what ``keep_failed`` kept; and every minion that answers, also
    one that was not finished. A node whose instance is gone goes after several lists, over 15 seconds, have missed it.
    Each create and scale first removes what operations that died on this machine left; this also finds everything else.

    What lives is put right. A node that became ready and was never sealed is sealed over Salt. An instance without a
    record whose minion's key is accepted gets its record again, from its tags. Where many records are missing at once,
    at least 5 or a tenth of all nodes, the store seems to have been lost, and nothing is removed without ``force``.

    provider
        Only at this provider. Default: at all that are configured.

    grace
        Seconds: what is younger is kept, unless its operation is known to be dead; another master with the same key
        may be at work on it. Default: 3600.

    force
        True: remove what has to go also where the records seem to be lost. Default: False.

    config
        As for ``hart.create``.

    test
        True: show what would be done and touch nothing. Default: False.

    Returns a dictionary with the lists ``removed`` (with ``test``: ``would_remove``) and ``kept``, and, if there are
    any, ``rebuilt`` (``would_rebuild``), ``sealed`` (``would_seal``), ``failed`` and ``errors``; ``lost`` says that the
    records seem to be lost, in a sentence.

    CLI Example:

    .. code-block:: bash

        salt-run hart.sweep test=True

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        names = arguments.names(provider=provider)
        return service(config).sweep(
            **names,
            grace=arguments.seconds("grace", grace),
            test=arguments.flag(test),
            force=arguments.flag(force, "force"),
        )

    return _report(work, config, unknown)


def list_minions(*extra, role=None, provider=None, region=None, status=None, ping=True, config=None, **unknown):
    """
    List the nodes of this master, with what cloud, records, key store and the minions themselves say of each.

    On a terminal it is a table, unless ``--out`` asks for something else.

    role, provider, region, status
        Show only nodes that match. Default: all.

    ping
        Whether to ask the minions; one that is down takes some seconds. Default: True.

    config
        As for ``hart.create``.

    Returns a dictionary by minion id. ``status`` is ``ready`` or what keeps a node from that: ``in progress``,
    ``unreachable``, ``unsealed``, ``no instance``, ``stopped``, ``no key``, ``no record``, ``failed``, ``left at`` a
    stage, ``unknown``, ``broken record``, or ``not ours`` for a minion of which hart knows its key only. ``sources``
    has what each source says. An instance whose tags name no node for certain is ``bad id``, under its instance id,
    with a ``note``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_minions role=app

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        names = arguments.names(role=role, provider=provider, region=region, status=status)
        return service(config).list_minions(**names, ping=arguments.flag(ping, "ping"))

    return _as_table(_report(work, config, unknown))


def check_seal(tgt=None, *extra, tgt_type="glob", config=None, **unknown):
    """
    Ask minions whether anything temporary of their bootstrap is left: ``hart.sealed`` across a fleet.

    tgt
        The target, as for ``salt``.

    tgt_type
        Its kind, as for ``salt``: ``glob``, ``list``, ``grain``, ``compound`` and so on. Default: ``glob``.

    config
        As for ``hart.create``.

    Returns a dictionary by minion id, with ``result`` and, where something is left, ``error``. The minions need the
    execution module of hart: ``salt '*' saltutil.sync_modules``, or the package hart-salt.

    CLI Example:

    .. code-block:: bash

        salt-run hart.check_seal 'roles:app' tgt_type=grain

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        names = arguments.names(tgt_type=tgt_type)
        target = arguments.word("hart.check_seal", "target", tgt, extra)
        return service(config).check_seal(target, names["tgt_type"] or "glob")

    return _report(work, config, unknown)


def show(minion_id=None, *extra, config=None, **unknown):
    """
    Show everything about one node but secrets: its place, its parts, the seconds of its stages, the path of its log.

    minion_id
        The id of the node.

    config
        As for ``hart.create``.

    Returns a dictionary of facts; ``status`` and ``sources`` as in ``hart.list_minions``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.show web1.example.com

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        return service(config).show(arguments.word("hart.show", "id", minion_id, extra))

    return _report(work, config, unknown)


def node(minion_id=None, *extra, stage=None, **unknown):
    """
    Return what hart's record says of one node. It asks no cloud and no minion, and is quick.

    This is for reactors. Any minion can fire any event with any data, so an event is a reason to look, and what a
    reactor acts on comes from here.

    minion_id
        The id of the node. What is no minion id is refused.

    stage
        ``launching``, ``running``, ``bootstrapping``, ``enrolling``, ``enrolled`` or ``ready``: refuse a node that has
        not come as far, or that failed. Default: any stage will do.

    Returns a dictionary with ``minion_id``, ``kind``, ``stage``, ``sealed``, ``role``, ``provider``, ``region``,
    ``zone``, ``size``, ``instance_id``, ``public_ip``, ``private_ip`` and ``addresses``, a list of all. Where there is
    no such node: ``error`` and ``retcode``, and none of these.

    CLI Example:

    .. code-block:: bash

        salt-run hart.node web1.example.com stage=ready

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        from hart_salt.service import node as look

        name = arguments.word("hart.node", "id", minion_id, extra)
        return look(__opts__, name, arguments.names(stage=stage)["stage"])

    return _report(work, None, unknown)


def node_of(ip=None, *extra, **unknown):
    """
    Return which node has an IP address, by hart's records. It asks no cloud, and is quick; see ``hart.node``.

    ip
        The address. What is no IP address is refused, and so is one with a zone, such as ``fe80::1%eth0``.

    Returns a dictionary with ``ip``, and ``minion_id``, which is None where no node has it.

    CLI Example:

    .. code-block:: bash

        salt-run hart.node_of 203.0.113.7

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown)
        from hart_salt.service import node_of as look

        return look(__opts__, arguments.word("hart.node_of", "ip", ip, extra))

    return _report(work, None, unknown)


def list_roles(*extra, config=None, **unknown):
    """
    List the roles, each with the providers that a call without ``provider=`` may mean.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_roles

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        return service(config).list_roles()

    return _report(work, config, unknown)


def show_role(role=None, *extra, provider=None, region=None, config=None, **settings):
    """
    Show what a node of a role would be, all layers taken together. Secrets are shown as ``***``.

    role, provider, region, config, settings
        As for ``hart.create_role``. Give no secret as an argument.

    CLI Example:

    .. code-block:: bash

        salt-run hart.show_role app provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        name = arguments.word("hart.show_role", "role", role, extra)
        names = arguments.names(provider=provider, region=region)
        return service(config).show_role(name, **names, settings=_clean(settings))

    return _report(work, config, settings)


def list_regions(provider=None, *extra, config=None, **unknown):
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

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        return service(config).list_regions(**arguments.names(provider=provider))

    return _report(work, config, unknown)


def list_sizes(provider=None, *extra, region=None, config=None, **unknown):
    """
    List the sizes of a provider: memory in MB, CPUs, disk in GB, price a month before tax, and its currency.

    provider
        The configured provider. Default: the one that the configuration names, or the only one.

    region
        Only sizes on offer in this region. Default: all.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_sizes do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        return service(config).list_sizes(**arguments.names(provider=provider, region=region))

    return _report(work, config, unknown)


def list_images(provider=None, *extra, region=None, config=None, **unknown):
    """
    List the images of a provider, by what to write as ``image``.

    provider, region, config
        As for ``hart.list_sizes``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_images do

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        return service(config).list_images(**arguments.names(provider=provider, region=region))

    return _report(work, config, unknown)


def check(*extra, config=None, **unknown):
    """
    Check the configuration, the credentials of each provider, and what hart needs of this machine: one line each.

    Changes nothing. Beside the providers there are ``log directory``, ``record store``, ``broken records`` and ``open
    files``. Each line begins with ``ok`` where nothing is wrong.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.check

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        return service(config).check()

    return _report(work, config, unknown)


def version(*extra, **unknown):
    """
    Show the versions of hart-salt, Salt and Python, and which files are loaded.

    CLI Example:

    .. code-block:: bash

        salt-run hart.version

    .. versionadded:: 1.0.0
    """

    def work(service, arguments):
        arguments.refuse(unknown, extra)
        from hart_salt.service import version as versions

        return versions(__file__)

    return _report(work, None, unknown)


def _report(work, config=None, given=None):
    """
    Do the work and return its data; make a failure show in every place where Salt looks for one.

    ``retcode`` in the context makes the event and a ``salt.runner`` state fail, ``retcode`` in the returned
    dictionary makes ``salt-run`` exit with it; each alone lies in the other place. An exception would show
    as a traceback. The context outlives the call in a reactor, so it is set in any case. No reader of what is
    printed, and none of its absence, changes any of it.

    ``config`` and ``given`` are for the gate that everything passes: where secrets are, and what may hold one.
    """
    from hart_salt.base import signals, streams

    with streams.guarded(), signals.heard():
        data = _data(work, config, given)
    # Where Salt was asked for this function, and not for an orchestration with this as a part of it.
    if str(__opts__.get("fun", "")).startswith("hart."):
        signals.exit_with(data.get("retcode", 0))
    return data


def _data(work, config, given):
    __context__["retcode"] = 0
    try:
        # Everything heavy is imported here: when hart is called, and not when any other runner is.
        from hart_salt import arguments
        from hart_salt.answer import answer

        path = config if isinstance(config, str) else None
        report = answer(__opts__, functools.partial(work, arguments=arguments), path, _clean(given or {}))
        data = dict(report.data)
        if not report.ok:
            data["retcode"] = report.exit_code
    except SystemExit as error:  # a signal when nothing is under way that would be undone
        data = {"error": "interrupted; nothing was begun", "retcode": error.code or INTERRUPTED}
    except Exception as error:  # what hart needs is missing, or broken
        log.error("hart could not begin: %s", type(error).__name__)  # noqa: TRY400 - its text may quote anything
        data = {"error": f"hart could not begin: {type(error).__name__}; see salt-run hart.version", "retcode": DEFECT}
    if "retcode" in data:
        __context__["retcode"] = 1
    return data


def _clean(keywords):
    """The user's keywords: an orchestration adds its own, such as ``__pub_user``."""
    return {key: value for key, value in keywords.items() if not key.startswith("__")}


def _as_table(data):
    """For eyes: only on a terminal, and only where nobody asked for another form; what failed is shown as it is."""
    import sys

    if sys.stdout is None or not sys.stdout.isatty() or __opts__.get("output") or "retcode" in data or not data:
        return data
    from hart_salt.node.terminal import table

    return {"outputter": "txt", "data": table(data)}


# called by a reactor


def _from_reactor():
    """Whether a reactor called. What an orchestration calls gets another user, also if a reactor began that."""
    return globals().get("__user__") == "Reactor"


def _begin(function, args, kwargs):
    """Ask the master to start the same call as a process of its own, and return its job id."""
    given = inspect.signature(function).bind(*args, **_clean(kwargs)).arguments
    settings = next((given.pop(name) for name in ("settings", "unknown") if name in given), {})
    if given.pop("extra", ()):
        return function(*args, **kwargs)  # refused at once

    def work(service, arguments):
        # Salt would take a job's "arg" and "kwarg" for all of its arguments; no setting has such a name.
        arguments.refuse({name: settings[name] for name in ("arg", "kwarg") if name in settings})
        from hart_salt.master.client import Master
        from hart_salt.result import Result

        jid = Master(__opts__).begin(f"hart.{function.__name__}", {**given, **settings, BACKGROUND: True})
        return Result({"job": jid, "note": f"it runs as a job of its own; its end is the event hart/{jid}/result"})

    data = _report(work, given.get("config"), {**given, **settings})
    if "retcode" in data:
        log.error("hart.%s was not begun: %s", function.__name__, data["error"])
    return data


def _may_wait():
    """Nobody waits for a call that a reactor began: it must not queue up behind others like it."""
    return BACKGROUND not in __context__


def _tell(function, jid, data):
    """The end of a call that a reactor began: an event, and an error in the log if it failed."""
    from hart_salt.master.client import Master

    failed = isinstance(data, dict) and "retcode" in data
    if failed:
        log.error("%s, which a reactor called as job %s, failed: %s", function, jid, data)
    master = Master(__opts__)
    try:
        master.fire(f"hart/{jid}/result", {"fun": function, "jid": jid, "success": not failed, "return": data})
    finally:
        master.close()
