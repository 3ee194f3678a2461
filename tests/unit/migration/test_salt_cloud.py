"""The translation of salt-cloud's configuration: its result, what it cannot translate, and that hart accepts it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from hart_salt import drivers
from hart_salt.base.errors import Refused
from hart_salt.config import loader as config
from hart_salt.config.settings import Settings
from hart_salt.migration.salt_cloud import config as cloud_config
from hart_salt.migration.salt_cloud import files as cloud_files
from hart_salt.migration.salt_cloud.config import Translation
from hart_salt.migration.salt_cloud.table import DRIVERS
from hart_salt.migration.salt_cloud.terms import translate
from hart_salt.planning import resolve as roles
from tests.parts import master_info

SCHEMAS = drivers.schemas()
PROVIDERS = """
my-do:
  driver: digitalocean
  personal_access_token: planted-do-token
  ssh_key_file: /etc/salt/do.pem
  ssh_key_names: a,b
  location: New York 3
base:
  id: PLANTEDACCESSKEYID
  key: /planted+secret+access+key
  keyname: salt
  private_key: /etc/salt/ec2.pem
  location: eu-west-1
my-aws:
  driver: ec2
  extends: base
  iam_profile: web
  securitygroupid: [sg-1, sg-2]
both:
  - driver: gce
    project: p-1
    service_account_email_address: me@p-1.example
    service_account_private_key: /etc/salt/gce.pem
  - driver: vultr
    api_key: planted-vultr-key
machine-role: {driver: ec2, id: use-instance-role-credentials, key: use-instance-role-credentials, location: us-east-1}
old: {driver: linode, apikey: planted-linode-key}
"""
PROFILES = """
do small:
  provider: my-do
  size: s-1vcpu-1gb
  image: debian-12-x64
  tags: [web]
  backups_enabled: true
  private_networking: true
  minion: {master: salt.example.com, log_level: info, mysql.pass: planted-mysql-password}
  grains: {roles: [web]}
  script: bootstrap-salt
  create_dns_record: true
do-large:
  extends: do small
  size: s-4vcpu-8gb
  location: ams3
ec2:
  provider: my-aws
  size: t3.small
  image: ami-0123456789abcdef0
  availability_zone: eu-west-1b
  tag: {env: prod, number: 7}
  start_action: state.highstate
  ssh_interface: private_ips
  spot_config: {spot_price: 0.1}
  block_device_mappings: [{DeviceName: /dev/sda1, Ebs.VolumeSize: 20, Ebs.VolumeType: gp3}]
  network_interfaces: [{DeviceIndex: 0, SubnetId: subnet-1, AssociatePublicIpAddress: false, SecurityGroupId: [sg-3]}]
  termination_protection: true
gce:
  provider: both:gce
  size: e2-small
  image: debian-12-bookworm-v20250101
  location: europe-west1-b
  network: default
  subnetwork: projects/p-1/regions/europe-west1/subnetworks/inner
  tags: '["one", "two"]'
  ex_labels: '{"team": "web"}'
  metadata: '{"a": "1"}'
  ex_disk_type: pd-ssd
  external_ip: None
  preemptible: true
  ex_service_accounts: [{email: x@p-1.example, scopes: [cloud-platform]}]
