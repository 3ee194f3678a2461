"""
The scopes that DigitalOcean's calls need.

Source: ``security`` of each call in the vendor's description (digitalocean/openapi at 7c1300c), and the page of each
scope (docs.digitalocean.com/reference/api/scopes), which names the scopes that a token must have beside it.
"""

from __future__ import annotations

from hart_salt.drivers.rights import ADDRESSES, ALWAYS, BAKES, IMPORTS, POWER, Rights, Use

#: the page of droplet:create: every scope of droplets requires these
_BESIDE = ("actions:read", "image:read", "regions:read", "sizes:read")

RIGHTS = Rights(
    word="scope",
    uses=(
        Use(
            ALWAYS,
            {
                "GET /account": ("account:read",),
                "GET /regions": ("regions:read",),
                "GET /sizes": ("sizes:read", "regions:read"),
                "GET /images": ("image:read",),
                "GET /images/{}": ("image:read",),
                "GET /droplets": ("droplet:read",),
                "GET /droplets/{}": ("droplet:read",),
                "POST /droplets": ("droplet:create", "ssh_key:read", "tag:create"),
                "DELETE /droplets/{}": ("droplet:delete",),
                "GET /account/keys": ("ssh_key:read",),
                "POST /account/keys": ("ssh_key:create",),
                "DELETE /account/keys/{}": ("ssh_key:delete",),
                "GET /tags": ("tag:read",),
                "DELETE /tags/{}": ("tag:delete",),
            },
        ),
        Use(
            IMPORTS,
            {
                "POST /tags": ("tag:create",),
                "POST /tags/{}/resources": ("tag:create",),
                "DELETE /tags/{}/resources": ("tag:delete",),
            },
        ),
        Use(
            POWER,
            {"POST /droplets/{}/actions": ("droplet:update",), "GET /droplets/{}/actions/{}": ("droplet:read",)},
        ),
        Use(
            BAKES,
            {
                "POST /droplets/{}/actions": ("droplet:update", "image:create"),
                "GET /droplets/{}/actions": ("droplet:read",),
                "POST /tags/{}/resources": ("tag:create", "droplet:update", "image:update"),
                "POST /images/{}/actions": ("image:update",),
                "GET /images/{}/actions": ("image:read",),
                "DELETE /images/{}": ("image:delete",),
            },
        ),
        Use(
            "the setting `firewall`",
            {"GET /firewalls": ("firewall:read",), "POST /firewalls/{}/droplets": ("firewall:update",)},
        ),
        Use("the setting `vpc`", {"POST /droplets": ("vpc:read",), "GET /vpcs/{}": ("vpc:read",)}),
        Use("the setting `volumes`", {"POST /droplets": ("block_storage:read",)}),
        Use(
            ADDRESSES,
            {
                "GET /reserved_ips": ("reserved_ip:read",),
                "GET /reserved_ips/{}": ("reserved_ip:read",),
                "POST /reserved_ips/{}/actions": ("reserved_ip:update",),
            },
        ),
    ),
    beside={"droplet:create": _BESIDE, "droplet:read": _BESIDE},
)
