"""Which attributes and methods a frame log may show the values of: those that are known to carry no secret.

All others are hidden, also those nobody has heard of: keys and passwords travel in objects of manufacturers as well.
Clauses are those of the meter model (`operations/profiles/_classes.toml` cites them too).
"""

from functools import cache
from typing import Final

from operations._profile import profiles

_DATA: Final = 1
_ALL: Final = frozenset(range(1, 20))
_NAME: Final = frozenset({1})  # the logical name of any object

_ATTRIBUTES: Final[dict[int, frozenset[int]]] = {
    3: _ALL,  # register
    4: _ALL,  # extended register
    5: _ALL,  # demand register
    7: _ALL,  # profile generic
    8: _ALL,  # clock
    9: _ALL,  # script table
    11: _ALL,  # special days table
    15: frozenset({1, 2, 3, 4, 5, 6, 8, 9}),  # association LN; 7 is the secret, 10 and 11 name users
    17: _ALL,  # SAP assignment
    18: frozenset(range(1, 8)),  # image transfer: its state, never an image
    20: _ALL,  # activity calendar
    21: _ALL,  # register monitor
    22: _ALL,  # single action schedule
    28: _ALL,  # auto answer
    29: frozenset({1, 2, 3, 4, 5}),  # auto connect; 6 is who is called
    40: frozenset(range(1, 8)),  # push setup; later versions have protection parameters above
    41: _ALL,  # TCP-UDP setup
    42: _ALL,  # IPv4 setup
    47: _ALL,  # GSM diagnostic
    64: frozenset({1, 2, 3, 4, 5}),  # security setup: policy, suite, system titles
    70: _ALL,  # disconnect control
    71: _ALL,  # limiter
    72: frozenset(range(1, 15)),  # M-Bus client: addresses and states; keys are methods there
    77: _ALL,  # diagnostic of a radio link
    151: _ALL,  # LTE monitoring
}
_METHODS: Final[dict[int, frozenset[int]]] = {
    3: frozenset({1}),
    4: frozenset({1}),
    5: frozenset({1, 2}),
    7: frozenset({1, 2}),
    8: frozenset(range(1, 7)),
    9: frozenset({1}),
    18: frozenset({1, 3, 4}),  # initiate, verify, activate; 2 carries a block of the image
    20: frozenset({1}),
    40: frozenset({1}),
    64: frozenset({1}),  # security_activate; 2 and above carry keys and certificates
    70: frozenset({1, 2}),
    72: frozenset({1, 2, 3, 4, 5}),  # 6 is data for the M-Bus meter, 7 and 8 are its keys
}


def attribute_shown(class_id: int, instance_id: bytes, index: int) -> bool:
    """Whether the value of an attribute may be shown, read or written."""
    if class_id == _DATA:
        return index in _NAME or instance_id in _known_data()
    return index in _ATTRIBUTES.get(class_id, _NAME)


def method_shown(class_id: int, index: int) -> bool:
    """Whether the parameter and the answer of a method may be shown."""
    return index in _METHODS.get(class_id, ())


@cache
def _known_data() -> frozenset[bytes]:
    """A Data object may hold anything; those of the profiles are known, and none of them holds a secret."""
    found = (each for profile in profiles().values() for each in profile.objects.values())
    return frozenset(each.obis for each in found if each.class_id == _DATA)
