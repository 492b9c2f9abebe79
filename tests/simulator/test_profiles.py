"""An independent client reads whole meters: gurux-dlms takes the object list of each of the seven profiles from the
simulator, then every attribute that may be read, and parses it into objects of its own.
"""

from collections.abc import Callable
from contextlib import closing

import pytest

from connectors.simulator.fleet import Fleet
from operations._profile import Access, CosemObject, profiles
from tests.simulator.test_fleet import Gurux, run

__all__ = ["run"]  # the fixture
NOT_IN_GURUX = (60, 77)  # message handler and M-Bus diagnostic: gurux-dlms has no class for them
OBJECT_LIST, BUFFER = (15, 2), (7, 2)  # read apart: the list at the beginning, buffers by the ranges of other tests


def is_read(found: CosemObject, index: int) -> bool:
    """Version 0 of the M-Bus client lists attributes 13 and 14, which the standard adds in version 1 (meter-model
    23)."""
    beyond = found.class_id == 72 and found.version == 0 and index > 12
    readable = Access.READ in found.attributes[index].management
    return readable and not beyond and (found.class_id, index) not in (OBJECT_LIST, BUFFER)


@pytest.mark.parametrize("version", list(profiles()), ids="-".join)
def test_an_independent_client_reads_every_attribute(run: Callable[..., Fleet], version: tuple[str, str]) -> None:
    fleet = run(profiles=[version], meters=1, gas_meters=2)
    there = {each.obis: each for each in fleet.meters[0].model.objects.values()}
    gurux = Gurux(fleet, 1)
    with closing(gurux.socket):
        gurux.open()
        listed = gurux.client.parseObjects(gurux.exchange(gurux.client.getObjectsRequest()).data, False)
        named = {bytes(map(int, item.logicalName.split("."))): item for item in listed}
        assert named.keys() == there.keys()
        for obis, found in there.items():
            item = named[obis]
            assert int(item.objectType) == found.class_id
            if found.class_id in NOT_IN_GURUX:
                continue
            assert item.version == found.version, found.tag
            for index in found.attributes:
                if is_read(found, index):
                    reply = gurux.exchange(gurux.client.read(item, index))
                    assert reply.error == 0, (found.tag, index)
                    gurux.client.updateValue(item, index, reply.value)
        gurux.exchange(gurux.client.releaseRequest())
