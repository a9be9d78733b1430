"""What may be dialled, address by address, in every spelling that leads somewhere else than it says."""

import ipaddress

import pytest

from dsrkit.egress import EgressGuard

REFUSED = """
    127.0.0.1 ::1 0.0.0.0 :: 10.1.2.3 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 192.0.0.1 192.0.0.170 198.18.0.1
    240.0.0.1 224.0.0.1 255.255.255.255 168.63.129.16 192.88.99.1
    fe80::1 fd00::1 fd00:ec2::254 fec0::1 feff::1 ff02::1 ff0e::1 100::1 2001:db8::1 3fff::1 5f00::1
    ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::127.0.0.1 ::8.8.8.8 ::7f00:1 64:ff9b::127.0.0.1
    64:ff9b:1::127.0.0.1 64:ff9b:1:ffff::8.8.8.8 2002:7f00:1:: 2002:a00:1:: 2001:0:7f00:1::
"""
PERMITTED = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]


@pytest.mark.policy("P16", "addresses that lead inside are not dialled, in whatever spelling")
@pytest.mark.parametrize("address", REFUSED.split())
def test_what_leads_inside_is_refused(address: str) -> None:
    assert not EgressGuard().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PERMITTED)
def test_what_is_public_is_permitted(address: str) -> None:
    assert EgressGuard().permits(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "address", "permitted"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", True),
        ("10.0.0.0/8", "::10.1.2.3", False),
        ("10.0.0.0/8", "64:ff9b:1::10.1.2.3", False),
        ("10.0.0.0/8", "192.168.1.1", False),
        ("fec0::/10", "fec0::1", True),
        ("10.0.0.0/8, fd00::/8", "fd00::1", True),
    ],
)
def test_the_operator_opens_private_networks_by_their_own_name(allowed: str, address: str, permitted: bool) -> None:
    assert EgressGuard.parse(allowed).permits(ipaddress.ip_address(address)) is permitted
