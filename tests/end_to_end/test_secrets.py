"""A secret stays where it was written: a complete run shows it to nobody and writes it nowhere."""

from __future__ import annotations

import base64
import json
import secrets as randomness
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.emulation.http import Answer, Request
from tests.end_to_end import wire
from tests.end_to_end.conftest import Event, Ran, SaltMaster, running_master

SEPARATOR = " +/'\"é "


def token() -> str:
    """
    Return a secret with several words, longer than a line, with characters that each format escapes in its own way.
    """
    return SEPARATOR.join(randomness.token_hex(8) for _ in range(6))


def pem() -> str:
    form = serialization.PrivateFormat.PKCS8
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


#: every place that can hold a secret; its name says where it is planted
IN_ACCOUNTS = (
    "toml", "toml_sdb", "config", "config_sdb", "pillar", "pillar_sdb", "ec2_id", "ec2_key", "ec2_plain_id",
    "ec2_plain_key", "wrong_type", "bad_line",
)  # fmt: skip
#: of letters that are valid in Amazon's keys: with others no request is sent
PLAIN = ("ec2_plain_id", "ec2_plain_key")
IN_MINION_CONFIG = ("minion_config", "minion_config_toml", "minion_config_sdb", "minion_config_pillar", "in_url", "pem")


@dataclass
class Planted:
    """The master with all secrets in their places, and the files that hold them."""

    master: SaltMaster
    tokens: dict[str, str]
    pem: str
    toml: Path
    files: list[Path] = field(default_factory=list)

    def forms(self) -> dict[str, list[str]]:
        """Return what to search for: each secret as it is and as others would write it; of the PEM every line."""
        lines = self.pem.splitlines()[1:-1]
        return {
            "pem": [*lines, lines[5][4:-4]],
            **{name: [*_forms(value), *value.split(SEPARATOR)] for name, value in self.tokens.items()},
        }


def _forms(value: str) -> list[str]:
    encoded = base64.b64encode(value.encode()).decode()
    return [value, json.dumps(value)[1:-1], quote(value), quote(value, safe=""), encoded]


@pytest.fixture(scope="module")
def planted(factories: Any) -> Iterator[Planted]:
    tokens = {name: token() for name in (*IN_ACCOUNTS, *IN_MINION_CONFIG) if name != "pem"}
    tokens.update({name: randomness.token_hex(20) for name in PLAIN})
    key = pem()
    with running_master(factories, log_level_logfile="debug", hart={}) as master, wire.answering(_refused) as api:
        toml, vault, pillar = master.root / "hart.toml", master.root / "vault.yml", master.root / "srv/pillar/hart.sls"
        vault.write_text(yaml.safe_dump({name: value for name, value in tokens.items() if name.endswith("_sdb")}))
        (pillar.parent / "top.sls").write_text(f"base: {{'{master.root.name}': [hart]}}")
        script = master.root / "fails.sh"
        script.write_text('#!/bin/sh\ncat "$HART_ROOT/etc/salt/minion.d/zzz-hart.conf"\nexit 1\n')
        master.config["vault"] = {"driver": "yaml", "files": [str(vault)]}
        master.config["hart"] = {
            "saltmaster": "127.0.0.1",
            "provider": "local",
            "minion_config": {"mine": {"db_password": tokens["minion_config"], "private_key": key}},
            "providers": {
                "local": {},
                "do": {"token": tokens["config"], "region": "sfo3", "endpoint": api},
                "second": {"driver": "do", "token": "sdb://vault/config_sdb", "endpoint": api},
                "ec2": {
                    "aws_access_key_id": tokens["ec2_id"],
                    "aws_secret_access_key": tokens["ec2_key"],
                    "endpoint": api,
                },
                "plain": {
                    "driver": "ec2",
                    "aws_access_key_id": tokens["ec2_plain_id"],
                    "aws_secret_access_key": tokens["ec2_plain_key"],
                    "endpoint": api,
                },
                "gce": {"project": "p", "user_id": "u@example.com", "key": key, "endpoint": api.removesuffix("/v2/")},
            },
            "roles": {
                "app": {"minion_config": {"mine": {"api_key": "sdb://vault/minion_config_sdb"}}},
                "bad": {"script": str(script), "keep_failed": True},
            },
        }
        master.write()
        text = {
            "providers": {
                "third": {"driver": "do", "token": tokens["pillar"], "endpoint": api},
                "fourth": {"driver": "do", "token": "sdb://vault/pillar_sdb", "endpoint": api},
            },
            "minion_config": {"mine": {"secret": tokens["minion_config_pillar"]}},
        }
        pillar.write_text(yaml.safe_dump({"hart": text}, allow_unicode=True))
        toml.write_text(
            textwrap.dedent(f"""
            [hart.minion_config.mine]
            passphrase = {json.dumps(tokens["minion_config_toml"], ensure_ascii=False)}
            proxy = {json.dumps(f"http://user:{quote(tokens['in_url'], safe='')}@proxy.example.com/")}
            [providers.fifth]
            driver = "do"
            endpoint = "{api}"
            token = {json.dumps(tokens["toml"], ensure_ascii=False)}
            [providers.sixth]
            driver = "do"
            endpoint = "{api}"
            token = "sdb://vault/toml_sdb"
            """)
        )
        files = [toml, vault, pillar, master.root / "etc/master"]
        for name, line in (("wrong_type", "token = [{}]"), ("bad_line", "token = {} \n ]")):
            files.append(master.root / f"{name}.toml")
            value = json.dumps(tokens[name], ensure_ascii=False)
            files[-1].write_text('[providers.do]\ndriver = "do"\n' + line.format(value))
        yield Planted(master, tokens, key, toml, files)


