"""The configurations, commands, files and names in the README and in all pages of the documentation are correct."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from salt.state import STATE_INTERNAL_KEYWORDS

from hart_salt import drivers
from hart_salt.config import loader
from hart_salt.config.catalog import Catalogue
from hart_salt.config.fleets import Fleet, provider_of
from hart_salt.drivers.contract import Driver
from hart_salt.migration.salt_cloud import config as cloud_config
from hart_salt.migration.salt_cloud import files as cloud_files
from hart_salt.modules import hart as module
from hart_salt.runners import hart as runner
from hart_salt.runners.hart import EVENT
from hart_salt.states import hart as states
from tests import pages
from tools import reference

ROOT = pages.ROOT
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in pages.PAGES}
HART = PAGES["docs/migration/from_hart.md"]
SALT_CLOUD = PAGES["docs/migration/from_salt_cloud.md"]
DRIVERS = PAGES["docs/contributing/adding_a_driver.md"]
SECURITY = PAGES["docs/security.md"]
ARCHITECTURE = PAGES["docs/contributing/architecture.md"]
BLOCKS = [(block.language, block.text) for path in pages.PAGES for block in pages.blocks(path)]
SCHEMAS = drivers.schemas()
SETTINGS = set(Catalogue(SCHEMAS).names(None))


def blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


def data(text: str) -> Any:
    """Return the data of a YAML block, with a placeholder for each value that Jinja would render."""
    return yaml.safe_load(re.sub(r"\{\{.*?\}\}", "rendered", text))


def load(source: loader.Source) -> loader.Config:
    return loader.load([source], SCHEMAS, lambda uri: "a-value-of-sdb")


#: without the part of a pyproject.toml that a page shows
FILES_OF_HART = [text for text in blocks("toml") if not text.startswith("[project.")]
CONFIGURATIONS = [text for text in blocks("yaml") if "hart" in data(text)]
COMMANDS = [line for text in blocks("bash") for line in text.splitlines()]


def test_there_are_configurations_and_commands_to_test() -> None:
    assert len(CONFIGURATIONS) >= 2
    assert len(FILES_OF_HART) >= 2
    assert len(COMMANDS) >= 15


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_master_configurations_have_no_fault(text: str) -> None:
    section = data(text)["hart"]
    loaded = load(loader.Source("master config", section))
    assert set(loaded.roles) == set(section.get("roles", ()))
    assert set(loaded.providers) >= set(section.get("providers", ()))
    for name, fleet in loaded.fleets.items() if "providers" in section else ():  # others are parts of a configuration
        assert fleet.regions or has_region(loaded, fleet), f"hart.plan refuses the fleet {name}: it has no region"


def has_region(config: loader.Config, fleet: Fleet) -> bool:
    """Return whether the role or the provider of a fleet has a region, or its driver needs none."""
    provider = config.providers[str(provider_of(fleet, config.role_names()))]
    layers = [config.defaults, config.provider_defaults[provider.name], config.roles[fleet.role].settings]
    return bool(SCHEMAS[provider.driver].default_region) or any(layer.get("region") for layer in layers)


@pytest.mark.parametrize("text", FILES_OF_HART)
def test_toml_files_have_no_fault(text: str, tmp_path: Path) -> None:
    (tmp_path / "hart.toml").write_text(text, encoding="utf-8")
    source = loader.read_toml(tmp_path / "hart.toml", required=True)
    assert source is not None
    assert load(source).roles


def calls(value: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield the calls of hart's runner in a state file or a reactor file, each with the names of its arguments."""
    for state in value.values() if isinstance(value, dict) else ():
        for function, body in state.items() if isinstance(state, dict) else ():
            parts = [part for part in body if isinstance(part, dict)] if isinstance(body, list) else []
            given = {name: item for part in parts for name, item in part.items()}
            if function == "salt.runner" and str(given.get("name", "")).startswith("hart."):
                yield given["name"].removeprefix("hart."), set(given) - {"name", "require"}
            if function.startswith("runner.hart."):
                yield function.removeprefix("runner.hart."), {name for part in given["args"] for name in part}


def test_states_and_reactors_call_functions_and_arguments_that_exist() -> None:
    found = [call for text in blocks("yaml") for call in calls(data(text))]
    assert {function for function, _ in found} == {"create_role", "scale"}
    for function, names in found:
        assert names - {EVENT} <= set(inspect.signature(reference.functions()[function]).parameters) | SETTINGS


