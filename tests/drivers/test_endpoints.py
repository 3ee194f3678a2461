"""The addresses that get credentials: one rule, over every driver and every source of an address."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from hart_salt import drivers
from hart_salt.base.endpoints import PLAIN, objection
from hart_salt.base.errors import AuthError, ConfigError, InvalidRequest
from hart_salt.config import loader
from hart_salt.drivers.ec2 import client as ec2_client
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.drivers.gce import credentials
from hart_salt.drivers.gce import driver as gce
from hart_salt.drivers.rest_driver import RestDriver
from tests.drivers.gce.emulator.tokens import Account as ServiceAccount
from tests.emulation.listener import Listener

SCHEMAS = drivers.schemas()
#: the required settings of each account; accounts that are not here have a token
ACCOUNTS: dict[str, dict[str, Any]] = {
    **{driver: {"token": "a-token"} for driver, schema in SCHEMAS.items() if "token" in schema.account.model_fields},
    "ec2": {"aws_access_key_id": "an-id", "aws_secret_access_key": "a-secret"},
    "gce": {"project": "p", "user_id": "u@example.com", "key": "a-key"},
}
#: the clients of JSON APIs
APIS = [
    importlib.import_module(f"hart_salt.drivers.{name}.client").Api
    for name in SCHEMAS if issubclass(drivers.driver_class(name), RestDriver)
]  # fmt: skip
SETTINGS = [
    (driver, name) for driver in ACCOUNTS for name in SCHEMAS[driver].account.model_fields
    if name in ("endpoint", "address_service")
]  # fmt: skip
GOOD = [
    "https://api.example.com", "https://api.example.com:8443/v2/", "HTTPS://api.example.com", "https://192.0.2.1",
    "https://[2001:db8::1]/v2", "http://127.0.0.1:5000", "http://127.9.9.9/v2", "http://localhost", "http://LOCALHOST:1",
    "http://[::1]:5000/v2", "HTTP://127.0.0.1", "https://xn--bcher-kva.example",
]  # fmt: skip
IN_THE_CLEAR = [
    "http://api.example.com", "HTTP://api.example.com", "http://192.0.2.1/v2", "http://[2001:db8::1]/v2",
    "http://localhost.evil.example", "http://127.0.0.1.nip.io", "http://localhost.", "http://0x7f.1", "http://2130706433",
    "http://127.1", "http://0.0.0.0", "http://[::ffff:127.0.0.1]", "http://169.254.169.254", "http://127.0.0.1.",
    "ftp://127.0.0.1", "//127.0.0.1", "api.example.com", "javascript:alert(1)",
]  # fmt: skip
NO_ADDRESS = [
    "https://", "https://:443", "https://api.example.com:99999", "https://api.example.com:0", "https://api.example.com:x",
    "http://[::1", "https://me:s3cret@api.example.com", "http://127.0.0.1@evil.example", "https://s3cret@api.example.com",
    "http://evil.example#@127.0.0.1", "http://127.0.0.1?@evil.example", "https://b\u00fccher.example",
    "http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54", "https://evil.example\\@127.0.0.1",
    "https://api.example.com/a b",
]  # fmt: skip


@pytest.mark.parametrize("address", [one for one in GOOD if not one.startswith("HTTP")])
def test_a_safe_address_is_accepted(address: str) -> None:
    assert objection(address) is None


@pytest.mark.parametrize("address", IN_THE_CLEAR)
def test_an_address_without_encryption_is_refused(address: str) -> None:
    assert objection(address) in (PLAIN, "must be an address such as https://api.example.com; write an international "
                                  "name as xn--…")  # fmt: skip


def loaded(driver: str, name: str, value: str) -> loader.Config:
    section = {"providers": {"mine": {"driver": driver, **ACCOUNTS[driver], name: value}}}
    return loader.load([loader.Source("master config", section)], SCHEMAS, lambda uri: None)


def test_every_driver_with_an_api_on_the_network_has_the_rule() -> None:
    assert {driver for driver, _ in SETTINGS} == set(SCHEMAS) - {"local"}
    assert ("ec2", "address_service") in SETTINGS


@pytest.mark.parametrize(("driver", "name"), SETTINGS)
def test_each_setting_accepts_safe_addresses_and_nothing_else(driver: str, name: str) -> None:
    for address in GOOD:
        assert loaded(driver, name, address).providers["mine"]
    for address in IN_THE_CLEAR + NO_ADDRESS:
        with pytest.raises(ConfigError) as caught:
            loaded(driver, name, address)
        assert str(caught.value).startswith(f"hart:providers:mine:{name}: must ")
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.vendor)
@pytest.mark.parametrize(
    "address", ["http://api.example.com", "http://127.0.0.1.nip.io", "https://u:p@api.example.com"]
)
def test_an_api_refuses_unsafe_addresses_as_well(api: Any, address: str) -> None:
    with pytest.raises(InvalidRequest, match="endpoint must "):
        api("t", address, 60)


# addresses without a setting


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "config file"])
def test_an_unsafe_endpoint_in_boto3s_own_configuration_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "config file":
        (tmp_path / "config").write_text("[default]\nendpoint_url = http://api.example.com\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(name, "http://api.example.com")
    with pytest.raises(InvalidRequest, match="AWS_ENDPOINT_URL_EC2 in the environment, must be an address that starts"):
        ec2_client.Api(ec2.Account(**ACCOUNTS["ec2"])).call("eu-west-1", "describe_regions")


@pytest.fixture(scope="module")
def service_account() -> ServiceAccount:
    return ServiceAccount()


def key_file(service_account: ServiceAccount, tmp_path: Path, token_uri: str) -> str:
    path = tmp_path / "key.json"
    path.write_text(service_account.key_file(token_uri))
    return str(path)


@pytest.mark.parametrize("address", ["http://tokens.example.com", "http://127.0.0.1.nip.io/token"])
def test_a_key_file_that_sends_tokens_to_an_unsafe_address_is_refused(
    service_account: ServiceAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    path = key_file(service_account, tmp_path, address)
    with pytest.raises(AuthError, match=r"key_file .*: token_uri must be an address that starts with https://"):
        credentials.make(gce.Account(project="p", key_file=path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
    with pytest.raises(AuthError, match="application default credentials: token_uri must be"):
        credentials.make(gce.Account(project="p"))


def test_a_key_file_with_googles_own_address_is_accepted(service_account: ServiceAccount, tmp_path: Path) -> None:
    path = key_file(service_account, tmp_path, credentials.TOKEN_URI)
    assert credentials.make(gce.Account(project="p", key_file=path))


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.vendor)
def test_a_redirect_is_not_followed(api: Any) -> None:
    with Listener() as elsewhere, Listener(302, {"Location": f"http://127.0.0.1:{elsewhere.port}/"}) as server:
        with pytest.raises(InvalidRequest):
            api("t", f"http://127.0.0.1:{server.port}", 60).get("account", "account")
        assert (len(server.heard), elsewhere.heard) == (1, [])


def test_a_redirect_is_not_followed_by_amazons_api_either() -> None:
    with Listener() as elsewhere, Listener(302, {"Location": f"http://127.0.0.1:{elsewhere.port}/"}) as server:
        account = ec2.Account(**ACCOUNTS["ec2"], endpoint=f"http://127.0.0.1:{server.port}")
        with pytest.raises(Exception, match="Amazon EC2"):
            ec2_client.Api(account, sleep=lambda seconds: None).call("eu-west-1", "describe_regions")
        assert server.heard
        assert elsewhere.heard == []
