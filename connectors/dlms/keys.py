"""The platform's keys: what callers encrypt a meter's secrets for, and what those secrets rest under.

Only the DLMS worker opens any. There are two (design, section 9; reference `operations-managing.md` 2.12):

- the **platform key**, RSA: callers seal secrets for its public half (`seal_for_platform`; RSAES-OAEP with SHA-256,
  RFC 8017 7.1);
- the **key-encryption key**, AES-256: secrets rest under it in topics and tables (AES-GCM; device and kind are
  associated data, so a sealed key moved to another device, or to another use, does not open).

A sealed secret is: version (1 byte, 01), key id (4 bytes), nonce (12), ciphertext with its tag of 16. The key id tells
which of several key-encryption keys sealed it: the first of the list seals, all of them open, so a new one is put in
front and the old one kept.

They come from the folder `METERLOG_KEYS`, or from the environment (`METERLOG_PLATFORM_KEY`: PEM,
`METERLOG_KEY_ENCRYPTION_KEY`: hex, several separated by commas). Nothing here logs, and no message or representation
holds a secret.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from operations._errors import Rejected
from schemas.records import KeyKind, SealedKey

FOLDER: Final = "METERLOG_KEYS"
PLATFORM_KEY: Final = "METERLOG_PLATFORM_KEY"
KEY_ENCRYPTION_KEY: Final = "METERLOG_KEY_ENCRYPTION_KEY"

PRIVATE_FILE: Final = "platform-private.pem"
PUBLIC_FILE: Final = "platform-public.pem"
KEY_ENCRYPTION_FILE: Final = "key-encryption-keys.hex"

RSA_BITS: Final = 3072  # the strength of the AES-128 keys it carries (NIST SP 800-57 part 1, table 2)
KEY_BYTES: Final = 16  # of a meter's key: reference 2.10
PASSWORD_BYTES: Final = range(1, 65)  # an AARQ authentication value holds no more

_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEADER_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class KeysUnusable(Exception):
    """The platform's own keys are missing or damaged: the operator must act, not the caller."""


def _associated(device_id: str, kind: KeyKind) -> bytes:
    name = device_id.encode()
    return b"meterlog.sealed.v1" + len(name).to_bytes(4, "big") + name + kind.value.encode()


@dataclass(frozen=True, slots=True)
class KeyEncryptionKey:
    """One AES-256 key that secrets rest under."""

    key_id: bytes
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def from_bytes(cls, secret: bytes) -> "KeyEncryptionKey":
        if len(secret) != 32:
            raise KeysUnusable(f"a key-encryption key has 32 bytes, not {len(secret)}")
        return cls(sha256(b"meterlog.kek-id" + secret).digest()[:_KEY_ID_BYTES], AESGCM(secret))

    def seal(self, device_id: str, kind: KeyKind, secret: bytes) -> bytes:
        # A random nonce: AES-GCM takes 2**32 of them under one key (NIST SP 800-38D 8.3); ten million meters use
        # 5 * 10**7.
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + self.key_id + nonce + self._cipher.encrypt(nonce, secret, _associated(device_id, kind))

    def open(self, device_id: str, kind: KeyKind, sealed: bytes) -> bytes:
        """Raises InvalidTag when it was altered, or sealed for another device or kind."""
        nonce = sealed[_HEADER_BYTES - _NONCE_BYTES : _HEADER_BYTES]
        return self._cipher.decrypt(nonce, sealed[_HEADER_BYTES:], _associated(device_id, kind))


@dataclass(frozen=True, slots=True)
class Keys:
    """What the worker opens and seals with. All methods are pure computing; `reseal` takes some milliseconds (RSA)."""

    _platform: rsa.RSAPrivateKey = field(repr=False)
    _sealing: tuple[KeyEncryptionKey, ...]

    @property
    def public_key(self) -> bytes:
        """PEM (SubjectPublicKeyInfo): what callers encrypt for."""
        return public_pem(self._platform)

    def seal(self, device_id: str, kind: KeyKind, secret: bytes) -> bytes:
        return self._sealing[0].seal(device_id, kind, secret)

    def open(self, device_id: str, key: SealedKey) -> bytes:
        """The secret of a device. Raises Rejected 805 READING_KEY_EXCEPTION when this platform cannot open it."""
        sealed, key_id = key.sealed, key.sealed[1 : 1 + _KEY_ID_BYTES]
        if len(sealed) < _HEADER_BYTES + 16 or not sealed.startswith(_VERSION):
            raise _unreadable(key.kind, "it is not a sealed key")
        for candidate in self._sealing:
            if candidate.key_id == key_id:
                try:
                    return candidate.open(device_id, key.kind, sealed)
                except InvalidTag:
                    raise _unreadable(key.kind, "it was altered, or sealed for another device") from None
        raise _unreadable(key.kind, f"it rests under key {key_id.hex()}, which this worker does not have")

    def reseal(self, device_id: str, kind: KeyKind, encrypted: bytes) -> bytes:
        """Open what a caller encrypted for the platform, seal it for resting.

        Raises Rejected: 804 DECRYPTION_EXCEPTION when it does not open, 802 INVALID_DLMS_KEY_FORMAT when the secret has
        the wrong length.
        """
        try:
            secret = self._platform.decrypt(encrypted, _OAEP)
        except ValueError:
            raise Rejected(
                "cannot be decrypted: it was not encrypted for this platform's public key",
                field=_field(kind),
                code=804,
                name="DECRYPTION_EXCEPTION",
            ) from None
        check_length(kind, secret)
        return self.seal(device_id, kind, secret)


