"""hart's part of the master's configuration and pillar, and the secrets in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import salt.config
import salt.loader
import salt.pillar
import salt.template
import salt.utils.sdb

from hart_salt.base.errors import ConfigError, Fault, Refused
from hart_salt.base.shape import without_endless
from hart_salt.config.sources import Source
from hart_salt.master.config_files import ConfigFiles, check, check_absence

#: how the names of Salt's own secret settings end
PASSWORDS = ("password", "passwd", "passphrase", "_pass", "_secret")


class Configuration:
    """The configuration ``opts`` of a salt-master, as Salt has read it, and what it refers to."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts

    @cached_property
    def files(self) -> ConfigFiles:
        """The files of the configuration, which are read once."""
        return ConfigFiles.read(self._opts)

    def section(self) -> Mapping[str, Any]:
        """
        Return the master config's ``hart:`` key; empty if there is none.

        Raises ``ConfigError`` if a file has a ``hart:`` that Salt did not show.
        """
        check(self._opts, self.files)
        return _section(self._opts, "the master config")

    def own_settings(self) -> dict[str, Any]:
        """
        Return what may hold a secret in the master's configuration, apart from ``hart:``.

        These are passwords, profiles of sdb, and databases. Of Salt's own settings, such as ``token_dir`` and
        ``eauth_tokens``, only those count whose names end in a word for passwords.
        """
        defaults = salt.config.DEFAULT_MASTER_OPTS
        own = {
            key: value
            for key, value in self._opts.items()
            if key != "hart"
            and (key not in defaults or key.endswith(PASSWORDS) or not isinstance(value, str))
            and value != defaults.get(key)
        }
        return without_endless(own)

    def from_sdb(self) -> list[Any]:
        """
        Return the values in the master's configuration that replaced an ``sdb://`` reference.

        Salt replaces the references when it reads its files, and does not say which values those are, so this reads the
        files again.
        """
        found: list[Any] = []
        _resolved(without_endless(self.files.raw), without_endless(self._opts), found)
        return found

    def pillar(self) -> Mapping[str, Any]:
        """
        Return the ``hart:`` key of the master's own pillar, compiled with its grains as ``state.orchestrate`` does it.

        Raises ``Refused`` if the pillar has errors.
        """
        if not self._has_pillar():
            return {}
        # Without Salt's caches: 3008 would write the pillar, and so its secrets, below the cachedir.
        opts = dict(self._opts, pillar_cache=False, minion_data_cache=False)
        # Loading the grains takes 0.12 s. Salt's loaders copy them before any pillar file is read, so they cannot be
        # loaded when a file asks for them.
        # Salt takes ``pillarenv`` from the options.
        grains, environment = salt.loader.grains(dict(opts)), opts.get("saltenv") or "base"
        compiler = salt.pillar.get_pillar(opts, grains, opts["id"], environment)
        pillar = compiler.compile_pillar()
        if pillar.get("_errors"):
            # The errors may quote the pillar, and so a secret in it.
            raise Refused(
                f"the pillar of this master ({self._opts['id']}) does not compile: see the messages of Salt above, or "
                "run salt-run salt.cmd pillar.items"
            )
        return _section(pillar, "the pillar")

    def sources(self, file: Source | None) -> list[Source]:
        """
        Return the sources of configuration: hart's own ``file``, if there is one, the master config, the pillar.

        Raises ``ConfigError`` or ``EnvironmentFault`` if a part is lost: a file that Salt skips, or that hides another.
        """
        read = [Source("master config", self.section()), Source("pillar", self.pillar())]
        if file is None and not any(source.data for source in read):
            check_absence(self.files)
        return [*([file] if file else []), *read]

    def _has_pillar(self) -> bool:
        """Return whether anything can put data into the pillar: a top file, or an external pillar."""
        if self._opts.get("ext_pillar"):
            return True
        top = str(self._opts.get("state_top") or "top.sls").removeprefix("salt://").lstrip("/")
        roots = [str(root) for roots in (self._opts.get("pillar_roots") or {}).values() for root in roots]
        return any("__env__" in root or Path(root, top).exists() for root in roots)

    def resolve_sdb(self, uri: str) -> Any:
        """Return the value of an ``sdb://`` URI; Salt returns the URI itself if it finds nothing."""
        return salt.utils.sdb.sdb_get(uri, self._opts)

    def render(self, path: str) -> Any:
        """Return the data of a file, rendered as states are. Raises ``Refused`` if it cannot be rendered."""
        try:
            renderers = salt.loader.render(self._opts, {})
            return salt.template.compile_template(
                path, renderers, self._opts.get("renderer", "jinja|yaml"), self._opts.get("renderer_blacklist"),
                self._opts.get("renderer_whitelist"),
            )  # fmt: skip
        except Exception as error:
            raise Refused(f"{path} cannot be rendered ({type(error).__name__}): fix it, or remove it") from error


def current_options(path: str) -> dict[str, Any]:
    """
    Return the options of the master with this configuration file, read now, as ``salt-run`` reads them.

    Raises ``ConfigError`` if Salt cannot read it.
    """
    try:
        found: dict[str, Any] = salt.config.master_config(path)
    except (Exception, SystemExit) as error:  # its text may quote the file
        files = ConfigFiles.read({"conf_file": path})
        unknown = [Fault(path, f"Salt cannot read it ({type(error).__name__})")]
        raise ConfigError([*files.faults, *files.doubtful] or unknown) from None
    return found


def with_current_hart(opts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the options of a master that runs, with ``hart:`` as its files have it now.

    A master keeps what it read when it started, and so do its jobs.

    Raises ``ConfigError`` if the files cannot be read.
    """
    new = current_options(str(opts["conf_file"]))
    kept = {key: value for key, value in opts.items() if key != "hart"}
    return {**kept, "hart": new["hart"]} if "hart" in new else kept


def _resolved(raw: Any, read: Any, found: list[Any]) -> None:
    """Walk both trees, the files and what Salt made of them, and collect the values of references."""
    if isinstance(raw, str) and raw.startswith("sdb://"):
        found.append(read)
    elif isinstance(raw, Mapping) and isinstance(read, Mapping):
        for key, value in raw.items():
            _resolved(value, read.get(key), found)
    elif isinstance(raw, list) and isinstance(read, list | tuple):
        for one, other in zip(raw, read, strict=False):
            _resolved(one, other, found)


def _section(data: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the ``hart:`` key of ``data``. A key without a value is a fault: its settings are not indented."""
    if "hart" not in data:
        return {}
    section = data["hart"]
    if section is None:
        empty = f"is empty in {where}: indent its settings below it, or write {{}} if there are none"
        raise ConfigError([Fault("hart", empty)])
    if not isinstance(section, Mapping):
        raise ConfigError([Fault("hart", f"must be a mapping in {where}")])
    return section
