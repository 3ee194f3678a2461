"""No token leaks, not even in part: an API quotes tokens, a driver refuses them, a node prints their pieces."""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.emulation.http import Answer, Request
from tests.end_to_end import wire
from tests.end_to_end.conftest import Event, Ran, SaltMaster, running_master
from tests.end_to_end.tools import AT_START, tried

FORM = "dop_v1_"  # the prefix of all tokens
PART = 8  # consecutive characters of a token that must not be visible
#: where a token is planted
PLACES = ("config", "config_sdb", "pillar", "toml", "tag_sdb", "minion_config", "argument")

#: prints the end of the configuration from every place in it, and its beginning up to every place
PIECES = r"""#!/bin/sh
tr '\n' ' ' < "$HART_ROOT/etc/salt/minion.d/zzz-hart.conf" |
awk '{ for (at = 1; at <= length($0); at++) { print substr($0, at); print substr($0, 1, at) } }'
exit 1
"""
#: fails as soon as the node has its configuration, which it prints with a long text after it
CUT = 'cat "$HART_ROOT/etc/salt/minion.d/zzz-hart.conf" >&2; head -c 440 /dev/zero | tr "\\0" x >&2; exit 1\n'


def _quoted(request: Request) -> Answer:
    """Refuse the token, and quote it: completely, and the parts on both sides of every cut."""
    token = request.headers["authorization"].removeprefix("Bearer ")
    at = len(token) // 2
    message = f"{token} is no token; {token[:at]}... neither; nor …{token[at:]}; seen: {token[5:-5]}; {token[:at]}"
    return Answer(422, {"id": f"bad_{token}", "message": message})


@dataclass
class Said:
    """Everything that somebody could read, and the tokens."""

    tokens: dict[str, str]
    runs: dict[str, Ran]
    events: list[Event]
    files: dict[str, str]

    def parts_in(self, text: str, but: tuple[str, ...] = ()) -> list[str]:
        """Return the tokens of which 8 consecutive characters are in the text."""
        return [
            name
            for name, token in self.tokens.items()
            if name not in but and any(token[at : at + PART] in text for at in range(len(FORM), len(token) - PART + 1))
        ]


CALLS = {
    "check": ["hart.check"],
    "regions": ["hart.list_regions", "config"],
    "sizes": ["hart.list_sizes", "sdb"],
    "images": ["hart.list_images", "pillar"],
    "minions": ["hart.list_minions"],
    "sweep": ["hart.sweep"],
    "create": ["hart.create", "db1", "provider=toml", "region=sfo3"],
    "import": ["hart.import_minion", "db1", "provider=config"],
    "tag": ["hart.create", "web1", "role=tagged"],
    "cut": ["hart.create", "cut", "role=secret"],
    "pieces": ["hart.create", "pieces", "role=pieces"],
    "kept": ["hart.show", "pieces"],
    "gone": ["hart.destroy", "pieces"],
}


@pytest.fixture(scope="module")
def said(factories: Any) -> Iterator[Said]:
    tokens = {name: FORM + randomness.token_hex(32) for name in PLACES}
    with (
        running_master(factories, log_level_logfile="debug") as master,
        wire.answering(_quoted) as api,
        tried(master) as trial,
    ):
        _plant(master, tokens, api)
        trial.alter("cut", AT_START, CUT)
        with master.events() as events:
            runs = {name: master.run(*call, f"config={master.root}/hart.toml") for name, call in CALLS.items()}
            settings = json.dumps({"mine": {"api_token": tokens["argument"]}})
            argument = ["hart.create", "arg1", f"minion_config={settings}", "test=True"]
            runs["argument"] = master.run(*argument)
            runs["known"] = master.run("hart.show_role", "app", f"size={tokens['config']}", "provider=local")
            runs["broken"] = master.run("hart.check", f"config={master.root}/broken.toml")
            runs["early"] = master.run("hart.destroy", "a", tokens["pillar"])
            runs["jobs"] = master.run("jobs.list_jobs")
        yield Said(tokens, runs, list(events), _files(master))


