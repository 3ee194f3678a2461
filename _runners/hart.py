"""
Create cloud instances as trusted Salt minions, and destroy them again.

:depends: the Python package ``hart-salt``

Configuration is the ``hart:`` key of the master config, the ``hart:`` key of the master's own pillar, and
``/etc/hart.toml``; see the README of hart-salt.

Every function returns plain data. If something failed, ``salt-run`` exits with a code that is not 0, a
``salt.runner`` state is False, and the returned dictionary has ``retcode`` and either ``error`` (nothing was
done) or, under the id of each node that failed, ``result: False`` and ``error``.
"""

import importlib.util
import logging
import traceback

log = logging.getLogger(__name__)

__virtualname__ = "hart"

INTERRUPTED = 130  # as after Ctrl-C in a shell
REFUSED = 2  # the exit code of a request that was not carried out at all
DEFECT = 70  # the exit code of an error that is ours: EX_SOFTWARE of sysexits.h


def __virtual__():
    # Salt imports every runner on every salt-run: this finds the package without importing what it needs.
    if importlib.util.find_spec("hart_salt") is None:
        return False, "the Python package hart-salt is not installed: salt-pip install hart-salt"
    return __virtualname__


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
        Any setting that a role may have, such as ``size=``, ``minion_config=`` or ``apply=highstate``.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create db1.example.com provider=do size=s-2vcpu-4gb

    .. versionadded:: 1.0.0
    """

    def work(service):
        ids = _ids("hart.create", minion_id, extra)
        return service(config).create(
            ids, **_names(role=role, provider=provider, region=region), settings=_clean(settings), test=_flag(test)
        )

    return _report(work)


def create_role(role=None, *extra, count=1, provider=None, region=None, config=None, test=False, **settings):
    """
    Create nodes of a role; their ids follow the role's ``role_naming_scheme``.

    role
        The role, as ``hart.list_roles`` shows it.

    count
        How many. They come up side by side; one that fails leaves the others alone. Default: 1.

    provider, region, config, test, settings
        As for ``hart.create``.

    Returns a dictionary by minion id.

    CLI Example:

    .. code-block:: bash

        salt-run hart.create_role app count=3 provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service):
        name = _word("hart.create_role", "role", role, extra)
        return service(config).create(
            None, role=name, count=_count(count), **_names(provider=provider, region=region),
            settings=_clean(settings), test=_flag(test),
        )  # fmt: skip

    return _report(work)


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

    def work(service):
        _none(unknown)
        return service(config).destroy(_ids("hart.destroy", minion_id, extra), test=_flag(test))

    return _report(work)


def list_minions(*extra, role=None, provider=None, region=None, config=None, **unknown):
    """
    List the nodes of this master, with what cloud, records and key store say of each.

    role, provider, region
        Show only nodes that match. Default: all.

    config
        As for ``hart.create``.

    Returns a dictionary by minion id. ``status`` is ``ready``, ``in progress``, ``stopped``,
    ``no instance``, ``no key``, ``no record``, ``failed``, ``left at <stage>`` or ``unknown``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.list_minions role=app

    .. versionadded:: 1.0.0
    """

    def work(service):
        _none(unknown, extra)
        return service(config).list_minions(**_names(role=role, provider=provider, region=region))

    return _report(work)


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

    def work(service):
        _none(unknown, extra)
        return service(config).list_roles()

    return _report(work)


def show_role(role=None, *extra, provider=None, region=None, config=None, **settings):
    """
    Show what a node of a role would be, all layers taken together. Secrets are shown as ``***``.

    role, provider, region, config, settings
        As for ``hart.create_role``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.show_role app provider=do region=nyc3

    .. versionadded:: 1.0.0
    """

    def work(service):
        name = _word("hart.show_role", "role", role, extra)
        return service(config).show_role(name, **_names(provider=provider, region=region), settings=_clean(settings))

    return _report(work)


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

    def work(service):
        _none(unknown, extra)
        return service(config).list_regions(**_names(provider=provider))

    return _report(work)


