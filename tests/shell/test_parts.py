"""The shell's small parts that need no broker: positions, settings, status, the pinned versions."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import patches, positions
from streams.status import ShellStatus
from tests.shell.toy import settings


@given(st.dictionaries(st.text(max_size=30), st.integers(-1, 2**63 - 1), max_size=8))
def test_positions_round_trip(stood: dict[str, int]) -> None:
    assert positions.decode(positions.encode(stood)) == stood


@given(st.binary(max_size=40))
def test_a_strange_position_is_refused_and_never_guessed(value: bytes) -> None:
    try:
        found = positions.decode(value)
    except ValueError:
        return
    assert positions.decode(positions.encode(found)) == found


def test_positions_golden_bytes() -> None:
    encoded = positions.encode({"b": 2, "a": 1})
    assert encoded.hex() == "01000200016100000000000000010001620000000000000002"
    with pytest.raises(ValueError, match="version 2"):
        positions.decode(b"\x02" + encoded[1:])
    with pytest.raises(ValueError, match="1 bytes after"):
        positions.decode(encoded + b"\x00")


def test_settings_name_the_field_that_is_wrong() -> None:
    good = settings("stem", "localhost:9092")
    assert good.transactional_id(3) == "stem-3"
    fields = {name: getattr(good, name) for name in type(good).__slots__}
    for wrong, match in (
        ({"ticks": "x"}, "ticks"),
        ({"watched": ("x",)}, "watched"),
        ({"table": good.ticks}, "table"),
        ({"partitions": 0}, "partitions"),
    ):
        with pytest.raises(ValueError, match=match):
            type(good)(**{**fields, **wrong})


def test_ready_means_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    status = ShellStatus(patience=30)
    assert status.ready() == (False, "recovering: waiting for an assignment or loading its partitions")
    status.recover({0: {}, 1: {}})
    assert status.ready() == (True, "")
    now += 20
    status.commit(1, {"topic": 5})
    now += 20
    assert status.ready() == (False, "partitions [0] have committed nothing for 30 s")
    status.commit(0, {"topic": 7})
    assert status.ready()[0] and status.positions == {0: {"topic": 7}, 1: {"topic": 5}}
    status.lose()
    assert not status.ready()[0] and status.alive()[0]
    status.failed = "fenced"
    assert status.ready() == status.alive() == (False, "fenced")


def test_the_patches_refuse_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    patches.check_versions()
    monkeypatch.setattr(patches, "version", lambda name: "9.9")
    with pytest.raises(RuntimeError, match=r"faust-streaming: 9\.9 is installed"):
        patches.check_versions()
