"""A protected node on a real master: created, refused, without its record, and destroyed."""

from __future__ import annotations

from tests.end_to_end.conftest import SaltMaster


def test_a_protected_node_stays_until_its_protection_is_removed(master: SaltMaster) -> None:
    """The mark of the instance protects it when Salt's cache is lost, which any other master sees as well."""
    made = master.run("hart.create_role", "app", "protect=True")
    assert made.code == 0, made
    ((name, entry),) = made.data.items()
    assert entry["protected"] is True
    remedy = f"{name} is protected: salt-run hart.unprotect {name} removes the protection"

    refused = master.run("hart.destroy", name)
    assert (refused.code, refused.data["error"]) == (2, remedy)
    scaled = master.run("hart.scale", "app", "count=0")
    assert (scaled.code, scaled.data["error"].splitlines()[-1]) == (2, remedy)

    master.record(name).unlink()
    refused = master.run("hart.destroy", name)
    assert (refused.code, refused.data["error"]) == (2, remedy)
    swept = master.run("hart.sweep", "grace=0")
    assert [one["name"] for one in swept.data["rebuilt"]] == [name]
    shown = master.run("hart.show", name).data
    assert (shown["status"], shown["protected"], "note" in shown) == ("ready", True, False)

    assert master.run("hart.unprotect", name).data[name] == {"result": True, "changed": True, "protected": False}
    assert master.run("hart.destroy", name).code == 0
    assert not any(master.left_over().values())
