"""Which locks a master uses, and the combinations of locks and records that are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hart_salt.base.errors import Refused
from hart_salt.config.cluster import Cluster
from hart_salt.inventory.choose_locks import check_layout, locks_of
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import Store
from hart_salt.model import Place
from tests.unit.inventory.test_records import MemoryCache

SHARED = Store(MemoryCache(), Place("redis at db", shared=True))
OWN = Store(MemoryCache(), Place("localfs below /var/cache/salt/master"))
URL = "redis://:hunter22@db:1/0"


@pytest.mark.parametrize(
    ("cluster", "store"),
    [(Cluster(), OWN), (Cluster(single_master=True), SHARED), (Cluster(coordination=URL), SHARED)],
)
def test_what_fits_together(cluster: Cluster, store: Store) -> None:
    check_layout(cluster, store)


@pytest.mark.parametrize(
    ("cluster", "store", "sentence"),
    [
        (Cluster(), SHARED, "the locks of hart are files of this machine: set hart: coordination to a server"),
        (Cluster(coordination=URL), OWN, "redis at db:1, database 0, but the records are files of this machine"),
        (Cluster(coordination=URL, single_master=True), OWN, "the records are files of this machine"),
    ],
)
def test_what_does_not_is_refused(cluster: Cluster, store: Store, sentence: str) -> None:
    with pytest.raises(Refused) as caught:
        check_layout(cluster, store)
    assert sentence in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_the_setting_chooses(tmp_path: Path) -> None:
    assert isinstance(locks_of(Cluster(), OWN, str(tmp_path), "me"), FileLocks)
    found = locks_of(Cluster(coordination=f"{URL}?lease=30"), SHARED, str(tmp_path), "me")
    assert isinstance(found, LeaseLocks)
    assert (found.words, found._times.lease) == ("redis at db:1, database 0", 30.0)


@pytest.mark.parametrize(
    ("url", "module"),
    [(URL, "redis"), ("etcd3+http://db", "etcd3gw"), ("mysql://hart:hunter22@db/salt", "pymysql")],
)
def test_a_missing_module_is_named_when_it_is_needed(
    url: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = locks_of(Cluster(coordination=url), SHARED, str(tmp_path), "me")
    assert locks.look({}).dead_batches() == {}
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith((f"{module}.", "hart_salt.coordination.on_"))]:
        monkeypatch.delitem(sys.modules, name)
    why = rf"needs the Python module {module}: install hart-salt\[cluster\]"
    with pytest.raises(Refused, match=why), locks.claim("a"):
        pytest.fail("claimed")
