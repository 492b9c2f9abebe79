"""Read one attribute of any object, whether the profile knows it or not, and describe the value as text.

Reference operations-reading 4.3, with its advice: ranges are checked here, not by the meter.
"""

from dataclasses import dataclass

from operations import Meter, operation
from operations._data import Data
from operations._describe import describe
from operations._errors import MeterRefused, Rejected
from operations._obis import obis_of
from operations._rules import ASSOCIATION, electricity_meter
from operations._steps import Answer, Attribute, Get, Steps


@dataclass(frozen=True, slots=True)
class Request:
    """`obis_code`: six numbers, `1.0.1.8.0.255` or `1-0:1.8.0.255`. `attribute`: a signed byte, as on the wire."""

    class_id: int
    obis_code: str
    attribute: int

    def __post_init__(self) -> None:
        if not 0 <= self.class_id <= 65_535:
            raise Rejected(f"{self.class_id} is not from 0 to 65535", field="class_id")
        if not -128 <= self.attribute <= 127:
            raise Rejected(f"{self.attribute} is not from -128 to 127", field="attribute")
        obis_of(self.obis_code, "obis_code")


@dataclass(frozen=True, slots=True)
class Result:
    """`value`: type and value of the answer as text (`_describe`)."""

    value: str


@operation(
    "GetSpecificAttributeValue",
    repeatable=True,
    seconds=120,
    frames=ASSOCIATION + 692,  # an object list, or a buffer of 60 kB, comes in blocks
    decide=electricity_meter,
)
def steps(request: Request, meter: Meter) -> Steps[Result]:
    """Raises MeterRefused 412, naming class, OBIS code, attribute and result code, for an answer other than success."""
    attribute = Attribute(request.class_id, obis_of(request.obis_code, "obis_code"), request.attribute)
    try:
        data: Data = yield Get(attribute)
    except MeterRefused as refused:
        raise MeterRefused(
            refused.result,
            refused.result_name,
            f"class {request.class_id}, OBIS code {request.obis_code}, attribute {request.attribute}",
            code=412,
            name="ERROR_RETRIEVING_ATTRIBUTE_VALUE",
        ) from None
    return Answer(Result(describe(data)))
