"""The data dictionary: nothing is left unexplained, and nothing is explained that is not there."""

from typing import Any

import pytest

from infra.dictionary import Column, Table, Unexplained, written

ROWS = Table("reads", False, {}, (Column("device_id", "String", ""), Column("value", "Decimal(18, 6)", "as it stood")))
VIEW = Table("curve", True, {"day": "Date", "zone": "String"}, (Column("value", "Float64", ""),))
SAID: dict[str, Any] = {
    "columns": {"device_id": "of the device"},
    "tables": {
        "reads": {"row": "device", "about": "what was read", "source": "topic reads"},
        "curve": {"row": "hour", "about": "all of it", "of": ["reads"]},
    },
}


def said(table: str, **columns: Any) -> dict[str, Any]:
    tables = {name: dict(about) for name, about in SAID["tables"].items()}
    tables[table]["columns"] = columns
    return SAID | {"tables": tables}


def test_a_meaning_comes_from_where_it_was_said_first() -> None:
    plain = written([ROWS, VIEW], SAID)
    assert "### `curve(day, zone)`" in plain and "From `reads`." in plain and "Source: topic reads." in plain
    assert "| device_id | String |  | of the device |" in plain, "by the name alone"
    assert "| value | Float64 |  | as it stood |" in plain, "by the comment on the column of the view's table"
    own = written([ROWS, VIEW], said("curve", value={"unit": "kW", "meaning": "a | b"}))
    assert "| value | Float64 | kW | a \\| b |" in own and "| value | Decimal(18, 6) |  | as it stood |" in own
    table = written([ROWS, VIEW], said("reads", value={"unit": "Wh", "meaning": "in all"}))
    assert "| value | Float64 | Wh | in all |" in table, "by what is said of the view's table"


@pytest.mark.parametrize(
    ("found", "words", "named"),
    [
        ([ROWS, VIEW, Table("more", False, {}, ())], SAID, "more: is in no dictionary"),
        ([ROWS], SAID, "curve: is not there"),
        ([ROWS, VIEW], said("reads", gone="what it was"), "reads.gone: "),
        ([ROWS, VIEW], SAID | {"columns": {}}, "reads.device_id: nobody says"),
    ],
)
def test_what_is_unexplained_is_named(found: list[Table], words: dict[str, Any], named: str) -> None:
    with pytest.raises(Unexplained, match=f"^{named}"):
        written(found, words)
