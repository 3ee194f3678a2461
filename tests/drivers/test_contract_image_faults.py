"""
The contract for images of nodes under faults, refusals and pages, over every driver of a cloud that can make them.

A run from the create call of an image to its end is recorded, then each of its calls is broken in turn. After any
fault, there is never a second image, the error says what to do next, and a later call finds and removes what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from hart_salt.base.errors import DriverError, NotFound, QuotaExceeded, TemporaryFailure, kind_of
from hart_salt.drivers.contract import Driver
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, Instance
from tests import scope
from tests.drivers.environment import CloudEnvironment
from tests.drivers.imaging import CLOUDS_WITH_IMAGES, half_made, made, marked, new_image, settled, stopped, swept
from tests.drivers.test_contract_faults import GIVEN_UP, LASTING, ONCE, Run
from tests.drivers.test_contract_refusals import API_TIMEOUT, AT_THE_MOST, PAGE_FAULTS, refusing
from tests.emulation.emulator import Call
from tests.emulation.faults import Fault

EACH = pytest.mark.parametrize("environment", CLOUDS_WITH_IMAGES, indirect=True)
#: kinds of faults of which every cloud meets so many, unless the run tests everything
SOME = 2
#: the error class of a create call of an image, by the provider's answer; EC2 and others have no own word for a quota
REFUSED = {"credentials": "AuthError", "permission": "AuthError", "invalid": "InvalidRequest"}


def some(kinds: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrize a test by cloud and kind: each kind with some clouds, and each cloud with ``SOME`` kinds."""
    known = list(kinds)
    pairs = [
        pytest.param(cloud, kind, id=f"{cloud}-{kind.replace(' ', '-').replace(',', '')}")
        for place, cloud in enumerate(CLOUDS_WITH_IMAGES)
        for number, kind in enumerate(known)
        if scope.whole or (number - SOME * place) % len(known) < SOME
    ]
    return pytest.mark.parametrize(("environment", "kind"), pairs, indirect=["environment"])


def named(number: int | str) -> str:
    """Return the batch of a run: each image has its own name."""
    return f"b{number}"


# one fault in each call


def life(instance: Instance) -> Callable[[Run], None]:
    """Return a run from the create call of an image to its end."""

    def way(run: Run) -> None:
        driver, new = run.driver, new_image(run.environment, run.name)
        begun = run.step("make", lambda: driver.make_image(instance, new))
        if begun is None:
            return
        # hart looks again after a look that failed.
        found = run.step("look", lambda: settled(run.environment, driver, begun)) or settled(
            run.environment, driver, begun
        )
        assert found is not None
        run.step("finish", lambda: driver.finish_image(marked(found, new)))
        run.step("list", lambda: driver.baked_images(new.region))
        run.step("end", lambda: driver.delete_image(found))

    return way


def broken(
    environment: CloudEnvironment, kind: str, fields: dict[str, Any]
) -> Iterator[tuple[str, Call, Run]]:  # fmt: skip
    """Repeat the run once for each of its calls that changes something, with that call broken."""
    environment.hurry()
    way = life(stopped(environment, environment.driver(**environment.narrow)))
    environment.cloud.settings.image_after = 20.0
    run, calls = watched(environment, way, named("watched"))
    assert run.errors == {}
    chosen = [number for number, call in enumerate(calls) if environment.changes(call)]
    assert chosen
    for number in chosen:
        call = calls[number]
        environment.cloud.faults.add(Fault(skip=number, **fields))
        run, _ = watched(environment, way, named(number))
        where = f"call {number}: {call.method} {call.path} {call.text[:60]}: {run.errors}"
        assert environment.cloud.faults.struck, where
        environment.cloud.faults.clear()
        assert len(environment.left().get("images", [])) <= 1, where
        yield where, call, run


def watched(environment: CloudEnvironment, way: Callable[[Run], None], name: str) -> tuple[Run, list[Call]]:
    environment.cloud.calls.clear()
    environment.cloud.faults.struck.clear()
    run = Run(environment, environment.driver(**environment.narrow), name)
    way(run)
    return run, list(environment.cloud.calls)


def without_instances(environment: CloudEnvironment) -> dict[str, list[str]]:
    return {kind: names for kind, names in environment.left().items() if kind not in ("instances", "disks")}


def tidied_up(environment: CloudEnvironment, run: Run, where: str) -> None:
    """Check that a later call finds and removes what is left. After a run without error, nothing is left."""
    later = environment.driver(**environment.narrow)
    environment.time.advance(600)
    if not run.errors:
        assert (later.baked_images(), half_made(later)) == ([], []), where
    for image in later.baked_images() * 2:
        later.delete_image(image)
    for leftover in later.leftovers() * 2:
        later.remove(leftover)
    assert (later.baked_images(), later.leftovers()) == ([], []), where
    assert "images" not in environment.left(), where


@EACH
def test_an_image_that_is_left_is_listed_by_left(environment: CloudEnvironment, driver: Driver) -> None:
    """Otherwise, the suite would never notice an image that is left."""
    made(environment, driver, stopped(environment, driver))
    assert len(environment.left()["images"]) == 1


@some(ONCE)
def test_a_call_that_fails_once_is_retried_or_reported_and_never_makes_a_second_image(
    environment: CloudEnvironment, kind: str
) -> None:
    for where, call, run in broken(environment, kind, ONCE[kind]):
        may_fail = {"make", "finish"} if kind in GIVEN_UP and environment.changes(call) else set()
        assert set(run.errors) <= may_fail, where
        assert {kind_of(error) for error in run.errors.values()} <= {"TemporaryFailure"}, where
        tidied_up(environment, run, where)


