"""X.509, as far as it says who a certificate is for and until when. A component has no ssl; DER is not much to read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timezone

SEQUENCE, SET, OID, BITS, TIME_UTC, TIME_LONG = 0x30, 0x31, 0x06, 0x03, 0x17, 0x18
NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}
ALT_NAMES = b"\x55\x1d\x11"
LONGEST = 64 * 1024


class NotACertificate(ValueError):
    """The bytes are no certificate."""


@dataclass
class Certificate:
    """What a certificate says."""

    subject: str
    issuer: str
    names: list[str] = field(default_factory=list)
    """Hosts that it is for."""
    not_before: int = 0
    """Milliseconds since 1970."""
    not_after: int = 0
    fingerprint: str = ""
    """SHA-256, in hexadecimal digits."""


def element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag, content, and where the next one begins."""
    if at + 2 > len(data):
        raise NotACertificate("it ends too early")
    tag, size, at = data[at], data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or at + count > len(data):
            raise NotACertificate("a length is not valid")
        size, at = int.from_bytes(data[at : at + count], "big"), at + count
    if at + size > len(data):
        raise NotACertificate("it ends too early")
    return tag, data[at : at + size], at + size


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """All of a content."""
    out, at = [], 0
    while at < len(data):
        tag, content, at = element(data, at)
        out.append((tag, content))
    return out


def text(tag: int, content: bytes) -> str:
    """A string of one of ASN.1's many kinds."""
    if tag == 0x1E:
        return content.decode("utf-16-be", "replace")
    return content.decode("utf-8" if tag == 0x0C else "latin-1", "replace")


def name(content: bytes) -> str:
    """A distinguished name: the common name, or what else there is of it."""
    found: dict[str, str] = {}
    for _, group in elements(content):
        for _, pair in elements(group):
            parts = elements(pair)
            if len(parts) == 2 and parts[0][1] in NAMES:
                found.setdefault(NAMES[parts[0][1]], text(*parts[1]))
    return found.get("CN") or ", ".join(v for k, v in sorted(found.items()) if v) or "unnamed"


def moment(tag: int, content: bytes) -> int:
    """A time, in milliseconds since 1970."""
    digits = content.decode("ascii", "replace")
    if tag == TIME_UTC:
        # Years of two digits are of 1950 to 2049.
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    elif tag != TIME_LONG:
        raise NotACertificate("a time is not valid")
    try:
        parsed = datetime(*(int(digits[a:b]) for a, b in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))), tzinfo=timezone.utc)
    except ValueError as e:
        raise NotACertificate("a time is not valid") from e
    return int(parsed.timestamp()) * 1000


def address(raw: bytes) -> str:
    """An IP address."""
    if len(raw) == 4:
        return ".".join(str(b) for b in raw)
    return ":".join(f"{int.from_bytes(raw[i : i + 2], 'big'):x}" for i in range(0, len(raw), 2))


def alternatives(extensions: bytes) -> list[str]:
    """Hosts and addresses of the extension subjectAltName."""
    out = []
    for _, extension in elements(extensions):
        parts = elements(extension)
        if not parts or parts[0] != (OID, ALT_NAMES):
            continue
        for tag, content in elements(element(parts[-1][1], 0)[1]):
            if tag == 0x82:
                out.append(content.decode("ascii", "replace"))
            elif tag == 0x87:
                out.append(address(content))
    return out


def parse(der: bytes) -> Certificate:
    """Reads a certificate in DER."""
    if len(der) > LONGEST:
        raise NotACertificate("it is too long")
    tag, whole, _ = element(der, 0)
    if tag != SEQUENCE:
        raise NotACertificate("it does not begin like one")
    parts = elements(element(whole, 0)[1])
    if parts and parts[0][0] == 0xA0:
        parts = parts[1:]
    # serial, signature, issuer, validity, subject, key, then what is optional.
    if len(parts) < 6:
        raise NotACertificate("parts are missing")
    validity = elements(parts[3][1])
    if len(validity) != 2:
        raise NotACertificate("it says no time")
    extensions = next((element(c, 0)[1] for t, c in parts[6:] if t == 0xA3), b"")
    return Certificate(
        subject=name(parts[4][1]),
        issuer=name(parts[2][1]),
        names=alternatives(extensions),
        not_before=moment(*validity[0]),
        not_after=moment(*validity[1]),
        fingerprint=hashlib.sha256(der).hexdigest(),
    )
