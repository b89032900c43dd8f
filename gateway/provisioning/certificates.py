"""A private certificate authority, and the broker's certificate that it signs. ECDSA on P-256: small, and quick enough
for mbedTLS on an ESP32."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
"""Boards hold the authority's certificate: it should outlast them."""
BACKDATED = timedelta(days=1)
"""Valid from this long before it is made: the clocks of those who check it may be behind."""
COMMON_NAME_MAX = 64

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.I)


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and the key that belongs to it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def parse(certificate_pem: str, key_pem: str) -> Certified:
    """Take a certificate and its key from their PEM texts.

    Raises:
        ValueError: they are none, or do not belong together.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    try:
        key = load_pem_private_key(key_pem.encode(), None)
    except TypeError as error:
        raise ValueError("the key is encrypted") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not one for ECDSA")
    if certificate.public_key() != key.public_key():
        raise ValueError("the key is not that of the certificate")
    return Certified(certificate, key)


def make_authority(now: datetime) -> Certified:
    """A new authority, valid for `CA_DAYS`."""
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own: two authorities with one name are taken for each other by those who have both.
    identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(f"Voice gateway CA {identity.digest[:4].hex()}")
    certificate = (
        _builder(name, name, key.public_key(), now, now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identity, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certified(certificate, key)


def make_server(
    authority: Certified, hosts: Sequence[str], addresses: Sequence[Address], now: datetime, days: int
) -> Certified:
    """A certificate for a server that is reached by any of `hosts` and `addresses`, at least one of them. It ends after
    `days`, and no later than its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in dict.fromkeys(hosts)]
    names += [x509.IPAddress(address) for address in dict.fromkeys(addresses)]
    subject = _name([*hosts, *map(str, addresses)][0][:COMMON_NAME_MAX])
    signer = authority.key.public_key()
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), now, ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Certified(certificate, key)


def is_host(text: str) -> bool:
    """Whether it can be a host's name in a certificate."""
    return _HOST.fullmatch(text) is not None


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