def declared(value: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield the states of hart in a state file, each with the names of its arguments."""
    for state in value.values() if isinstance(value, dict) else ():
        for function, body in state.items() if isinstance(state, dict) else ():
            if function.startswith("hart.") and isinstance(body, list):
                yield function.removeprefix("hart."), {name for part in body for name in part}


def test_states_of_hart_and_their_arguments_exist() -> None:
    found = [state for text in blocks("yaml") for state in declared(data(text))]
    functions = reference.functions(states)
    assert {function for function, _ in found} == set(functions)
    for function, names in found:
        assert names <= set(inspect.signature(functions[function]).parameters) | SETTINGS | STATE_INTERNAL_KEYWORDS


def test_no_setting_has_the_name_of_an_argument_that_salt_keeps_from_states() -> None:
    assert set() == SETTINGS & STATE_INTERNAL_KEYWORDS


@pytest.mark.parametrize("line", [line for line in COMMANDS if "salt-run hart." in line])
def test_commands_name_functions_and_arguments_that_exist(line: str) -> None:
    _, called, *arguments = shlex.split(line)
    function = reference.functions()[called.removeprefix("hart.")]
    parameters = inspect.signature(function).parameters
    known = set(parameters) | (SETTINGS if "settings" in parameters else set())
    assert "pairs" in parameters or {word.partition("=")[0] for word in arguments if "=" in word} <= known


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("./")])
def test_programs_of_the_checkout_exist(line: str) -> None:
    assert (ROOT / shlex.split(line)[0]).stat().st_mode & 0o100


def test_old_names_lead_to_the_settings_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)(?:: \w+)?` \| `(\w+)(?:: \w+)?` \|$", HART, re.MULTILINE)
    assert len(rows) == 5
    for old, new in rows:
        assert {here for _, here, _ in reference.known_as(old, SCHEMAS)} == {new}


LINKS = [
    (page, target)
    for page, text in PAGES.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", text)
    if not target.startswith("https://")
]
FILES = [
    (page, path) for page, text in PAGES.items() for path in re.findall(r"`((?:hart_salt|tests|tools)/[\w./]+)`", text)
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as links write them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def file_of(page: str, target: str) -> Path:
    """Return the file that a link leads to; for a page of the site that includes another file, that file."""
    path = (ROOT / page).parent / target if target else ROOT / page
    included = {"docs/reference.md": "hart_salt/REFERENCE.md", "docs/changelog.md": "CHANGELOG.md"}
    path = path.resolve()
    return ROOT / included.get(str(path.relative_to(ROOT)), path)


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_to_a_file_and_to_a_heading_of_it(page: str, link: str) -> None:
    target, _, anchor = link.partition("#")
    path = file_of(page, target)
    assert path.exists()
    assert not anchor or anchor in anchors(path)


@pytest.mark.parametrize(("page", "path"), FILES)
def test_named_files_exist(page: str, path: str) -> None:
    assert (ROOT / path).exists()


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {
        str(((ROOT / page).parent / f"{entry}.md").resolve().relative_to(ROOT))
        for page, text in PAGES.items()
        for tree in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for entry in tree.split()
        if not entry.startswith(":")
    }
    assert {page for page in PAGES if page.startswith("docs/")} - listed == {"docs/index.md"}


@pytest.mark.parametrize("line", re.findall(r"`(salt-run hart\.[^`]+)` ?\|", HART + SALT_CLOUD))
def test_commands_in_tables_exist(line: str) -> None:
    test_commands_name_functions_and_arguments_that_exist(line.replace(" --out=json", ""))


def test_the_example_of_salt_clouds_configuration_shows_the_real_translation(tmp_path: Path) -> None:
    files = re.findall(r"^`/etc/salt/(cloud\S+)`\n\n```yaml\n(.*?)^```$", SALT_CLOUD, re.MULTILINE | re.DOTALL)
    assert len(files) == 2
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    made = cloud_config.translation(cloud_files.read(str(tmp_path), None, str), SCHEMAS)
    (shown,) = re.findall(
        r"^it generates this configuration:\n\n```yaml\n(.*?)^```$", SALT_CLOUD, re.MULTILINE | re.DOTALL
    )
    assert yaml.safe_load(made.text().replace(str(tmp_path), "/etc/salt")) == yaml.safe_load(shown)
    assert [note for note in made.notes if "create_dns_record was left out" in note]


@pytest.mark.parametrize(
    ("file", "name"),
    [("undo", "on_failure"), *(("lifecycle", name) for name in ("_seal", "enrol", "start", "run", "_launch"))],
)
def test_the_security_model_names_functions_that_exist(file: str, name: str) -> None:
    assert re.search(rf"`(Lifecycle\.)?{name}`", SECURITY + ARCHITECTURE)
    assert re.search(rf"def {name}\(", (ROOT / f"hart_salt/node/{file}.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", ARCHITECTURE))))
def test_named_tests_are_in_a_named_file(name: str) -> None:
    files = set(re.findall(r"`(tests/end_to_end/test_(?:promises|real_machines).py)`", ARCHITECTURE))
    assert len(files) == 2
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in files]
    assert any(re.search(rf"^def {name}", text, re.MULTILINE) for text in texts)


def test_every_promise_is_in_the_table_of_tests() -> None:
    promised = re.findall(r"^\| \*\*(.+?)\.?\*\* ", SECURITY, re.MULTILINE)
    shown = re.split(r"\n## ", ARCHITECTURE.partition("## What shows that the promises are kept")[2])[0]
    rows = [line.strip("| ").split(" | ")[0] for line in shown.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(promised) == 7
    assert [row for row, promise in zip(rows, promised, strict=True) if not promise.startswith(row)] == []


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.match(r"salt .* hart\.", line)])
def test_commands_for_minions_name_functions_that_exist(line: str) -> None:
    called = next(word for word in shlex.split(line) if word.startswith("hart."))
    assert called.removeprefix("hart.") in reference.functions(module)


def test_functions_named_in_sentences_exist() -> None:
    texts = [*PAGES.values(), (ROOT / "hart_salt/REFERENCE.md").read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"`(?:salt-run )?hart\.([a-z_]+)`", text)}
    others = {"toml", "provider", "region", "size"}  # a file, and grains
    known = {name for of in (runner, module, states) for name in reference.functions(of)}
    assert named - others - known == set()


def test_the_guide_to_drivers_names_every_verb_of_the_contract() -> None:
    verbs = [name for name in vars(Driver) if not name.startswith("_") and name != "schema"]
    assert [verb for verb in verbs if f"`{verb}`" not in DRIVERS] == []
    assert drivers.ENTRY_POINT_GROUP in DRIVERS
