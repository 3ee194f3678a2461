"""What ``hart.add_ip`` may be asked for, and the sentences for what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest
from hart_salt.runners import hart as runner


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"ip": "203.0.113.7"}, AddressRequest(RESERVED, "203.0.113.7")),
        ({"kind": "reserved", "ip": "203.0.113.7"}, AddressRequest(RESERVED, "203.0.113.7")),
        ({"kind": "additional"}, AddressRequest(ADDITIONAL)),
        ({"kind": "private"}, AddressRequest(PRIVATE)),
        ({"kind": "private", "vpc": "v"}, AddressRequest(PRIVATE, vpc="v")),
    ],
)
def test_what_goes_together_is_a_request(given: dict[str, Any], asked: AddressRequest) -> None:
    assert runner._request(**{"kind": None, "ip": None, "vpc": None, **given}) == asked


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "kind must be one of reserved, additional, private; with ip=ADDRESS it is reserved"),
        ({"kind": "floating"}, "kind must be one of reserved, additional, private"),
        ({"kind": "reserved"}, "ip must be an IPv4 address, such as ip=203.0.113.7"),
        ({"ip": "203.0.113"}, "ip must be an IPv4 address"),
        ({"ip": "2001:db8::1"}, "ip must be an IPv4 address"),
        ({"ip": "203.0.113.7/32"}, "ip must be an IPv4 address"),
        ({"ip": "203.0.113.7; reboot"}, "ip must be an IPv4 address"),
        ({"kind": "private", "ip": "203.0.113.7"}, "ip says which reserved address it is: leave it out"),
        ({"kind": "additional", "ip": "203.0.113.7"}, "ip says which reserved address it is: leave it out"),
        ({"ip": "203.0.113.7", "vpc": "v"}, "vpc says which private network it is: leave it out with kind=reserved"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(given: dict[str, Any], told: str) -> None:
    with pytest.raises(Refused) as caught:
        runner._request(**{"kind": None, "ip": None, "vpc": None, **given})
    assert told in str(caught.value)
