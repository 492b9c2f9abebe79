"""Secrets: sealed for the platform, sealed at rest, and opened for nobody else."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.dlms import keys as platform
from connectors.dlms.keys import Keys, KeysUnusable, generate, load, load_folder, seal_for_platform
from operations._errors import Rejected
from schemas.records import KeyKind, SealedKey

DEVICE = "KFM1234567890123"
SECRET = bytes(range(16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("platform") / "keys"
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def keys(folder: Path) -> Keys:
    return load_folder(folder)


def sealed(keys: Keys, kind: KeyKind = KeyKind.ENCRYPTION) -> SealedKey:
    return SealedKey(kind, keys.seal(DEVICE, kind, SECRET))


def refusal(keys: Keys, key: SealedKey, device: str = DEVICE) -> Rejected:
    with pytest.raises(Rejected) as caught:
        keys.open(device, key)
    assert SECRET.hex() not in str(caught.value)
    return caught.value


def test_a_callers_secret_goes_to_rest_and_comes_out_again(keys: Keys) -> None:
    encrypted = seal_for_platform(keys.public_key, SECRET)
    resting = keys.reseal(DEVICE, KeyKind.ENCRYPTION, encrypted)
    assert SECRET not in encrypted + resting
    assert keys.open(DEVICE, SealedKey(KeyKind.ENCRYPTION, resting)) == SECRET


def test_no_two_seals_are_equal(keys: Keys) -> None:
    assert sealed(keys).sealed != sealed(keys).sealed


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_altered_byte_is_refused(keys: Keys, data: st.DataObject) -> None:
    key = sealed(keys)
    at = data.draw(st.integers(0, len(key.sealed) - 1))
    flip = data.draw(st.integers(1, 255))
    altered = key.sealed[:at] + bytes((key.sealed[at] ^ flip,)) + key.sealed[at + 1 :]
    assert refusal(keys, replace(key, sealed=altered)).code == 805


@given(length=st.integers(0, 48))
def test_a_cut_seal_is_refused(keys: Keys, length: int) -> None:
    assert refusal(keys, replace(sealed(keys), sealed=sealed(keys).sealed[:length])).code == 805


def test_a_seal_opens_for_its_device_and_use_only(keys: Keys) -> None:
    key = sealed(keys)
    assert "another device" in refusal(keys, key, "KFM1234567890124").reason
    assert refusal(keys, replace(key, kind=KeyKind.AUTHENTICATION)).field == "authentication_key"


def test_device_and_kind_cannot_run_into_each_other(keys: Keys) -> None:
    moved = SealedKey(KeyKind.MASTER, keys.seal(DEVICE + "x", KeyKind.MASTER, SECRET))
    assert refusal(keys, moved).code == 805


def test_what_was_not_encrypted_for_us_is_804_and_names_the_key(keys: Keys, tmp_path: Path) -> None:
    other = generate(tmp_path / "other")
    for encrypted in (seal_for_platform(other.public_key, SECRET), b"", b"\x00" * 384):
        with pytest.raises(Rejected) as caught:
            keys.reseal(DEVICE, KeyKind.MASTER, encrypted)
        assert (caught.value.code, caught.value.name) == (804, "DECRYPTION_EXCEPTION")
        assert caught.value.field == "master_key"


@pytest.mark.parametrize(
    ("kind", "secret", "fits"),
    [
        (KeyKind.MASTER, bytes(16), True),
        (KeyKind.MASTER, bytes(15), False),
        (KeyKind.MBUS, bytes(32), False),
        (KeyKind.PASSWORD, b"00000000", True),
        (KeyKind.PASSWORD, b"", False),
        (KeyKind.PASSWORD, bytes(65), False),
    ],
)
def test_a_secret_of_the_wrong_length_is_802(keys: Keys, kind: KeyKind, secret: bytes, fits: bool) -> None:
    encrypted = seal_for_platform(keys.public_key, secret)
    if fits:
        assert keys.open(DEVICE, SealedKey(kind, keys.reseal(DEVICE, kind, encrypted))) == secret
        return
    with pytest.raises(Rejected) as caught:
        keys.reseal(DEVICE, kind, encrypted)
    assert (caught.value.code, caught.value.name) == (802, "INVALID_DLMS_KEY_FORMAT")


def test_the_key_encryption_key_can_be_changed(folder: Path, tmp_path: Path) -> None:
    old = load_folder(folder)
    key = sealed(old)
    pem = (folder / platform.PRIVATE_FILE).read_text()
    resting = (folder / platform.KEY_ENCRYPTION_FILE).read_text().strip()
    fresh = os.urandom(32).hex()
    both = load({platform.PLATFORM_KEY: pem, platform.KEY_ENCRYPTION_KEY: f"{fresh},{resting}"})
    assert both.open(DEVICE, key) == SECRET
    assert "does not have" in refusal(old, sealed(both)).reason


def test_nothing_shows_a_secret(folder: Path) -> None:
    keys = load_folder(folder)
    resting = (folder / platform.KEY_ENCRYPTION_FILE).read_text().strip()
    assert resting not in repr(keys)
    assert "RSAPrivateKey" not in repr(keys) and "AESGCM" not in repr(keys)


def test_files_are_for_the_owner_only_and_never_overwritten(folder: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {
        platform.PRIVATE_FILE: 0o600,
        platform.KEY_ENCRYPTION_FILE: 0o600,
        platform.PUBLIC_FILE: 0o644,
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = (folder / platform.PRIVATE_FILE).read_bytes()
    with pytest.raises(KeysUnusable, match="exists"):
        generate(folder)
    assert (folder / platform.PRIVATE_FILE).read_bytes() == before
    assert (folder / platform.PUBLIC_FILE).read_bytes() == load_folder(folder).public_key


def test_a_file_others_may_read_is_refused(tmp_path: Path) -> None:
    generate(tmp_path / "keys")
    (tmp_path / "keys" / platform.PRIVATE_FILE).chmod(0o644)
    with pytest.raises(KeysUnusable, match="mode 644"):
        load_folder(tmp_path / "keys")


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "METERLOG_KEYS"),
        ({"METERLOG_KEYS": "no-such-folder"}, "keys generate"),
        ({platform.PLATFORM_KEY: "x"}, platform.KEY_ENCRYPTION_KEY),
        ({platform.PLATFORM_KEY: "x", platform.KEY_ENCRYPTION_KEY: "00"}, "not a PEM private key"),
    ],
)
def test_missing_or_damaged_keys_say_what_to_do(environment: dict[str, str], says: str) -> None:
    with pytest.raises(KeysUnusable, match=says):
        load(environment)


def test_damaged_key_encryption_keys_are_not_quoted(folder: Path) -> None:
    pem = (folder / platform.PRIVATE_FILE).read_text()
    for text in ("00112233", "not-hex-but-secret", ","):
        with pytest.raises(KeysUnusable) as caught:
            load({platform.PLATFORM_KEY: pem, platform.KEY_ENCRYPTION_KEY: text})
        assert "secret" not in str(caught.value)


def test_only_an_rsa_public_key_is_taken() -> None:
    with pytest.raises(KeysUnusable, match="PEM"):
        seal_for_platform(b"no key", SECRET)
