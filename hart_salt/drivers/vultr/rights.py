"""
The permissions that Vultr's calls need.

Source: the actions of policies (docs.vultr.com/platform/iam/policies/iam-policy-actions-map, 2026-04). The names for
SSH keys, VPCs and snapshots follow the pattern of the others there; they were not checked against an account. Calls
without a permission need no key (``security: []`` in Vultr's own description).
"""

from __future__ import annotations

from hart_salt.drivers.rights import ADDRESSES, ALWAYS, BAKES, IMPORTS, POWER, Rights, Use

RIGHTS = Rights(
    word="permission",
    uses=(
        Use(
            ALWAYS,
            {
                "GET /account": ("account.billing.Read",),
                "GET /regions": (),
                "GET /regions/{}/availability": (),
                "GET /plans": (),
                "GET /os": (),
                "GET /instances": ("compute.instance.List",),
                "GET /instances/{}": ("compute.instance.Read",),
                "POST /instances": ("compute.instance.Create",),
                "DELETE /instances/{}": ("compute.instance.Delete",),
            },
        ),
        Use(IMPORTS, {"PATCH /instances/{}": ("compute.instance.Update",)}),
        Use(
            POWER,
            {
                "POST /instances/{}/start": ("compute.instance.Update",),
                "POST /instances/{}/halt": ("compute.instance.Update",),
                "POST /instances/{}/reboot": ("compute.instance.Update",),
                "GET /instances/{}/upgrades": ("compute.instance.Read",),
            },
        ),
        Use("`hart.list_images`", {"GET /snapshots": ("compute.snapshot.List",)}),
        Use(
            BAKES,
            {
                "POST /snapshots": ("compute.snapshot.Create",),
                "GET /snapshots/{}": ("compute.snapshot.Read",),
                "PUT /snapshots/{}": ("compute.snapshot.Update",),
                "DELETE /snapshots/{}": ("compute.snapshot.Delete",),
            },
        ),
        Use("the setting `ssh_keys`", {"GET /ssh-keys": ("compute.sshkey.List",)}),
        Use("the setting `firewall_group`", {"GET /firewalls": ("network.firewall.List",)}),
        Use(
            "the settings `vpc` and `private_networking`",
            {"GET /vpcs": ("network.vpc.List",), "GET /vpcs/{}/nat-gateway": ("network.vpc.Read",)},
        ),
        Use(
            ADDRESSES,
            {
                "GET /reserved-ips": ("network.reservedip.List",),
                "GET /reserved-ips/{}": ("network.reservedip.Read",),
                "POST /reserved-ips/{}/attach": ("network.reservedip.Update",),
                "POST /reserved-ips/{}/detach": ("network.reservedip.Update",),
                "GET /instances/{}/ipv4": ("compute.instance.Read",),
                "POST /instances/{}/ipv4": ("compute.instance.Update",),
                "DELETE /instances/{}/ipv4/{}": ("compute.instance.Update",),
                "GET /instances/{}/vpcs": ("compute.instance.Read",),
                "POST /instances/{}/vpcs/attach": ("compute.instance.Update",),
                "POST /instances/{}/vpcs/detach": ("compute.instance.Update",),
                "GET /vpcs/{}": ("network.vpc.Read",),
            },
        ),
    ),
)
