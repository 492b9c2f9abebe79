"""What a captured value is called: the names that results and read records give the columns of a profile.

The tag of the object in the meter's profile, in small letters (average_voltage_l1); of another attribute than the value
its name as well (mbus_client_1_status), and of an element of a structure the element's. An object that no profile
names goes by its place: 3/1-0:99.9.9.255/2.
"""

from collections.abc import Mapping
from typing import Final

from operations._profile import Profile
from operations._steps import Attribute

_VALUE: Final = 2
GSM_DIAGNOSTIC: Final = 47
ELEMENTS: Final[Mapping[tuple[int, int], tuple[str, ...]]] = {  # class and attribute: by data index, from 1
    (GSM_DIAGNOSTIC, 6): (  # meter-model 20
        "cell_id", "location_id", "signal_quality", "bit_error_rate", "mobile_country_code", "mobile_network_code",
        "channel_number",
    ),
}  # fmt: skip


def quantity(profile: Profile, class_id: int, obis: bytes, attribute: int, data_index: int) -> str:
    """The name of one capture object."""
    known = profile.find(class_id, obis)
    if known is None or attribute not in known.attributes:
        place = str(Attribute(class_id, obis, attribute))
        return f"{place}/{data_index}" if data_index else place
    name = known.tag.lower()
    elements = ELEMENTS.get((class_id, attribute), ())
    if 0 < data_index <= len(elements):
        return f"{name}_{elements[data_index - 1]}"
    if attribute != _VALUE:
        name = f"{name}_{known.attributes[attribute].name.lower()}"
    return f"{name}_{data_index}" if data_index else name
