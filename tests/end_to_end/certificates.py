"""A certificate authority for Salt's TLS on loopback: a certificate of the master, and one of its minions."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PLACE = "srv/tls"
_CA = {"ca_certs": f"{PLACE}/ca.crt", "cert_reqs": "CERT_REQUIRED"}
#: the setting ``ssl`` of each side, with paths below the master's directory
OF_MASTER = {**_CA, "certfile": f"{PLACE}/master.crt", "keyfile": f"{PLACE}/master.key"}
OF_MINION = {**_CA, "certfile": f"{PLACE}/minion.crt", "keyfile": f"{PLACE}/minion.key"}


def files() -> Mapping[str, str]:
    """Return the authority's certificate and both sides' certificates and keys, by their paths below it."""
    authority = ec.generate_private_key(ec.SECP256R1())
    made = {"ca.crt": _pem(_certificate("ca", authority, "ca", authority, True))}
    for name in ("master", "minion"):
        key = ec.generate_private_key(ec.SECP256R1())
        made[f"{name}.crt"] = _pem(_certificate(name, key, "ca", authority, False))
        made[f"{name}.key"] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    return {f"{PLACE}/{name}": text for name, text in made.items()}


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, is_authority: bool
) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    loopback = [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "::1")]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(loopback), critical=False)
        .sign(by, hashes.SHA256())
    )