vultr: {provider: 'both:vultr', size: vc2-1c-1gb, image: 2136, location: 7, enable_private_network: true}
on-old: {provider: old, size: g6}
"""
MAP = """
do small: [web1, web2, web3: {size: s-2vcpu-2gb, grains: {a: 1}}]
ec2: {db1: {minion: {x: y}}}
on-old: [gone1]
"""


def write(base: Path, **files: str) -> str:
    for name, text in files.items():
        path = base / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(base)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    names = {"cloud.providers.d/a.conf": PROVIDERS, "cloud.profiles.d/b.conf": PROFILES, "cloud.maps.d/all.map": MAP,
             "cloud": "log_level: debug\nminion: {master: salt.example.com}\n"}  # fmt: skip
    return write(tmp_path, **names)


def rendered(path: str) -> Any:
    return yaml.safe_load(Path(path).read_text())


def made(directory: str, map_file: str | None = None) -> Translation:
    return cloud_config.translation(cloud_files.read(directory, map_file, rendered), SCHEMAS)


def loaded(translation: Translation, resolve: Callable[[str], Any] = lambda uri: "something-secret") -> config.Config:
    """Load the printed file as if it were in ``master.d``."""
    return config.load([config.Source("master config", yaml.safe_load(translation.text())["hart"])], SCHEMAS, resolve)


def test_hart_accepts_the_result_and_resolves_its_roles(directory: str, tmp_path: Path) -> None:
    checked = loaded(made(directory))
    info = replace(master_info(tmp_path), salt_version="3008.3")
    nodes = {
        role: roles.resolve(checked, SCHEMAS, info, role=role, now=datetime.now(timezone.utc)) for role in checked.roles
    }
    assert {role: (it.provider, it.driver, it.region, it.zone, it.size) for role, it in nodes.items()} == {
        "do-small": ("my-do", "do", "nyc3", None, "s-1vcpu-1gb"),
        "do-large": ("my-do", "do", "ams3", None, "s-4vcpu-8gb"),
        "ec2": ("my-aws", "ec2", "eu-west-1", "eu-west-1b", "t3.small"),
        "gce": ("both-gce", "gce", "europe-west1", "europe-west1-b", "e2-small"),
        "vultr": ("both-vultr", "vultr", "ams", None, "vc2-1c-1gb"),
    }
    do, ec2, gce = (nodes[name] for name in ("do-small", "ec2", "gce"))
    assert do.minion_config["master"] == "salt.example.com"
    assert (do.minion_config["log_level"], do.minion_config["grains"]["roles"]) == ("info", ["web"])
    assert (do.settings.tags, do.settings.private_networking, do.settings.image) == (["web"], True, "debian-12-x64")
    assert (ec2.settings.tags, ec2.settings.apply) == ({"env": "prod", "number": "7"}, "highstate")
    assert (ec2.settings.connect_via, ec2.settings.public_ip) == ("private", False)
    options: Any = ec2.options
    assert (options.security_groups, options.instance_profile, options.spot) == (["sg-3"], "web", True)
    assert (options.subnet, options.volume_size, options.volume_type) == ("subnet-1", 20, "gp3")
    options = gce.options
    assert (options.labels, options.subnet, options.volume_type, options.spot) == (
        {"team": "web"}, "inner", "pd-ssd", True
    )  # fmt: skip
    assert (options.service_account, options.scopes) == ("x@p-1.example", ["cloud-platform"])
    assert (gce.settings.image, gce.settings.public_ip, gce.settings.tags) == ("bookworm", False, ["one", "two"])


def test_settings_without_a_counterpart_are_reported_by_name(directory: str) -> None:
    notes = "\n".join(made(directory).notes)
    for words in (
        "profile do small: renamed to do-small",
        "profile do small: create_dns_record was left out: use a reactor",
        "provider my-do: not needed in hart: ssh_key_file, ssh_key_names",
        "profile gce: metadata was left out",
        "provider old: hart has no driver linode",
        "profile on-old: its provider old was left out",
        "the profile on-old was left out",
        "cloud: salt-cloud's internal settings: log_level",
    ):
        assert words in notes, words


def test_no_secret_is_shown_and_each_is_referenced_at_its_place(directory: str) -> None:
    translation = made(directory)
    for text in (translation.text(), json.dumps(translation.data())):
        assert "planted" not in text.lower()
    providers = translation.hart["providers"]
    assert providers["my-do"]["token"] == "sdb://salt_cloud/my-do:personal_access_token"  # noqa: S105 - a reference
    assert providers["my-aws"]["aws_access_key_id"] == "sdb://salt_cloud/base:id"
    assert providers["both-vultr"]["token"] == "sdb://salt_cloud/both:1:api_key"  # noqa: S105 - a reference
    assert providers["both-gce"]["key"] == "/etc/salt/gce.pem", "the path of a key is none"
    config = translation.hart["roles"]["do-small"]["minion_config"]
    assert config["mysql.pass"] == "sdb://salt_cloud/do small:minion:mysql.pass"
    assert translation.sdb["salt_cloud"]["driver"] == "yaml"
    assert [Path(file).name for file in translation.sdb["salt_cloud"]["files"]] == ["a.conf", "b.conf"]
    assert providers["machine-role"] == {"driver": "ec2", "region": "us-east-1"}
    assert "no secret is shown" in translation.notes[-1]


def test_an_existing_sdb_reference_is_kept(tmp_path: Path) -> None:
    base = write(tmp_path, **{"cloud.providers": "do: {driver: do, personal_access_token: 'sdb://vault/do'}"})
    translation = made(base)
    assert translation.hart["providers"] == {"do": {"token": "sdb://vault/do"}}
    assert translation.sdb == {}


def test_machines_of_maps_become_commands(directory: str) -> None:
    translation = made(directory)
    assert translation.create == [
        """salt-run hart.create web3 role=do-small size=s-2vcpu-2gb 'minion_config={"grains": {"a": 1}}'""",
        "salt-run hart.create web1,web2 role=do-small",
        """salt-run hart.create db1 role=ec2 'minion_config={"x": "y"}'""",
    ]
    assert translation.imports[0] == "salt-run hart.import_minion web1 provider=my-do role=do-small"
    assert made(directory, "all.map").create == made(directory, f"{directory}/cloud.maps.d/all.map").create
    with pytest.raises(Refused, match="there is no map other"):
        made(directory, "other.map")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML, line"),
        ("- a", "must be a mapping"),
        ("a: 1", "a must be a mapping"),
        ("# nothing", "has no configuration of salt-cloud"),
        ("[" * 500 + "]" * 500, "is not YAML|must be a mapping|nested too deeply"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "\n".join(
                f"{new}: &{new} [{', '.join(['*' + old] * 10)}]" for old, new in zip("abcdef", "bcdefg", strict=True)
            ),
            "has more than 100000 values",
        ),
    ],
)
def test_an_unreadable_file_is_refused_without_quoting_it(tmp_path: Path, text: str, words: str) -> None:
    base = write(tmp_path, **{"cloud.providers": text})
    with pytest.raises(Refused, match=words):
        made(base)


def test_a_closed_directory_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(Refused, match=rf"^{tmp_path} cannot be read: Permission denied$"):
        made(str(tmp_path))


@pytest.mark.parametrize(
    ("providers", "profiles", "words"),
    [
        ("a: {driver: ec2, extends: b}\nb: {driver: ec2, extends: a}", "", "its extends are circular"),
        ("a: {driver: ec2, extends: c}", "", "it extends c, which does not exist"),
        ("a: {id: x}", "p: {provider: a}", "it names no driver, and nothing extends it"),
        ("a: {driver: ec2}", "p: {extends: p}", "its extends are circular"),
        ("a: {driver: ec2}", "p: {extends: q, provider: a}", "it extends q, which does not exist"),
        ("a: {driver: ec2}", "p: {size: t3.micro}", "it names no provider"),
        ("a: {driver: do, personal_access_token: x}", "p: {provider: a}", "hart:roles:p:region: is not set"),
        ("a: {driver: ec2}", "p: {provider: a}", "its region is us-east-1, as in salt-cloud"),
        ("a: {driver: ec2, location: x}", "p: {provider: a}", "hart:roles:p:saltmaster: is not set"),
        ("a: {driver: ec2, location: x}", "p: {provider: a}", "hart:roles:p:image: is not set"),
        ("a: {driver: gce, project: x}", "p: {provider: a, ex_disk_type: floppy}", "p:volume_type: must be one of"),
        ("a: {driver: do}", "p: {provider: a, size: 512MB}", "size was left out: it is not a slug"),
        ("size: {driver: do, personal_access_token: sdb://a/b}", "", "renamed to size-account"),
        ("a: {driver: do, personal_access_token: x, 'b:c': {pass: y}}", "", "by hand"),
    ],
)
def test_inconsistencies_are_reported(tmp_path: Path, providers: str, profiles: str, words: str) -> None:
    translation = made(write(tmp_path, **{"cloud.providers": providers, "cloud.profiles": profiles}))
    assert words in "\n".join(translation.notes)
    assert "hart" in yaml.safe_load(translation.text())


@pytest.mark.parametrize("driver", sorted({it.name for it in DRIVERS.values()}))
def test_every_name_in_a_table_is_a_setting_of_hart(driver: str) -> None:
    (rules, *_) = [it.rules for it in DRIVERS.values() if it.name == driver]
    schema = SCHEMAS[driver]
    known = {*Settings.model_fields, *schema.options.model_fields, *schema.account.model_fields}
    values: list[Any] = ["x-1", "nyc3", "a1-b2-c", "t3.micro", True, {"master": "a", "b": 1}, [{"email": "x"}], "ams"]
    for name in rules:
        for value in values:
            found, _ = translate({name: value}, rules)
            assert set(found) <= known, name


def test_includes_and_other_paths_are_followed(tmp_path: Path) -> None:
    base = write(
        tmp_path,
        **{
            "cloud": "providers_config: elsewhere/p\ninclude: more.conf\n",
            "more.conf": "providers: {one: {driver: do, personal_access_token: planted-one}}",
            "elsewhere/p": "two: {driver: do, personal_access_token: planted-two}",
            "elsewhere/cloud.providers.d/x.conf": "three: {driver: do, personal_access_token: planted-three}",
        },
    )
    translation = made(base)
    assert [it["token"] for it in translation.hart["providers"].values()] == [
        "sdb://salt_cloud/providers:one:personal_access_token",
        "sdb://salt_cloud/two:personal_access_token",
        "sdb://salt_cloud/three:personal_access_token",
    ]
