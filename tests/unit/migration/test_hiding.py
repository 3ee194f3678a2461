"""What looks like a secret by its value, in command lines above all."""

from __future__ import annotations

import pytest

from hart_salt.migration.salt_cloud import hiding


@pytest.mark.parametrize(
    "command",
    [
        "mysqldump -uroot -phidden db", "mysql -u root -p hidden", "redis-cli -h db -a hidden ping",
        "smbclient //host/share -U user%hidden", "curl -u user:hidden https://example.com",
    ],
)  # fmt: skip
def test_a_password_in_a_command_is_a_secret(command: str) -> None:
    assert hiding.is_secret(command, ["web", "minion", "schedule", "job", "args"], 1)


@pytest.mark.parametrize("command", ["state.apply web", "tar -x -f a.tar", "redis-cli ping", "apt-get -y -p"])
def test_another_command_is_none(command: str) -> None:
    assert not hiding.is_secret(command, ["web", "minion", "schedule", "job", "args"], 1)
