"""What Avro calls the records and enums that Python declares."""

from schemas import records


def full_name(cls: type) -> str:
    """Avro name of a dataclass or enum: that of its module, so two operations may both have a `Row`."""
    if cls.__module__ == records.__name__:
        return f"meterlog.{cls.__name__}"
    module = ".".join(part.lstrip("_") for part in cls.__module__.split("."))
    return f"meterlog.{module}.{cls.__name__}"
