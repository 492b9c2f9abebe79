"""Which values of the right type a meter can work with (meter-model 6, 9.2, 10.4)."""

from typing import Final

from connectors.dlms.cosem.axdr import Data, Tag
from connectors.simulator.model import Model
from operations._profile import Column, CosemObject

PROFILE_GENERIC: Final = 7
CAPTURE_OBJECTS, CAPTURE_PERIOD, PROFILE_ENTRIES = 3, 4, 8
EMPTYING: Final = frozenset({CAPTURE_OBJECTS, CAPTURE_PERIOD, PROFILE_ENTRIES})
SCALERS: Final = range(-3, 4)
DAY: Final = 86_400
_COLUMN_TYPES: Final = (Tag.LONG_UNSIGNED, Tag.OCTET_STRING, Tag.INTEGER, Tag.LONG_UNSIGNED)


def is_in_range(shared: Model, found: CosemObject, index: int, value: Data) -> bool:
    """Whether a value of the right type is one the meter can work with; if not it answers 250, other-reason."""
    match found.class_id, index:
        case 7, 3:
            return columns(shared, value) is not None
        case 7, 4:
            return bool(value.value == 0 or (value.value % 60 == 0 and DAY % value.value == 0))
        case 7, 8:
            return bool(0 < value.value <= found.entries)
        case ((3 | 4), 3):
            scaler, unit = value.value
            shipped = found.attributes[3].value
            same = shipped is not None and unit == shipped.value[1]
            return scaler.tag == Tag.INTEGER and scaler.value in SCALERS and same
    return True


def columns(shared: Model, value: Data) -> tuple[Column, ...] | None:
    """Capture objects as a client writes them; None when one of them names nothing this meter has."""
    found = []
    for each in value.value:
        if each.tag != Tag.STRUCTURE or tuple(part.tag for part in each.value) != _COLUMN_TYPES:
            return None
        class_id, obis, attribute, data_index = (part.value for part in each.value)
        source = shared.objects.get(obis)
        if source is None or source.class_id != class_id or attribute not in source.attributes:
            return None
        found.append(Column(source.tag, class_id, obis, attribute, data_index))
    return tuple(found) or None