def _plant(master: SaltMaster, tokens: dict[str, str], api: str) -> None:
    vault, script = master.root / "vault.yml", master.root / "pieces.sh"
    vault.write_text(yaml.safe_dump({"token": tokens["config_sdb"], "tag": f"hart-owner:{tokens['tag_sdb']}"}))
    script.write_text(PIECES)
    master.config["vault"] = {"driver": "yaml", "files": [str(vault)]}
    do = {"driver": "do", "endpoint": api}
    master.hart["providers"].update(config={**do, "token": tokens["config"]}, sdb={**do, "token": "sdb://vault/token"})
    secret = {"mine": {"password": tokens["minion_config"]}}
    master.hart.update(
        provider="local",
        roles={
            "app": {},
            "tagged": {"tags": ["sdb://vault/tag"]},
            "secret": {"minion_config": secret},
            "pieces": {"minion_config": secret, "script": str(script), "keep_failed": True},
        },
    )
    master.write()
    pillar = master.root / "srv/pillar"
    (pillar / "top.sls").write_text(f"base: {{'{master.root.name}': [hart]}}")
    in_pillar = {"hart": {"providers": {"pillar": {**do, "token": tokens["pillar"]}}}}
    (pillar / "hart.sls").write_text(yaml.safe_dump(in_pillar))
    toml = f'[providers.toml]\ndriver = "do"\nendpoint = "{api}"\ntoken = "{tokens["toml"]}"\n'
    (master.root / "hart.toml").write_text(toml)
    # The value of one setting is the name of another: the fault quotes it.
    (master.root / "broken.toml").write_text(f'{toml}{tokens["toml"]} = 1\n[roles."{tokens["toml"]} x"]\n')


def _files(master: SaltMaster) -> dict[str, str]:
    """Return logs, records and everything that Salt stores, without what is meant to hold a token."""
    meant = {"vault.yml", "hart.toml", "broken.toml", "hart.sls"}
    paths = [path for part in ("log", "var", "run", "tmp") for path in (master.root / part).rglob("*")]
    files = [path for path in paths if path.is_file() and path.name not in meant]
    return {str(path.relative_to(master.root)): path.read_bytes().decode(errors="replace") for path in files}


#: what Salt itself publishes of a call, before hart runs: its arguments
PUBLISHED = ("argument", "config", "pillar")


def test_each_call_ended_as_expected(said: Said) -> None:
    codes = {name: ran.code for name, ran in said.runs.items()}
    good = dict.fromkeys(("kept", "gone", "jobs", "argument", "known"), 0)
    refused = dict.fromkeys(("regions", "sizes", "images", "create", "import", "tag", "broken", "early"), 2)
    assert codes == {**dict.fromkeys(codes, 1), **refused, **good}, {n: r.stdout for n, r in said.runs.items()}
    # Paths and other values that are not secret are shown.
    assert said.runs["check"].data["log directory"].endswith("/log/hart")
    assert "***" not in said.runs["check"].data["log directory"] + said.runs["kept"].data["log"]
    assert "is no token" in said.runs["regions"].data["error"]
    assert said.runs["tag"].data["error"] == "web1: the tag *** is one of hart's own"
    assert "failed with exit code 1" in said.runs["cut"].data["cut"]["error"]
    assert said.runs["pieces"].data["pieces"]["result"] is False


def test_no_part_of_a_token_is_printed(said: Said) -> None:
    texts = {name: ran.stdout + ran.stderr for name, ran in said.runs.items() if name != "jobs"}
    assert {name: found for name, text in texts.items() if (found := said.parts_in(text))} == {}
    assert said.parts_in(said.runs["jobs"].stdout, PUBLISHED) == []


def test_no_part_of_a_token_is_in_an_event(said: Said) -> None:
    texts = [(event.tag, json.dumps(event.data, default=str)) for event in said.events]
    harts = [(tag, text) for tag, text in texts if tag.startswith("hart/")]
    assert [(tag, found) for tag, text in harts if (found := said.parts_in(text))] == []
    assert [(tag, found) for tag, text in texts if (found := said.parts_in(text, PUBLISHED))] == []
    assert any('"error"' in text for _, text in harts)


def test_no_part_of_a_token_is_in_a_log_a_record_or_the_job_cache(said: Said) -> None:
    found = {name: parts for name, text in said.files.items() if (parts := said.parts_in(text, PUBLISHED))}
    # The node that failed and was kept has its configuration.
    assert {name: parts for name, parts in found.items() if not name.endswith("minion.d/zzz-hart.conf")} == {}
    logs = {name: text for name, text in said.files.items() if name.startswith("log/")}
    assert {name for name, text in logs.items() if name != "log/master" and said.parts_in(text)} == set()
    assert "***" in logs["log/hart/pieces.log"]


def test_the_notes_warn_of_a_secret_in_an_argument(said: Said) -> None:
    (note,) = said.runs["argument"].document["notes"]
    assert note.startswith("minion_config:mine:api_token holds a secret: an argument appears in")
    (note,) = said.runs["known"].document["notes"]
    assert note.startswith("size holds a secret: ")
    others = [name for name, ran in said.runs.items() if "holds a secret" in ran.stdout]
    assert sorted(others) == ["argument", "known"]
