"""The commands of the README and of the pages, typed as they stand there, one page after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from saltfactories.manager import FactoriesManager

from tests.end_to_end import light_cloud
from tests.end_to_end.reader import RESTART, Reader, reader
from tests.pages import PAGES, ROOT, Block, blocks, commands, commands_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

#: commands that are not typed here, as regular expressions, each with the reason
ELSEWHERE = {
    r"\./test\b.*": "these tests are that",
    r"salt-pip .*": "would change the environment of these tests; tests/functional/test_installed.py",
    r"salt-run hart\.(add|remove)_ip .*": "a network that is configured: tests/end_to_end/test_real_addresses.py",
    r"salt-run hart\.import_minions?( .*)?": "minions of another's making: tests/end_to_end/test_import.py",
    r"salt-run -c lab hart\..*": "an ordinary user's machine: tests/end_to_end/test_create_master.py",
    r"salt-run hart\.from_salt_cloud /root/old-configuration .*": "the same again, of another directory",
    r"salt-run hart\.create web1,web2,web3 .*": "of a map that the page does not show",
    r"salt-run hart\.(stop|start|reboot|resize|set_tags) .*": "machines with power: test_everyday.py",
    r"salt-run hart\.list_minions watch=.*": "it needs a terminal: test_progress.py",
    r"salt-run hart\.\w+ role=app region=nyc3.*": "the account of these tests is elsewhere: test_selectors.py",
    r"salt-run hart\.check_seal role=app": "minions with the module: test_seal.py",
    r"salt-run hart\.timeline .*": "the batch of the page is somebody else's; test_reports.py has it",
    r"salt-run hart\.(plan|apply|fleets|hold|unhold|simulate)\b.*": "declared fleets: tests/functional/fleets",
    r"salt-run hart\.bake app (region|provider)=.*": "copies to other regions: tests/drivers/test_contract_images.py",
    r"salt-run hart\.remove_image IMAGE.*": "each image has another id: tests/functional/images",
    r"salt -G roles:app hart\.interruption": "spot nodes: tests/drivers/ec2, tests/functional/test_metadata.py",
    r"install -d -o salt .*": "the user of Salt's own packages is not here",
}


def _a_database(reader: Reader) -> None:
    reader.put("/etc/salt/master.d/roles.conf", "hart: {roles: {app: {}, db: {}}}\n")
    reader.type("salt-run hart.create db1.example.com role=db")


def _fleet(reader: Reader) -> None:
    reader.emulate({"ec2": None})  # which has zones
    _a_database(reader)
    reader.type("salt-run hart.create db2.example.com role=db")
    reader.put("/etc/salt/master.d/roles.conf", "hart: {roles: {app: {}, db: {}, ci: {}}}\n")
    reader.type("salt-run hart.create ci2.example.com role=ci ttl=8h")
    reader.put("app/drain.sls", "drained: {test.nop: []}\n")


def _roles_and_states(reader: Reader) -> None:
    reader.put("/etc/salt/master.d/roles.conf", "hart: {roles: {app: {}, worker: {}}}\n")
    _states(reader)


def _one_node(minion_id: str) -> Callable[[Reader], None]:
    return lambda reader: reader.type(f"salt-run hart.create {minion_id} role=app")


def _nothing(reader: Reader) -> None:
    """Where a page needs nothing but a master with the role ``app``."""


def _accounts(*names: str) -> Callable[[Reader], None]:
    return lambda reader: reader.emulate(dict.fromkeys(names))


def _states(reader: Reader) -> None:
    reader.put("top.sls", "base: {'*': [hello]}\n")
    reader.put("hello.sls", "hello: {test.nop: []}\n")


def _salt_cloud(reader: Reader) -> None:
    for block in blocks(ROOT / "docs/migration/from_salt_cloud.md"):
        if block.path:
            reader.put(block.path, block.text)
    account = yaml.safe_dump({"hart": {"providers": {"my-do": {"driver": "do", **reader.emulators["do"].account()}}}})
    reader.put("/etc/salt/master.d/zz-my-do.conf", account)


def _examples(reader: Reader) -> None:
    reader.type("mkdir -p /etc/salt/master.d; cp hart_salt/examples/master.d/* /etc/salt/master.d/")
    reader.type("cp -r hart_salt/examples/salt/. /srv/salt/")
    # The tests learn from an engine of their own that the master runs; a later file replaces the list.
    engines = {"engines": [*reader.master.config["engines"], {"hart": {"interval": 60}}]}
    reader.put("/etc/salt/master.d/zz-engines.conf", yaml.safe_dump(engines))
    reader.type(RESTART)


#: what is there before somebody follows a page
BEFORE: dict[str, Callable[[Reader], None]] = {
    "README.md": _states,
    "docs/clouds/index.md": _accounts("do", "ec2", "gce"),
    "docs/fleets.md": _fleet,
    "docs/history.md": _one_node("app-1.example.com"),
    "docs/installation.md": _a_database,
    "docs/migration/from_hart.md": _accounts("do"),
    "docs/migration/from_salt_cloud.md": _salt_cloud,
    "docs/migration/index.md": _salt_cloud,
    "docs/orchestration.md": _roles_and_states,
    "hart_salt/examples/README.md": _examples,
}


@pytest.fixture
def typing_reader(factories: FactoriesManager) -> Iterator[Reader]:
    with reader(factories) as opened:
        yield opened


def is_typed(command: str) -> bool:
    return not any(re.fullmatch(pattern, command) for pattern in ELSEWHERE)


def is_file(block: Block) -> bool:
    """Whether a block is a file that the commands after it need; no fleet is declared, which would change nodes."""
    if "\n  fleets:" in block.text:
        return False
    configures = {"yaml": "\nhart:", "toml": "\n[providers"}.get(block.language)
    return bool(block.path) or bool(configures and configures in f"\n{block.text}")


#: The tutorial's commands are typed, and what they print is compared, by ``test_tutorial.py``. What contributors type
#: changes a checkout, or is these tests themselves; each of those tools has its own test. Several masters with their
#: servers are in ``test_peers.py``, ``test_cluster.py`` and ``test_masters_table.py``.
TYPED = [
    page
    for page in PAGES
    if page.stem not in ("tutorial", "several_masters")
    and page.parent.name != "contributing"
    and any(map(is_typed, commands_of(page)))
]


@pytest.mark.parametrize("page", TYPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_succeeds(page: Path, typing_reader: Reader) -> None:
    """Each in its turn, with the files that the page shows before it."""
    BEFORE.get(str(page.relative_to(ROOT)), _nothing)(typing_reader)
    for block in blocks(page):
        if is_file(block):
            typing_reader.write(block)
        for command in commands(block):
            if is_typed(command):
                typing_reader.type(command)


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_what_is_not_typed_here_stands_on_a_page(pattern: str) -> None:
    assert any(re.fullmatch(pattern, command) for page in PAGES for command in commands_of(page))
