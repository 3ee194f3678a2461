"""What the driver ``ec2`` refuses by itself, the error class of each of Amazon's refusals, and its credentials."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hart_salt.base.errors import AuthError, DriverError, NoCapacity, RateLimited, Refused, TemporaryFailure
from hart_salt.config.schema import Provider
from hart_salt.drivers.ec2 import driver as ec2
from hart_salt.model import MasterInfo, Node
from tests.drivers.ec2.driver import CREATE, LOOK, called, driver_of, launch, left, node
from tests.drivers.ec2.emulator import answers
from tests.drivers.ec2.emulator.state import KEY, REGION, SECRET
from tests.drivers.tested import BATCH, SCRIPT, Time
from tests.drivers.tested import KEY as PUBLIC_KEY
from tests.emulation.faults import Fault

if TYPE_CHECKING:
    from tests.drivers.ec2.emulator.cloud import Ec2 as Cloud  # imports moto, which is slow

# objections


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (node(tags={"hart-owner": "me"}), "the tag hart-owner is one of hart's own"),
        (node(tags={"hart-created": "1"}), "the tag hart-created is one of hart's own"),
        (node(tags=["AWS:x"]), "the tag AWS:x begins with aws:"),
        (node(tags={"k" * 128: "x"}), "is too long: EC2 accepts 127 characters, and 256 for its value"),
        (node(tags={"k": "x" * 257}), "the tag k is too long"),
        (node(tags=[f"t{number}" for number in range(46)]), "an instance can have 50 tags at EC2"),
        (node(options={"volume_type": "st1"}), "a volume of type st1 cannot be a root volume"),
        (node(options={"volume_type": "io1"}), "a volume of type io1 needs volume_iops"),
        (node(size="t4g.micro", zone="eu-west-1c"), "eu-west-1c has no instances of the size t4g.micro; these zones "
         "have it: eu-west-1a, eu-west-1b"),
    ],
)  # fmt: skip
def test_objections(driver: ec2.Ec2, wanted: Node, text: str) -> None:
    (objection,) = driver.objections(wanted)
    assert text in objection


@pytest.mark.parametrize(
    "wanted",
    [
        node(),
        node(tags=[f"t{number}" for number in range(45)]),
        node(tags={"Name": "x", "k" * 127: "v" * 256}),
        node(options={"volume_type": "io2", "volume_iops": 100}),
        node(size="t4g.micro", zone="eu-west-1b"),
    ],
)
def test_no_objections(cloud: Cloud, driver: ec2.Ec2, wanted: Node) -> None:
    assert driver.objections(wanted) == []
    launch(driver, wanted)


def test_all_problems_are_reported_at_once(driver: ec2.Ec2) -> None:
    wanted = node(image="nothing", zone="eu-west-1c", size="t4g.micro", options={"security_groups": ["sg-00000000"]},
                  tags=["aws:x"])  # fmt: skip
    assert len(driver.objections(wanted)) == 4


def test_an_unknown_size_has_no_further_objections(cloud: Cloud, driver: ec2.Ec2) -> None:
    """The caller has already found that the size does not exist."""
    assert driver.objections(node(size="t3.mikro", image="nothing")) == []


# errors


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InsufficientInstanceCapacity", NoCapacity),
        (503, "RequestLimitExceeded", RateLimited),
        (400, "Throttling", RateLimited),
        (500, "InternalError", TemporaryFailure),
        (503, "Unavailable", TemporaryFailure),
        (502, "", TemporaryFailure),
    ],
)
def test_the_error_class_of_answers_that_are_retried(
    cloud: Cloud, driver: ec2.Ec2, time: Time, status: int, code: str, kind: type[DriverError]
) -> None:
    """The SDK makes 5 tries in all, with waits of up to 1, 2, 4 and 8 seconds."""
    fault = Fault("POST", body=CREATE, status=status, answer=answers.error(code, "So it is."), times=5)
    cloud.faults.add(fault)
    with pytest.raises(kind) as caught:
        launch(driver, node())
    assert type(caught.value) is kind
    assert getattr(caught.value, "uncertain", True)
    assert (called(cloud, "RunInstances"), left(cloud)) == (5, {})
    assert len(time.waits) == 4
    assert all(wait <= most for wait, most in zip(time.waits, (1, 2, 4, 8), strict=True))


def test_the_encoded_part_of_a_refusal_is_left_out(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.settings.denied = ("ec2:DescribeInstances",)
    with pytest.raises(AuthError) as caught:
        driver.instances(REGION)
    assert "ec2:DescribeInstances" in str(caught.value)
    assert str(caught.value).endswith(
        "action. (UnauthorizedOperation DescribeInstances); DescribeInstances needs the permission "
        "ec2:DescribeInstances"
    )
    assert "Encoded" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_no_answer_in_time(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    driver = driver_of(cloud, time, tmp_path, api_timeout=0.2)
    cloud.faults.add(Fault("POST", body=LOOK, stall=0.4, times=5))
    with pytest.raises(TemporaryFailure, match="Amazon EC2 in eu-west-1 did not answer in time") as caught:
        driver.instances(REGION)
    assert (caught.value.uncertain, len(cloud.faults.struck)) == (True, 5)


def test_an_endpoint_that_cannot_be_reached(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    driver = driver_of(cloud, time, tmp_path, endpoint="http://127.0.0.1:9")
    with pytest.raises(TemporaryFailure, match="Amazon EC2 in eu-west-1 could not be reached"):
        driver.instances(REGION)


def test_a_connection_that_breaks(cloud: Cloud, driver: ec2.Ec2) -> None:
    cloud.faults.add(Fault("POST", body=LOOK, drop=True, times=5))
    with pytest.raises(TemporaryFailure, match="the connection to Amazon EC2 in eu-west-1 broke"):
        driver.instances(REGION)


# credentials


def test_a_wrong_secret_and_an_unknown_key(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    for account in ({"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "AKIAWRONG"}):
        driver = driver_of(cloud, time, tmp_path, **account)
        for call in (driver.check, driver.instances, driver.regions, lambda d=driver: d.size("t3.micro", REGION)):
            with pytest.raises(AuthError) as caught:
                call()
            assert "wrong" not in str(caught.value).lower()
    assert time.waits == []


@pytest.mark.parametrize("key", ["AKIAÄ", "AKIA\nX: y"])
def test_a_key_with_invalid_characters(cloud: Cloud, time: Time, tmp_path: Path, key: str) -> None:
    driver = driver_of(cloud, time, tmp_path, aws_access_key_id=key)
    with pytest.raises(AuthError, match="contains characters that no key has"):
        driver.check()
    assert cloud.calls == []


def test_keys_can_end_with_a_newline(cloud: Cloud, time: Time, tmp_path: Path) -> None:
    account = {"aws_access_key_id": f"{KEY}\n", "aws_secret_access_key": f"{SECRET}\n"}
    assert "account" in driver_of(cloud, time, tmp_path, **account).check()


@pytest.fixture
def user_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the files in which boto3 looks for credentials; it is empty."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
                 "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def chained(cloud: Cloud, time: Time, **account: Any) -> ec2.Ec2:
    """Return a driver whose settings name no keys."""
    master = MasterInfo("m", "ab12" * 4, "key", "3008.3", "127.0.0.1", 4505, 4506, "unused", "log")
    return ec2.Ec2(Provider("ec2", "ec2", ec2.Account(endpoint=cloud.endpoint, **account)), master, time.sleep, time)


def test_no_credentials(cloud: Cloud, time: Time, user_files: Path) -> None:
    with pytest.raises(AuthError, match="has no credentials: set aws_access_key_id and aws_secret_access_key, or"):
        chained(cloud, time).check()
    assert cloud.calls == []


def test_a_profile_and_its_region(cloud: Cloud, time: Time, user_files: Path) -> None:
    (user_files / "credentials").write_text(f"[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    (user_files / "config").write_text("[profile work]\nregion = eu-west-1\n")
    driver = chained(cloud, time, profile="work")
    assert "account" in driver.check()
    assert driver._api.default_region == REGION


def test_the_environment(cloud: Cloud, time: Time, user_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert "account" in chained(cloud, time).check()


@pytest.mark.parametrize(
    ("credentials", "account", "text"),
    [
        ("", {"profile": "work"}, "have no profile of that name"),
        ("[work]\naws_access_key_id = AKIA\n", {"profile": "work"}, "are incomplete"),
        ("[default]\naws_access_key_id = AKIA\n", {}, "are incomplete"),
    ],
)
def test_an_incomplete_configuration_is_reported_in_one_sentence(
    cloud: Cloud, time: Time, user_files: Path, credentials: str, account: dict[str, str], text: str
) -> None:
    (user_files / "credentials").write_text(credentials)
    with pytest.raises(AuthError, match=text) as caught:
        chained(cloud, time, **account).check()
    assert "\n" not in str(caught.value)


def test_an_invalid_credentials_file(cloud: Cloud, time: Time, user_files: Path) -> None:
    (user_files / "credentials").write_text("what is this\n")
    with pytest.raises(DriverError, match="Amazon EC2"):
        chained(cloud, time).check()


def test_without_boto3_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    """Runs in a separate process, in which boto3 cannot be imported."""
    code = (
        "import sys; sys.modules['boto3'] = None\n"
        "from hart_salt.drivers import schemas\n"
        "from hart_salt.drivers.ec2 import driver as ec2\n"
        "from hart_salt.base.errors import Refused\n"
        "from hart_salt.config.schema import Provider\n"
        "assert 'ec2' in schemas()\n"
        "driver = ec2.Ec2(Provider('ec2', 'ec2', ec2.Account()), None)\n"
        "try:\n    driver.check()\nexcept Refused as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "the driver ec2 needs boto3: salt-pip install boto3"
    assert issubclass(Refused, Exception)


# secrets


def test_nothing_of_a_request_is_logged(cloud: Cloud, driver: ec2.Ec2, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with driver.access(BATCH, PUBLIC_KEY, [node()]) as access:
        driver.launch(node(), SCRIPT + "# planted-in-the-script\n", access)
    assert "planted-in-the-script" not in caplog.text
    assert "cGxhbnRlZC" not in caplog.text  # the same in base64
    assert SECRET not in caplog.text
    assert [record.name for record in caplog.records if record.name.startswith("boto") and record.levelno < 20] == []