def _refused(request: Request) -> Answer:
    """Refuse every token, and quote it, since an API's answer is shown. A POST is EC2's, and answered like EC2."""
    token = request.headers["authorization"]
    if request.method == "POST":
        message = f"<Code>AuthFailure</Code><Message>{token}</Message>"
        return Answer(401, f"<Response><Errors><Error>{message}</Error></Errors></Response>".encode())
    return Answer(401, {"id": "unauthorized", "message": f"Unable to authenticate you: {token}"})


@dataclass
class Whole:
    """A complete run: what every command printed, and every event of the bus."""

    runs: dict[str, Ran]
    events: list[Event]
    minion_configs: dict[str, str]
    user_data: str
    #: what was found in files while the nodes existed
    found: list[str]


@pytest.fixture(scope="module")
def whole(planted: Planted) -> Whole:
    master, config = planted.master, f"config={planted.toml}"
    calls = {
        "made": ["hart.create", "good", "role=app"],
        "failed": ["hart.create", "bad", "role=bad"],
        "planned": ["hart.create_role", "app", "test=True"],
        "shown": ["hart.show_role", "app", "provider=do"],
        "shown_local": ["hart.show_role", "app"],
        "minions": ["hart.list_minions"],
        "roles": ["hart.list_roles"],
        "sizes": ["hart.list_sizes"],
        "check": ["hart.check"],
        "no_such_provider": ["hart.create_role", "app", "provider=sevnth"],
        "gone": ["hart.destroy", "good,bad"],
    }
    runs, configs = {}, {}
    with master.events() as events:
        for name, (function, *arguments) in calls.items():
            if name == "gone":
                paths = list(master.instances.glob("*/etc/salt/minion.d/zzz-hart.conf"))
                configs = {path.parts[-5]: path.read_text() for path in paths}
                user_data = (master.instances / "bad/user-data").read_text()
                found = found_in_files(planted)
            runs[name] = master.run(function, *arguments, config)
        for name in ("wrong_type", "bad_line"):
            runs[name] = master.run("hart.check", f"config={master.root / name}.toml")
        runs["nested"] = master.run("hart.show_role", "app", config, out=None)
        runs["jobs"] = master.run("jobs.list_jobs")
    return Whole(runs, list(events), configs, user_data, found)


def found_in_files(planted: Planted) -> list[str]:
    """Return the files below the master's root that hold a secret, without those that are meant to."""
    found = []
    for path in planted.master.root.rglob("*"):
        if path.is_file() and path not in planted.files:
            kinds = found_in(path.read_bytes().decode(errors="replace"), planted)
            if path.name == "zzz-hart.conf" and "minion.d" in path.parts:
                kinds = [kind for kind in kinds if kind not in IN_MINION_CONFIG]
            found += [f"{kind} in {path.relative_to(planted.master.root)}" for kind in kinds]
    return found


def found_in(text: str, planted: Planted) -> list[str]:
    return [name for name, forms in planted.forms().items() if any(form in text for form in forms)]


def test_the_run_did_its_work(whole: Whole) -> None:
    codes = {name: ran.code for name, ran in whole.runs.items()}
    failed = {"failed": 1, "check": 1, "minions": 1, "no_such_provider": 2, "wrong_type": 2, "bad_line": 2}
    assert codes == {**dict.fromkeys(codes, 0), **failed}
    assert "must be text" in whole.runs["wrong_type"].data["error"]
    assert "syntax error at line 4" in whole.runs["bad_line"].data["error"]
    assert any(event.tag == "hart/good/ready" for event in whole.events)
    assert "AuthFailure" in whole.runs["check"].data["plain"]


def test_a_minion_gets_only_the_secrets_of_its_own_configuration(whole: Whole, planted: Planted) -> None:
    mine = yaml.safe_load(whole.minion_configs["good"])["mine"]
    assert mine["db_password"] == planted.tokens["minion_config"]
    assert mine["api_key"] == planted.tokens["minion_config_sdb"]
    assert mine["passphrase"] == planted.tokens["minion_config_toml"]
    assert mine["private_key"] == planted.pem
    assert mine["secret"] == planted.tokens["minion_config_pillar"]
    for text in whole.minion_configs.values():
        assert set(found_in(text, planted)) <= set(IN_MINION_CONFIG)


def test_no_secret_is_in_any_output(whole: Whole, planted: Planted) -> None:
    texts = [(name, ran.stdout + ran.stderr) for name, ran in whole.runs.items()]
    assert [(name, found) for name, text in texts if (found := found_in(text, planted))] == []
    mine = whole.runs["shown_local"].data["minion_config"]["mine"]
    names = ("db_password", "private_key", "api_key", "passphrase", "secret")
    assert mine == {**dict.fromkeys(names, "***"), "proxy": "http://user:***@proxy.example.com/"}


def test_no_secret_is_in_any_event(whole: Whole, planted: Planted) -> None:
    texts = [(event.tag, json.dumps(event.data, default=str, ensure_ascii=False)) for event in whole.events]
    assert [(tag, found) for tag, text in texts if (found := found_in(text, planted))] == []


def test_no_secret_is_in_the_user_data(whole: Whole, planted: Planted) -> None:
    assert "BEGIN OPENSSH PRIVATE KEY" in whole.user_data
    assert found_in(whole.user_data, planted) == []


def test_no_secret_is_in_any_file_of_the_master(whole: Whole, planted: Planted) -> None:
    assert "[DEBUG   ]" in (planted.master.root / "log/master").read_text()
    assert whole.found == []
    assert found_in_files(planted) == []
