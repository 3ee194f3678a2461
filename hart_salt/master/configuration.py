"""hart's part of the master's configuration and pillar, and the secrets in them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import salt.config
import salt.loader
import salt.pillar
import salt.template
import salt.utils.sdb

from hart_salt.base.errors import ConfigError, Fault, Refused

#: how the names of Salt's own secret settings end
PASSWORDS = ("password", "passwd", "passphrase", "_pass", "_secret")


class Configuration:
    """The configuration ``opts`` of a salt-master, as Salt has read it, and what it refers to."""

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts

    def section(self) -> Mapping[str, Any]:
        """Return the master config's ``hart:`` key; empty if there is none."""
        return _section(self._opts.get("hart"), "the master config")

    def own_settings(self) -> dict[str, Any]:
        """
        Return what may hold a secret in the master's configuration, apart from ``hart:``.

        These are passwords, profiles of sdb, and databases. Of Salt's own settings, such as ``token_dir`` and
        ``eauth_tokens``, only those count whose names end in a word for passwords.
        """
        defaults = salt.config.DEFAULT_MASTER_OPTS
        return {
            key: value
            for key, value in self._opts.items()
            if key != "hart"
            and (key not in defaults or key.endswith(PASSWORDS) or not isinstance(value, str))
            and value != defaults.get(key)
        }

    def from_sdb(self) -> list[Any]:
        """
        Return the values in the master's configuration that replaced an ``sdb://`` reference.

        Salt replaces the references when it reads its files, and does not say which values those are, so this reads the
        files again.
        """
        found: list[Any] = []
        path = str(self._opts.get("conf_file") or "")
        with contextlib.suppress(Exception):  # Salt has read the files already, and reports what is wrong with them
            raw = dict(salt.config._read_conf_file(path))
            for more in (self._opts.get("default_include"), raw.get("include")):
                raw.update(salt.config.include_config(more, path, verbose=False) if more else {})
            _resolved(raw, self._opts, found)
        return found

    def pillar(self) -> Mapping[str, Any]:
        """Return the ``hart:`` key of the master's own pillar. Raises ``Refused`` if the pillar has errors."""
        # Without Salt's caches: 3008 would write the pillar, and so its secrets, below the cachedir.
        opts = dict(self._opts, pillar_cache=False, minion_data_cache=False)
        compiler = salt.pillar.get_pillar(opts, {"id": opts["id"]}, opts["id"], "base")
        pillar = compiler.compile_pillar()
        if pillar.get("_errors"):
            # The errors may quote the pillar, and so a secret in it.
            raise Refused(
                f"the pillar of this master ({self._opts['id']}) does not compile; "
                f"see: salt-run pillar.show_pillar {self._opts['id']}"
            )
        return _section(pillar.get("hart"), "the pillar")

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


def _section(data: Any, where: str) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError([Fault("hart", f"must be a mapping in {where}")])
    return data
