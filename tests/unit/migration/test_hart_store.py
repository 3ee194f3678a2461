"""hart's own store of minions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.config.schema import Provider
from hart_salt.drivers.local.driver import Account
from hart_salt.migration import hart_store
from hart_salt.migration.match import ImportRequest, Noted

#: from the docstring of ``minion_store.py`` in hart 0.22
ENTRY: dict[str, Any] = {
    "minion_id": "minion.us-east-1.ec2.consumer", "provider": "ec2", "region": "us-east-1", "zone": "us-east-1a",
    "size": "t3.micro", "debian_codename": "bookworm", "roles": ["consumer"], "public_ips": ["203.0.113.5"],
    "private_ips": ["10.0.0.5"], "connect_via_private_ip": False, "node_id": "i-0123456789abcdef0",
    "node_name": "minion.us-east-1.ec2.consumer", "created_at": "2026-08-06T12:00:00+00:00",
}  # fmt: skip
PROVIDERS = {name: Provider(name, driver, Account()) for name, driver in (("ec2", "ec2"), ("mine", "do"))}


def test_a_store_that_hart_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "minions.json"
    file.write_text(json.dumps({"version": 1, "minions": {ENTRY["minion_id"]: ENTRY}}))
    ((minion_id, entry),) = hart_store.read(str(file)).items()
    assert hart_store.request(minion_id, entry, PROVIDERS, None) == ImportRequest(
        ENTRY["minion_id"], "ec2", region="us-east-1",
        noted=Noted("i-0123456789abcdef0", ("consumer",), frozenset(["203.0.113.5", "10.0.0.5"])),
    )  # fmt: skip


def test_nulls_and_missing_fields_are_ignored() -> None:
    entry = {"provider": "ec2", "region": None, "roles": None, "public_ips": None, "node_id": None}
    assert hart_store.request("a", entry, PROVIDERS, None) == ImportRequest("a", "ec2", noted=Noted())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a JSON document"),
        ("[]", "has no mapping of minions"),
        ('{"version": 2, "minions": {}}', "has version 2, but only 1 is supported"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "minions.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Refused, match=words):
        hart_store.read(str(file))


@pytest.mark.parametrize(
    ("alias", "given", "provider"), [("ec2", None, "ec2"), ("do", None, "mine"), ("gce", "mine", "mine")]
)
def test_the_provider(alias: str, given: str | None, provider: str) -> None:
    assert hart_store.request("a", {"provider": alias}, PROVIDERS, given).provider == provider


@pytest.mark.parametrize("entry", [None, [], {}, {"provider": 1}, {"provider": "gce"}])
def test_an_entry_without_an_existing_provider_is_refused(entry: Any) -> None:
    with pytest.raises(Refused, match="names no provider|name one with provider="):
        hart_store.request("a", entry, PROVIDERS, None)


def test_a_region_of_vultr_s_first_api_is_translated() -> None:
    providers = {"vultr": Provider("vultr", "vultr", Account())}
    entry = {"provider": "vultr", "region": "7", "node_id": "12345678"}
    wanted = ImportRequest("a", "vultr", region="ams", noted=Noted("12345678"))
    assert hart_store.request("a", entry, providers, None) == wanted
    assert hart_store.request("a", {**entry, "region": "ams"}, providers, None) == wanted


def test_the_store_is_where_hart_s_users_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HART_MINION_STORE", raising=False)
    assert hart_store.default_file() == "/var/lib/hart/minions.json"
    monkeypatch.setenv("HART_MINION_STORE", "/srv/minions.json")
    assert hart_store.default_file() == "/srv/minions.json"