def list_sizes(provider=None, *extra, region=None, config=None, **unknown):
    """
    List the sizes of a provider: memory in MB, CPUs, disk in GB, price in US dollars a month.

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

    def work(service):
        _none(unknown, extra)
        return service(config).list_sizes(**_names(provider=provider, region=region))

    return _report(work)


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

    def work(service):
        _none(unknown, extra)
        return service(config).list_images(**_names(provider=provider, region=region))

    return _report(work)


def check(*extra, config=None, **unknown):
    """
    Check the configuration, and the credentials of each provider: one line each. Changes nothing.

    config
        As for ``hart.create``.

    CLI Example:

    .. code-block:: bash

        salt-run hart.check

    .. versionadded:: 1.0.0
    """

    def work(service):
        _none(unknown, extra)
        return service(config).check()

    return _report(work)


def version(*extra, **unknown):
    """
    Show the versions of hart-salt, Salt and Python, and which files are loaded.

    CLI Example:

    .. code-block:: bash

        salt-run hart.version

    .. versionadded:: 1.0.0
    """

    def work(service):
        _none(unknown, extra)
        from hart_salt.service import version as versions

        return versions(__file__)

    return _report(work)


def _report(work):
    """
    Do the work and return its data; make a failure show in every place where Salt looks for one.

    ``retcode`` in the context makes the event and a ``salt.runner`` state fail, ``retcode`` in the returned
    dictionary makes ``salt-run`` exit with it; each alone lies in the other place. An exception would show
    as a traceback. The context outlives the call in a reactor, so it is set in any case.
    """
    from hart_salt.errors import HartError, Interrupted

    __context__["retcode"] = 0
    try:
        report = work(_service)
        data = dict(report.data)
        if not report.ok:
            data["retcode"] = report.exit_code
    except Interrupted as error:
        data = {"error": str(error), "retcode": 128 + error.signum}
    except HartError as error:
        data = {"error": str(error), "retcode": REFUSED}
    except SystemExit:  # what Salt makes of SIGINT and SIGTERM when nothing is under way that would be undone
        data = {"error": "interrupted; nothing was begun", "retcode": INTERRUPTED}
    except Exception as error:  # whatever it is, it must not become a success
        # Its kind and its place are told: the text of an error that nobody foresaw may quote a secret.
        frames = reversed(traceback.extract_tb(error.__traceback__))
        place = ", ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
        log.error("hart failed with %s at %s", type(error).__name__, place)  # noqa: TRY400 - see above
        data = {"error": f"a defect in hart: {type(error).__name__}; the log has its place", "retcode": DEFECT}
    if "retcode" in data:
        __context__["retcode"] = 1
    return data


def _service(config):
    """Everything heavy is imported here: when hart is called, and not when any other runner is."""
    from hart_salt.errors import Refused
    from hart_salt.service import Service

    if config is not None and not isinstance(config, str):
        raise Refused("config must be the path of a TOML file")
    return Service(__opts__, config)


def _clean(keywords):
    """The user's keywords: an orchestration adds its own, such as ``__pub_user``."""
    return {key: value for key, value in keywords.items() if not key.startswith("__")}


def _none(keywords, positional=()):
    """Refuse what a function does not know; Salt would call a TypeError a success."""
    from hart_salt.errors import Refused

    names = [*_clean(keywords), *map(str, positional)]
    if names:
        raise Refused(f"unknown argument: {', '.join(sorted(names))}")


def _names(**given):
    """Names as text; a command line makes a number of digits, and a state may hold anything."""
    from hart_salt.errors import Refused

    kinds = str | int | None
    wrong = [name for name, value in given.items() if not isinstance(value, kinds) or isinstance(value, bool)]
    if wrong:
        raise Refused(f"{' and '.join(wrong)} must be a name, in text")
    return {name: None if value is None else str(value) for name, value in given.items()}


def _word(function, name, value, extra):
    from hart_salt.errors import Refused

    if value is None or isinstance(value, (dict, list)) or value == "":
        article = "an" if name == "id" else "a"
        raise Refused(f"{function} needs {article} {name}: salt-run {function} {name.upper()}")
    if extra:
        raise Refused(f"{function} takes one {name}; give everything else as name=value: {extra[0]}")
    return str(value)


def _ids(function, value, extra):
    """Ids from the command line (one text with commas), or from a state (a list)."""
    from hart_salt.errors import Refused

    if isinstance(value, list) and value and not extra:
        parts = [str(part) for part in value]
    else:
        parts = _word(function, "id", value, extra).split(",")
    ids = [part.strip() for part in parts if part.strip()]
    if not ids:
        raise Refused(f"{function} needs an id: salt-run {function} ID")
    return ids


def _count(value):
    from hart_salt.errors import Refused

    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused("count must be a whole number of at least 1")
    return value


def _flag(value):
    from hart_salt.errors import Refused

    if not isinstance(value, bool):
        raise Refused("test must be True or False")
    return value
