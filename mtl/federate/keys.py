"""Keys of a federation: an authority of its own that signs the server's certificate, and a pair of keys for every client."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)
from cryptography.x509.oid import NameOID

from mtl.errors import ConfigError
from segmentation.files import make_folder, read_json, write_json, write_text

__all__ = [
    "AUTHORITY",
    "CERTIFICATE",
    "KEY",
    "Keys",
    "client_keys",
    "kept_secret",
    "make_client_key",
    "make_server_keys",
]

_CURVE = ec.SECP384R1()
AUTHORITY, CERTIFICATE, KEY, _CLIENTS = "ca.pem", "server.pem", "server.key", "clients"


@dataclass(frozen=True)
class Keys:
    """What was made.

    Attributes:
        files: In the order in which they are spoken of.
        sentences: What becomes of them.
    """

    files: tuple[Path, ...]
    sentences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"files": [str(path) for path in self.files]}

    def to_text(self) -> str:
        """Return a line a file, and what to do with them."""
        return "\n".join([*(f"Wrote {path}" for path in self.files), *self.sentences])


def make_server_keys(folder: Path, host: str, days: int = 365) -> Keys:
    """Make an authority, and a server's certificate that it has signed; the authority's own key is kept nowhere.

    Args:
        folder: Gets `ca.pem`, `server.pem`, `server.key` and an empty `clients`.
        host: Name or address by which clients call the server.
        days: That both are good for.

    Raises:
        ConfigError: If one of the files is there.
    """
    files = tuple(folder / name for name in (AUTHORITY, CERTIFICATE, KEY))
    _free(*files)
    make_folder(folder / _CLIENTS)
    authority, key = ec.generate_private_key(_CURVE), ec.generate_private_key(_CURVE)
    issuer = _name("mtl federation")
    signed = (
        _builder(issuer, issuer, authority.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    own = (
        _builder(_name(host), issuer, key.public_key(), days)
        .add_extension(x509.SubjectAlternativeName([_address(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    write_text(files[0], signed.public_bytes(Encoding.PEM).decode())
    write_text(files[1], own.public_bytes(Encoding.PEM).decode())
    _write_secret(files[2], key)
    return Keys(
        files,
        (
            f"Give {files[0]} to every client; put the .pub file of each into {folder / _CLIENTS}; keep {files[2]} here.",
        ),
    )


def make_client_key(folder: Path, name: str) -> Keys:
    """Make a client's pair of keys.

    Args:
        folder: Gets `NAME.key` and `NAME.pub`.
        name: That the report calls the client by.

    Raises:
        ConfigError: If one of the files is there, or the name is none of a file.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(
            f"Expected `--client` to be a name of letters, digits, `_`, `-` and `.`, but got {name!r}; do choose another"
        )
    secret, public = folder / f"{name}.key", folder / f"{name}.pub"
    _free(secret, public)
    make_folder(folder)
    key = ec.generate_private_key(_CURVE)
    _write_secret(secret, key)
    write_text(
        public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )
    return Keys((secret, public), (f"Give {public} to the server; keep {secret} here.",))


def client_keys(folder: Path) -> dict[str, bytes]:
    """Return the public keys of all clients in PEM, by name.

    Args:
        folder: As `make_server_keys` made it, with `clients/NAME.pub`.

    Raises:
        ConfigError: If there is none, or one cannot be read or stands there twice.
    """
    found: dict[str, bytes] = {}
    for path in sorted((folder / _CLIENTS).glob("*.pub")):
        try:
            key = load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"Expected {path} to be a public key in PEM, but it cannot be read; do make it with `mtl federate keys`"
            ) from error
        text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        if text in found.values():
            raise ConfigError(
                f"Expected every client to have its own key, but {path} is another's, too; do make one more"
            )
        found[path.stem] = text
    if not found:
        raise ConfigError(
            f"Expected {folder / _CLIENTS} to hold a .pub file a client, but it holds none; do put them there"
        )
    return found


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - timedelta(minutes=5)  # clocks differ
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _address(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _free(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise ConfigError(
                f"Expected {path} not to be there, since keys are never overwritten, but it is; do choose another folder or delete it"
            )


def kept_secret(path: Path) -> int:
    """Return the number of 128 bits that noise follows from, drawn once and kept: nobody else may know it.

    Args:
        path: Where it is kept.
    """
    if not path.is_file():
        with _for_me_alone():
            write_json(path, secrets.randbits(128))
    return int(read_json(path))


def _write_secret(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    with _for_me_alone():
        write_text(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


@contextmanager
def _for_me_alone() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
