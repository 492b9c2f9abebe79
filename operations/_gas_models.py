"""Scaler and unit of a gas meter's values by its model code, for callers that know it: operations-reading 2.3.

The model codes travel with a request as five fields with commas between: gateway, channel 1, 2, 3, 4.
"""

from typing import Final

from operations._profile import ScalerUnit
from operations._values import VOLUME

_LITRES: Final = ScalerUnit(-3, VOLUME[0])
_TENS_OF_LITRES: Final = ScalerUnit(-2, VOLUME[0])
_ASK: Final = None  # attribute 3 of the meter says it
_CODES: Final = (  # what a model code contains; the last row that matches wins
    ("G4", _LITRES),
    ("G6", _LITRES),
    ("G10", _TENS_OF_LITRES),
    ("G16", _TENS_OF_LITRES),
    ("G25", _TENS_OF_LITRES),
    ("G4SRT 1.2L", _ASK),
    ("G10-16SRT_SMR55", _ASK),
    ("G25SRT_SMR55", _ASK),
    ("elster-instromet", _ASK),
    ("flonidan-gasmeter", _ASK),
)
_FIELDS: Final = 5


def scaling(device_model_codes: str, channel: int) -> ScalerUnit | None:
    """How the values of the meter on a channel (1 to 4) are scaled; None: nobody knows, the meter has to be asked.

    A text without exactly four commas is no model known.
    """
    codes = device_model_codes.split(",")
    if len(codes) != _FIELDS:
        return None
    found = None
    for part, scaler in _CODES:
        if part in codes[channel]:
            found = scaler
    return found
