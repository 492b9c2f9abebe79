"""Where a meter stands: the household behind it, how many phases it measures, and its gas meters. All that is measured
or has happened follows from this and the time.
"""

from dataclasses import dataclass

from connectors.simulator.curves import Household
from operations._profile import PHASES


@dataclass(frozen=True, slots=True)
class Premises:
    """`phases`: 1 or 3. Channels 1 to `gas_meters` have a gas meter."""

    household: Household
    phases: int
    gas_meters: int

    @property
    def seed(self) -> int:
        return self.household.seed

    def has_gas(self, channel: int) -> bool:
        return channel <= self.gas_meters


def phase_of(tag: str) -> int:
    """0 to 2 for a tag of a phase, such as AVERAGE_VOLTAGE_L2."""
    return PHASES.index(tag[-2:])
