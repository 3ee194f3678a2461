"""
Complete the sealing of nodes that became ready and were never sealed.

It runs over Salt, since the SSH session ended with the operation that had it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import HartError
from hart_salt.drivers.contract import Driver
from hart_salt.inventory import rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found
from hart_salt.inventory.records import Record, is_same
from hart_salt.model import Instance
from hart_salt.node import bootstrap

NOT_SEALED = 9  #: exit code of a check that found something to seal
#: Idempotent, wherever an earlier sealing was interrupted: the seal script is removed last, with its directory. After a
#: reboot that directory is gone, and sshd's drop-in shows that the node was not sealed.
SCRIPT = r"""run="$1/run/hart"
drop_in="$1/etc/ssh/sshd_config.d/00-hart.conf"
sshd_config="$1/etc/ssh/sshd_config"
[ -e "$run" ] || [ -e "$drop_in" ] || exit 0
[ "$2" = seal ] || exit 9
HART_ROOT="$1"
export HART_ROOT
if [ -e "$run/seal" ]; then
    sh "$run/seal" <<'HART_SEAL_INPUT' || [ ! -e "$run" ] || exit 1
@SEAL_INPUT@HART_SEAL_INPUT
fi
if [ -e "$drop_in" ]; then
    for file in "$1"/root/.ssh/authorized_keys "$1"/home/*/.ssh/authorized_keys; do
        [ ! -e "$file" ] || sed -i -E '/ hart-[0-9a-f]{12,14}[[:space:]]*$/d' "$file"
    done
    rm -f "$drop_in" "$1/var/log/hart-bootstrap.log"
    [ ! -e "$sshd_config" ] || sed -i --follow-symlinks "\|^Include $drop_in\$|d" "$sshd_config"
    if [ -z "$1" ] && systemctl -q is-active ssh.service; then
        action=reload
        if systemctl -q is-active ssh.socket; then action=restart; fi
        systemctl $action ssh.service
    fi
fi
rm -rf "$run"
""".replace("@SEAL_INPUT@", bootstrap.seal_input())


def finish(
    nodes: Sequence[tuple[Record, Instance]],
    drivers: Mapping[str, Driver],
    context: Context,
    *,
    young: Collection[str] = (),
) -> dict[str, str]:
    """
    Seal nodes whose minions answer, and write that to their records.

    ``young`` has the ids of nodes that an operation on another machine may still be sealing: these are only checked.

    Returns, by minion id, why a node is not sealed; sealed nodes are not in it.
    """
    answers: dict[str, tuple[int, str] | None] = {}
    for (root, how), minion_ids in _groups(nodes, drivers, young).items():
        answers.update(context.master.minions.shell_all(minion_ids, SCRIPT, [root, how]))
    problems = {}
    for record, instance in nodes:
        try:
            problem = _said(answers.get(record.minion_id)) or _settle(record, instance, drivers, context)
        except HartError as error:
            problem = str(error)
        if problem:
            problems[record.minion_id] = problem
    return problems


def restore(
    lost: Sequence[Found], drivers: Mapping[str, Driver], context: Context, *, test: bool = False
) -> Sequence[Record]:
    """Rebuild lost records; the minions that answer say whether they are sealed. With ``test``, write nothing."""
    records = [rebuild.new_record(found, context) for found in lost]
    if test:
        return records
    written, _ = rebuild.write(records, context)
    instances = {found.instance.minion_id: found.instance for found in lost}
    answering = context.master.minions.present([record.minion_id for record in written])
    nodes = [(one, instances[one.minion_id]) for one in written if one.minion_id in answering]
    if nodes:
        finish(nodes, drivers, context, young=answering)
    return [context.store.get(record.minion_id) or record for record in records]


def seen_by_minion(answer: Any) -> dict[str, Any]:
    """Return the result for what ``hart.sealed`` returned on one minion."""
    if answer is True:
        return {"result": True}
    if isinstance(answer, list):
        return {"result": False, "error": "; ".join(map(str, answer))}
    if answer is None:
        return {"result": False, "error": "the minion gave no answer"}
    return {"result": False, "error": f"hart.sealed could not run: {answer}; see salt-run saltutil.sync_modules"}


def remedy(minion_id: str) -> str:
    """Return what to do about a node that could not be sealed."""
    return f"salt-run hart.sweep seals it once its minion answers; salt-run hart.destroy {minion_id} removes the node"


def _groups(
    nodes: Sequence[tuple[Record, Instance]], drivers: Mapping[str, Driver], young: Collection[str]
) -> dict[tuple[str, str], list[str]]:
    """Group the nodes whose scripts have the same arguments, by these, since each group takes one job."""
    groups: dict[tuple[str, str], list[str]] = {}
    for record, instance in nodes:
        how = "look" if record.minion_id in young else "seal"
        groups.setdefault((drivers[record.provider].root(instance), how), []).append(record.minion_id)
    return groups


def _said(answer: tuple[int, str] | None) -> str:
    if answer is None:
        return "its minion gave no answer"
    code, said = answer
    if code == NOT_SEALED:
        return "it is younger than the grace period, and another machine may be sealing it"
    return f"its seal script ended with exit code {code}: {said}" if code else ""


def _settle(record: Record, instance: Instance, drivers: Mapping[str, Driver], context: Context) -> str:
    """Do the provider's part of sealing and write the record; return why that failed, or an empty string."""
    drivers[record.provider].settle(instance)
    if record.protected:
        drivers[record.provider].protect(instance, on=True)
    with context.locks.claim(record.minion_id):
        found = context.store.get(record.minion_id)
        if found is None or not is_same(found, record):
            return "another operation has changed it since sweep decided"
        context.store.put(dataclasses.replace(found, sealed=True))
    return ""