def _field(kind: KeyKind) -> str:
    return kind.value if kind is KeyKind.PASSWORD else f"{kind.value}_key"


def _unreadable(kind: KeyKind, reason: str) -> Rejected:
    return Rejected(
        f"the sealed key cannot be opened: {reason}", field=_field(kind), code=805, name="READING_KEY_EXCEPTION"
    )


def check_length(kind: KeyKind, secret: bytes) -> None:
    """Raises Rejected 802 INVALID_DLMS_KEY_FORMAT: a key has 16 bytes, a password 1 to 64."""
    if kind is KeyKind.PASSWORD:
        fits, wanted = len(secret) in PASSWORD_BYTES, "1 to 64 bytes"
    else:
        fits, wanted = len(secret) == KEY_BYTES, f"{KEY_BYTES} bytes"
    if not fits:
        raise Rejected(
            f"has {len(secret)} bytes, not {wanted}", field=_field(kind), code=802, name="INVALID_DLMS_KEY_FORMAT"
        )


def public_pem(private: rsa.RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def seal_for_platform(public_key: bytes, secret: bytes) -> bytes:
    """Encrypt a secret for the platform: `public_key` is its PEM, the answer as long as the RSA modulus.

    Raises KeysUnusable when the PEM is none of an RSA key, ValueError when the secret is too long for it.
    """
    try:
        key = serialization.load_pem_public_key(public_key)
    except ValueError as cause:
        raise KeysUnusable(f"the public key is not a PEM public key: {cause}") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeysUnusable("the public key is not an RSA key")
    return key.encrypt(secret, _OAEP)


def generate(folder: Path) -> Keys:
    """Make new platform keys in `folder` (700), private files 600.

    Never overwrites: raises KeysUnusable when one is there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (PRIVATE_FILE, KEY_ENCRYPTION_FILE):
        if (folder / name).exists():
            raise KeysUnusable(f"{folder / name} exists: new keys would make every sealed secret unreadable")
    private = rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / KEY_ENCRYPTION_FILE, os.urandom(32).hex().encode() + b"\n", 0o600)
    _write(folder / PRIVATE_FILE, pem, 0o600)
    (folder / PUBLIC_FILE).unlink(missing_ok=True)  # the public half of a private one that is gone
    _write(folder / PUBLIC_FILE, public_pem(private), 0o644)
    return load_folder(folder)


def _write(path: Path, content: bytes, mode: int) -> None:
    # The mode is given at creation: there is no moment at which others could open the file.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask took away from the public one
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load(environment: Mapping[str, str] = os.environ) -> Keys:
    """The platform's keys, from the environment or from the folder it names. Raises KeysUnusable, saying what to do."""
    if PLATFORM_KEY in environment or KEY_ENCRYPTION_KEY in environment:
        for name in (PLATFORM_KEY, KEY_ENCRYPTION_KEY):
            if not environment.get(name):
                raise KeysUnusable(f"{name} is not set: both {PLATFORM_KEY} and {KEY_ENCRYPTION_KEY} are needed")
        pem, sealing = environment[PLATFORM_KEY], environment[KEY_ENCRYPTION_KEY]
        return _keys(pem.encode(), PLATFORM_KEY, sealing.split(","), KEY_ENCRYPTION_KEY)
    if not environment.get(FOLDER):
        raise KeysUnusable(f"no platform keys: set {FOLDER} to a folder made by `meterlog keys generate`")
    return load_folder(Path(environment[FOLDER]))


def load_folder(folder: Path) -> Keys:
    """The platform's keys from a folder that `generate` made. Raises KeysUnusable."""
    private, sealing = folder / PRIVATE_FILE, folder / KEY_ENCRYPTION_FILE
    return _keys(_read(private), str(private), _read(sealing).decode("ascii", "replace").split(), str(sealing))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o037:  # the group may read (orchestrators mount secrets so); others may nothing
                raise KeysUnusable(f"{path} has mode {mode:o}: others may use it; `chmod 600` it")
            return file.read()
    except OSError as cause:
        raise KeysUnusable(
            f"{path} cannot be read ({cause.strerror}); `meterlog keys generate` makes new keys"
        ) from None


def _keys(pem: bytes, pem_from: str, sealing: list[str], sealing_from: str) -> Keys:
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):  # their messages may quote the input
        raise KeysUnusable(f"{pem_from} is not a PEM private key without a password") from None
    if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < 2048:
        raise KeysUnusable(f"{pem_from} is not an RSA key of at least 2048 bits")
    try:
        secrets = [bytes.fromhex(each) for each in sealing]
    except ValueError:
        raise KeysUnusable(f"{sealing_from} is not hex") from None
    if not secrets:
        raise KeysUnusable(f"{sealing_from} holds no key")
    return Keys(private, tuple(KeyEncryptionKey.from_bytes(secret) for secret in secrets))