@some(LASTING)
def test_a_call_that_keeps_failing_is_an_error_of_the_class_that_says_what_to_do(
    environment: CloudEnvironment, kind: str
) -> None:
    reason, expected = LASTING[kind]
    fields = (
        dict(zip(("status", "answer"), environment.words[reason], strict=True)) if isinstance(reason, str) else reason
    )
    for where, _, run in broken(environment, kind, {**fields, "times": None}):
        (step, error), *more = run.errors.items()
        assert more == [], where
        allowed = {expected, "TemporaryFailure"} if step == "end" else {expected}
        assert kind_of(error) in allowed, where
        tidied_up(environment, run, where)


# lost answers and refusals of the create call


@EACH
@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["at once", "slow"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_create_call_whose_answer_is_lost_makes_one_image_which_is_known_or_uncertain(
    environment: CloudEnvironment, driver: Driver, when: str, seconds: float
) -> None:
    instance = stopped(environment, driver)
    environment.cloud.settings.image_after = seconds
    environment.cloud.faults.add(Fault(**environment.image_create, when=when, drop=True))
    begun: BakedImage | None = None
    try:
        begun = driver.make_image(instance, new_image(environment))
    except TemporaryFailure as error:
        assert error.uncertain
        assert when == "before", "it looks first"
    environment.time.advance(600)
    found = environment.driver().baked_images()
    assert [one.name for one in found if one.state == IMAGE_AVAILABLE] == (
        [new_image(environment).name] if begun else []
    )
    swept(environment, environment.driver())
    assert environment.left() == {}


@EACH
def test_a_create_call_that_is_not_answered_in_time_makes_one_image(environment: CloudEnvironment) -> None:
    instance = stopped(environment, environment.driver())
    driver = environment.driver(api_timeout=API_TIMEOUT)
    environment.cloud.faults.add(Fault(**environment.image_create, when="after", stall=4 * AT_THE_MOST))
    begun = driver.make_image(instance, new_image(environment))
    found = settled(environment, environment.driver(), begun)
    assert found is not None
    assert len(environment.left()["images"]) == 1


@EACH
def test_a_create_call_that_is_refused_makes_nothing_and_says_what_to_do(
    environment: CloudEnvironment, driver: Driver
) -> None:
    instance = stopped(environment, driver)
    before = environment.left()
    for word, kind in REFUSED.items():
        environment.cloud.faults.add(refusing(environment, word, **environment.image_create))
        with pytest.raises(DriverError) as caught:
            driver.make_image(instance, new_image(environment))
        environment.cloud.faults.clear()
        assert (word, kind_of(caught.value), driver.baked_images()) == (word, kind, [])
        assert environment.left() == before, word
    assert made(environment, driver, instance).complete


@EACH
def test_a_limit_of_images_is_a_quota(environment: CloudEnvironment, driver: Driver) -> None:
    instance = stopped(environment, driver)
    before = environment.left()
    environment.cloud.settings.image_limit = 0
    with pytest.raises(QuotaExceeded):
        driver.make_image(instance, new_image(environment))
    assert (driver.baked_images(), environment.left()) == ([], before)


@EACH
def test_an_image_of_an_instance_that_is_gone_is_not_made(environment: CloudEnvironment, driver: Driver) -> None:
    instance = stopped(environment, driver)
    driver.terminate(instance)
    with pytest.raises((NotFound, DriverError)):
        driver.make_image(instance, new_image(environment))
    assert environment.left() == {}


@EACH
def test_a_delete_that_is_refused_is_an_error(environment: CloudEnvironment, driver: Driver) -> None:
    image = made(environment, driver, stopped(environment, driver))
    for word, kinds in {"credentials": {"AuthError"}, "invalid": {"InvalidRequest", "TemporaryFailure"}}.items():
        environment.cloud.faults.add(refusing(environment, word, **environment.image_destroy))
        with pytest.raises(DriverError) as caught:
            driver.delete_image(image)
        environment.cloud.faults.clear()
        assert kind_of(caught.value) in kinds, word
    assert [one.image_id for one in driver.baked_images()] == [image.image_id]


@EACH
def test_a_missing_right_is_an_error_that_names_it(environment: CloudEnvironment, driver: Driver) -> None:
    instance = stopped(environment, driver)
    before = environment.left()
    environment.cloud.settings.denied = (environment.image_right,)
    with pytest.raises(DriverError, match=environment.image_right):
        driver.make_image(instance, new_image(environment))
    environment.cloud.settings.denied = ()
    assert (driver.baked_images(), environment.left()) == ([], before)


# pages


@EACH
def test_every_page_of_images_is_read_and_a_page_that_fails_is_an_error_and_no_shorter_list(
    environment: CloudEnvironment,
) -> None:
    environment.cloud.settings.page_cap = 1
    driver = environment.driver(**environment.narrow)
    instance = stopped(environment, driver)
    names = [made(environment, driver, instance, new_image(environment, named(number))).name for number in range(3)]
    assert sorted(one.name for one in driver.baked_images()) == names
    environment.cloud.calls.clear()
    driver.baked_images()
    pages = len(environment.cloud.calls)
    assert pages >= len(names)
    for number in range(pages):
        for said in PAGE_FAULTS:
            fault = {"times": None, **said} if isinstance(said, dict) else vars(refusing(environment, said))
            environment.cloud.faults.add(Fault(**{**fault, "skip": number}))
            with pytest.raises(DriverError):
                driver.baked_images()
            environment.cloud.faults.clear()
        environment.cloud.faults.add(Fault(status=500, skip=number))
        assert sorted(one.name for one in driver.baked_images()) == names
