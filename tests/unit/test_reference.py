"""The reference and the runner's docstrings say what the code does."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import replace

import pytest

from hart_salt import create, drivers, progress, reference
from hart_salt.catalogue import Catalogue
from hart_salt.errors import HartError
from hart_salt.runners import hart as runner
from hart_salt.settings import Section, Settings
from hart_salt.store import Record

SCHEMAS = {name: schema for name, schema in drivers.schemas().items() if name in reference.TITLES}
SECTIONS: list[tuple[str, type[Section]]] = [("", Settings)]
SECTIONS += [(name, section) for name, schema in SCHEMAS.items() for section in (schema.account, schema.options)]
FUNCTIONS = reference.functions()


def test_the_committed_reference_is_the_generated_one() -> None:
    assert reference.FILE.read_text(encoding="utf-8") == reference.generate(), "run: python -m hart_salt.reference"


def test_every_driver_of_ours_is_in_it() -> None:
    text = reference.generate()
    assert set(reference.TITLES) == set(drivers._OWN)
    assert [name for name in SCHEMAS if f"### Driver {name}: " not in text] == []


@pytest.mark.parametrize(("driver", "section"), SECTIONS)
def test_every_setting_is_in_it_with_type_default_and_description(driver: str, section: type[Section]) -> None:
    start = f"### Driver {driver}: " if driver else "## Settings\n"
    part = re.split(r"\n##+ ", reference.generate().partition(start)[2])[0]
    rows = {row[0]: row for row in (line.strip("| ").split(" | ") for line in part.splitlines() if "|" in line)}
    for name, field in section.model_fields.items():
        row = rows[f"`{name}`"]
        assert row[1], name
        assert row[2], name
        assert field.description, name
        assert row[-1].endswith(field.description), name


def numbers() -> list[tuple[str, str]]:
    return [
        (driver, name)
        for driver, section in SECTIONS
        for name, field in section.model_fields.items()
        if "number" in reference.kind_of(field)
    ]


def test_every_number_has_a_unit_and_every_unit_a_number() -> None:
    assert [pair for pair in numbers() if not reference.unit_of(*pair)] == []
    assert set(reference.UNITS) <= {name for _, name in numbers()} | {".".join(pair) for pair in numbers()}


@pytest.mark.parametrize("name", reference.HART_NAMES)
def test_every_name_of_hart_works(name: str) -> None:
    catalogue = Catalogue(SCHEMAS)
    assert reference.homes_of(name, SCHEMAS)
    assert catalogue.exists(name) or catalogue.is_account(name)


def test_every_alias_is_in_the_table_of_names() -> None:
    assert {alias for _, section in SECTIONS for alias in section.ALIASES} <= set(reference.HART_NAMES)


def test_the_events_are_those_that_are_fired() -> None:
    assert set(reference.EVENTS) == progress.EVENT_STAGES


def test_the_fields_of_a_result_are_described() -> None:
    record = Record("a", "local", "local", "local", "shared", "ready", "me", "batch", 0.0)
    for kind in ("minion", "master"):
        assert set(create.facts(replace(record, kind=kind))) <= set(reference.RESULT)


def test_the_exit_codes_are_the_runners() -> None:
    assert {"0", "1", str(runner.REFUSED), str(runner.DEFECT)} <= set(reference.EXIT_CODES)


def test_every_error_is_in_it() -> None:
    text = reference.generate()
    assert [cls.__name__ for cls in HartError.__subclasses__() if f"| `{cls.__name__}` |" not in text] == []


def example(function: str) -> list[str]:
    """The words of a function's CLI Example."""
    doc = inspect.getdoc(FUNCTIONS[function]) or ""
    found = re.search(r"CLI Example:\n\n\.\. code-block:: bash\n\n    (.+)\n", doc)
    assert found, f"{function} has no CLI Example"
    return shlex.split(found[1])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_a_docstring_as_salt_wants_it(function: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[function]) or ""
    assert doc.splitlines()[0].endswith(".")
    assert re.search(r"\.\. versionadded:: \d+\.\d+\.\d+$", doc)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_example_would_be_understood(function: str) -> None:
    command, called, *arguments = example(function)
    assert (command, called) == ("salt-run", f"hart.{function}")
    parameters = inspect.signature(FUNCTIONS[function]).parameters
    settings = set(Catalogue(SCHEMAS).names(None)) if "settings" in parameters else set()
    positional = [word for word in arguments if "=" not in word]
    names = [word.partition("=")[0] for word in arguments if "=" in word]
    first = next(iter(parameters.values()), None)
    takes_one = first is not None and first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert len(positional) <= int(takes_one)
    assert set(names) <= set(parameters) | settings


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_parameter_is_described(function: str) -> None:
    doc = inspect.getdoc(FUNCTIONS[function]) or ""
    described = {name for line in re.findall(r"^([a-z_, ]+)\n    ", doc, re.MULTILINE) for name in line.split(", ")}
    kinds = inspect.Parameter
    for name, parameter in inspect.signature(FUNCTIONS[function]).parameters.items():
        caught = parameter.kind is kinds.VAR_POSITIONAL or name == "unknown"
        assert caught or name in described, name
