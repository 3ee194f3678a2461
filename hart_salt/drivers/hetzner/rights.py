"""
The permission that Hetzner's calls need: a token can read, or read and write.

Source: docs.hetzner.cloud, and its error code ``token_readonly``: a read-only token is allowed GET requests only.
"""

from __future__ import annotations

from hart_salt.drivers.rights import ALWAYS, BAKES, IMPORTS, POWER, PROTECTION, Rights, Use

_READ = ("Read",)
_WRITE = ("Read & Write",)

RIGHTS = Rights(
    word="permission",
    uses=(
        Use(
            "lists, checks and plans",
            {
                "GET /servers": _READ,
                "GET /servers/{}": _READ,
                "GET /ssh_keys": _READ,
                "GET /locations": _READ,
                "GET /server_types": _READ,
                "GET /images": _READ,
                "GET /pricing": _READ,
                "GET /firewalls": _READ,
                "GET /networks": _READ,
            },
        ),
        Use(
            ALWAYS,
            {
                "POST /servers": _WRITE,
                "DELETE /servers/{}": _WRITE,
                "POST /ssh_keys": _WRITE,
                "DELETE /ssh_keys/{}": _WRITE,
            },
        ),
        Use(IMPORTS, {"PUT /servers/{}": _WRITE}),
        Use(
            POWER,
            {
                "POST /servers/{}/actions/poweron": _WRITE,
                "POST /servers/{}/actions/shutdown": _WRITE,
                "POST /servers/{}/actions/poweroff": _WRITE,
                "POST /servers/{}/actions/reboot": _WRITE,
                "POST /servers/{}/actions/reset": _WRITE,
                "POST /servers/{}/actions/change_type": _WRITE,
                "GET /actions/{}": _READ,
            },
        ),
        Use(
            BAKES,
            {
                "POST /servers/{}/actions/create_image": _WRITE,
                "GET /images/{}": _READ,
                "PUT /images/{}": _WRITE,
                "DELETE /images/{}": _WRITE,
            },
        ),
        Use(PROTECTION, {"POST /servers/{}/actions/change_protection": _WRITE}),
    ),
)
