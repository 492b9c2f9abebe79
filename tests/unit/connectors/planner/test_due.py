"""What a plan asks of a device: nothing twice without need, all that is missing in the end, dead meters seldom."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.planner.calendar import Unit
from connectors.planner.due import (
    AT_ONCE,
    MARGIN,
    ROUNDS,
    Known,
    Outcome,
    Target,
    correlation_id,
    decide,
    depth,
)
from connectors.planner.plan import Plan, Read, plan_of, read_plan
from operations import build_request
from operations._profile import profile
from schemas.records import Status
from tests.unit.connectors.planner.test_calendar import AMSTERDAM, at
from tests.unit.connectors.planner.world import DAY, HOUR, MINUTE, SMR, Simulated, plan

NOON = at("2026-11-20T12:00")
NIGHT = at("2026-11-21T05:00")
TARGET = Target("TEST1024000000001", 0, SMR)
NOTHING = Known({}, {})


def first_ask(found: Plan, now: int = NIGHT) -> str:
    (ask,) = decide(found, TARGET, NOTHING, {}, now).asks
    return ask.correlation_id


class TestOneNight:
    """A plan that looks back a day."""

    plan = plan(days=0)

    def test_yesterday_is_asked_at_the_devices_place_in_the_window_and_not_before(self) -> None:
        before = decide(self.plan, TARGET, NOTHING, {}, at("2026-11-21T00:30"))
        assert before.asks == () and at("2026-11-21T01:00") <= before.look_at < at("2026-11-21T05:00")
        assert decide(self.plan, TARGET, NOTHING, {}, before.look_at - 1).asks == ()
        (ask,) = decide(self.plan, TARGET, NOTHING, {}, before.look_at).asks
        assert (ask.device_id, ask.operation) == (TARGET.device_id, "GetPeriodicMeterReads")
        built = build_request(ask.operation, ask.request)
        assert built.begin_date.timestamp() * 1000 == at("2026-11-20T00:00")
        assert built.end_date.timestamp() * 1000 == at("2026-11-21T00:00")
        assert ask.expires_at >= at("2026-11-21T05:00"), "a night's commands do not outlive it, nor begin too late"

    def test_what_is_stored_is_not_asked(self) -> None:
        whole = Known({("INTERVAL", at("2026-11-20T00:00")): 96}, {})
        assert decide(self.plan, TARGET, whole, {}, NIGHT).asks == ()
        short = Known({("INTERVAL", at("2026-11-20T00:00")): 95}, {})
        assert len(decide(self.plan, TARGET, short, {}, NIGHT).asks) == 1

    @pytest.mark.parametrize(
        ("night", "day", "rows"), [("2026-03-30", "2026-03-29", 92), ("2026-10-26", "2026-10-25", 100)]
    )
    def test_the_days_of_daylight_saving_have_the_rows_they_have(self, night: str, day: str, rows: int) -> None:
        start = at(f"{day}T00:00")
        for stored, asks in ((rows - 1, 1), (rows, 0)):
            known = Known({("INTERVAL", start): stored}, {})
            assert len(decide(self.plan, TARGET, known, {}, at(f"{night}T05:00")).asks) == asks

    def test_what_is_in_work_is_not_asked_again(self) -> None:
        name = first_ask(self.plan)
        expiry = NIGHT + HOUR
        decision = decide(self.plan, TARGET, NOTHING, {name: expiry}, NIGHT + 1)
        assert decision.asks == () and decision.look_at <= expiry + MARGIN
        assert first_ask(self.plan, expiry + MARGIN) == name, "the same name when nobody knows what became of it"

    @pytest.mark.parametrize("status", [Status.REJECTED, Status.CANCELLED])
    def test_what_was_refused_or_is_not_wanted_is_not_asked_again(self, status: Status) -> None:
        known = Known({}, {first_ask(self.plan): Outcome(status, NIGHT)})
        assert decide(self.plan, TARGET, known, {}, NIGHT + 12 * HOUR).asks == ()

    def test_what_an_answer_left_out_is_asked_once_more_the_next_night(self) -> None:
        """Its rows may have been on their way to the store; or the meter has no more of them."""
        found = plan(days=5)
        name = correlation_id("nightly", TARGET.device_id, found.reads[0].name, at("2026-11-20T00:00"), 0)
        whole = {("INTERVAL", at(f"2026-11-{day}T00:00")): 96 for day in range(10, 26)}
        rows = whole | {("INTERVAL", at("2026-11-20T00:00")): 90}
        outcomes = {name: Outcome(Status.SUCCESSFUL, NIGHT)}
        assert decide(found, TARGET, Known(rows, outcomes), {}, NIGHT + 12 * HOUR).asks == ()
        (again,) = decide(found, TARGET, Known(rows, outcomes), {}, NIGHT + DAY).asks
        assert again.correlation_id != name
        outcomes[again.correlation_id] = Outcome(Status.SUCCESSFUL, NIGHT + DAY)
        assert decide(found, TARGET, Known(rows, outcomes), {}, NIGHT + 2 * DAY).asks == ()

    def test_a_device_or_plan_that_came_later_waits_for_its_place(self) -> None:
        later = replace(TARGET, registered_at=NIGHT)
        assert decide(self.plan, later, NOTHING, {}, NIGHT + HOUR).asks == ()
        assert decide(plan(days=0, since=NIGHT), TARGET, NOTHING, {}, NIGHT + HOUR).asks == ()

    def test_a_device_without_such_a_profile_is_left_alone(self) -> None:
        assert decide(self.plan, replace(TARGET, profile=None), NOTHING, {}, NIGHT).asks == ()


class TestThoseThatDoNotAnswer:
    plan = plan(days=5)

    def test_only_the_newest_is_asked_until_the_meter_is_back_and_then_all(self) -> None:
        silent = Known({}, {}, answered_at=NIGHT - 2 * DAY, unreached_at=NIGHT - DAY)
        (probe,) = decide(self.plan, TARGET, silent, {}, NIGHT).asks
        assert probe.request["begin_date"].timestamp() * 1000 == at("2026-11-20T00:00")
        back = replace(silent, answered_at=NIGHT)
        assert len(decide(self.plan, TARGET, back, {}, NIGHT).asks) == 6

    @pytest.mark.parametrize(("rounds", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16)])
    def test_the_pause_doubles_up_to_a_day(self, rounds: int, hours: int) -> None:
        """Whatever it was asked: a new day is no reason to begin anew."""
        for read_before in (0, rounds):
            read, start = self.plan.reads[0], at("2026-11-20T00:00")
            names = [correlation_id("nightly", TARGET.device_id, read.name, start, n) for n in range(read_before)]
            outcomes = {name: Outcome(Status.ERROR, NIGHT, unreached=True) for name in names}
            known = Known({}, outcomes, answered_at=NIGHT - HOUR, unreached_at=NIGHT, failures=rounds)
            due = NIGHT + hours * HOUR
            assert decide(self.plan, TARGET, known, {}, due - 1).asks == ()
            assert len(decide(self.plan, TARGET, known, {}, due).asks) == 1

    def test_once_the_meter_was_heard_it_is_asked_at_once(self) -> None:
        found = plan(days=0)
        known = Known({}, {first_ask(found): Outcome(Status.ERROR, NIGHT, unreached=True)}, None, NIGHT)
        assert decide(found, TARGET, known, {}, NIGHT + MINUTE).asks == ()
        assert len(decide(found, TARGET, replace(known, answered_at=NIGHT + 1), {}, NIGHT + MINUTE).asks) == 1

    def test_not_outside_of_the_window_when_the_plan_says_so(self) -> None:
        found = plan(days=0, outside=False)
        failed = Outcome(Status.ERROR, NIGHT - HOUR, unreached=True)
        known = Known({}, {first_ask(found, NIGHT - 1): failed}, NIGHT - HOUR + 1, NIGHT - HOUR)
        inside = decide(found, TARGET, known, {}, NIGHT - 1)
        outside = decide(found, TARGET, known, {}, NIGHT + HOUR)
        assert len(inside.asks) == 1 and outside.asks == ()
        assert at("2026-11-22T01:00") <= outside.look_at < at("2026-11-22T05:00")

    @pytest.mark.parametrize(("dead_for", "failures", "most"), [(2, 1, 5), (10, 9, 2), (60, 32, 1)])
    def test_a_dead_meter_is_not_asked_over_and_over(self, dead_for: int, failures: int, most: int) -> None:
        """By day: a few times while there is hope, then once a day, then once a week."""
        world = Simulated(plan("INTERVAL", "DAILY"), reachable=lambda now: False)
        world.answered_at, world.unreached_at, world.failures = NOON - dead_for * DAY, NOON - DAY, failures
        world.run(NOON, NOON + 14 * DAY)
        by_day = [(moment - NOON) // DAY for moment, _ in world.asked]
        assert max(map(by_day.count, by_day)) <= most
        assert len(by_day) <= 3 if dead_for > 30 else len(by_day) <= 14 + 8

    def test_a_meter_that_says_no_is_not_asked_for_ever(self) -> None:
        world = Simulated(plan(days=0))
        for _ in range(5):
            asks = world.decide(NIGHT + 12 * HOUR).asks
            world.outcomes |= {ask.correlation_id: Outcome(Status.ERROR, NIGHT) for ask in asks}
            world.answered_at = NIGHT
        assert len(world.outcomes) == 3


def test_what_lies_behind_the_buffer_is_not_asked() -> None:
    """960 quarter-hours, 40 days, 13 months (meter-model 10)."""
    found = plan("INTERVAL", "DAILY", "MONTHLY", days=400)
    assert [depth(read, TARGET) // DAY for read in found.reads] == [10, 40, 13 * 31]
    world = Simulated(found).run(NIGHT, NIGHT + HOUR)
    oldest = {kind: min(period.start for period in world.asked_of(kind)) for kind in ("INTERVAL", "DAILY", "MONTHLY")}
    assert oldest["INTERVAL"] == at("2026-11-11T00:00") and oldest["DAILY"] == at("2026-10-12T00:00")
    assert oldest["MONTHLY"] == at("2025-10-01T00:00")


GAS_METER = Target("TEST1024000000002", 0, SMR, "SMART_METER_G", TARGET.device_id, 2)
MIXED = """
name = "mixed"
zone = "Europe/Amsterdam"
window = { from = "01:00", to = "05:00" }
catch_up = { days = 0 }
reads = [
    { operation = "GetPeriodicMeterReads", profile = "INTERVAL" },
    { operation = "GetPeriodicMeterReadsGas", profile = "INTERVAL" },
    { operation = "GetActualMeterReads" },
    { operation = "GetActualMeterReadsGas" },
]
"""


class TestGas:
    plan = plan_of(read_plan(MIXED))

    def test_each_kind_of_meter_is_asked_what_it_can_answer(self) -> None:
        """Electricity meters and the M-Bus meters behind them are of one group: none is asked to be refused."""
        electricity = decide(self.plan, TARGET, NOTHING, {}, NIGHT).asks
        assert {ask.operation for ask in electricity} == {"GetPeriodicMeterReads", "GetActualMeterReads"}
        gas = decide(self.plan, GAS_METER, NOTHING, {}, NIGHT).asks
        assert {ask.operation for ask in gas} == {"GetPeriodicMeterReadsGas", "GetActualMeterReadsGas"}
        for ask in gas:
            assert ask.device_id == GAS_METER.device_id
            build_request(ask.operation, ask.request)

    @pytest.mark.parametrize(
        ("night", "day", "hours"),
        [("2026-11-21", "2026-11-20", 24), ("2026-03-30", "2026-03-29", 23), ("2026-10-26", "2026-10-25", 25)],
    )
    def test_a_day_of_gas_has_its_hours(self, night: str, day: str, hours: int) -> None:
        for stored, asks in ((hours - 1, 1), (hours, 0)):
            known = Known({("INTERVAL", at(f"{day}T00:00")): stored}, {})
            found = decide(self.plan, GAS_METER, known, {}, at(f"{night}T05:00")).asks
            assert [ask.operation for ask in found].count("GetPeriodicMeterReadsGas") == asks

    def test_one_that_hangs_on_nothing_is_not_asked(self) -> None:
        """It would be refused: 401 (operations-reading 6.2)."""
        for lost in (replace(GAS_METER, channel=None), replace(GAS_METER, gateway_id=None)):
            assert decide(self.plan, lost, NOTHING, {}, NIGHT).asks == ()

    @pytest.mark.parametrize("version", [("DSMR", "2.2"), ("DSMR", "4.2.2"), ("SMR", "5.0.0"), ("SMR", "5.5")])
    def test_its_buffers_are_the_gateways(self, version: tuple[str, str]) -> None:
        """240 hours, 40 days, 13 months; of older gateways days and months are in the combined profiles."""
        meter = replace(GAS_METER, profile=profile(*version))
        reads = [
            Read(kind, "GetPeriodicMeterReadsGas", {}, unit, kind, 400)
            for kind, unit in (("INTERVAL", Unit.DAY), ("DAILY", Unit.DAY), ("MONTHLY", Unit.MONTH))
        ]
        assert [depth(read, meter) // DAY for read in reads] == [10, 40, 13 * 31]
        assert [depth(read, replace(meter, profile=None)) for read in reads] == [0, 0, 0]


def test_how_things_stand_is_asked_once_a_day() -> None:
    registers = Read("registers", "GetActualMeterReads", {}, Unit.DAY, None, 10)
    found = replace(plan(), reads=(registers,))
    (ask,) = decide(found, TARGET, NOTHING, {}, NIGHT).asks
    assert ask.request == {}
    told = Known({}, {ask.correlation_id: Outcome(Status.SUCCESSFUL, NIGHT)}, NIGHT)
    assert decide(found, TARGET, told, {}, NIGHT + 12 * HOUR).asks == ()
    assert len(decide(found, TARGET, told, {}, NIGHT + DAY).asks) == 1


def test_no_more_than_a_few_at_once() -> None:
    found = plan("INTERVAL", "DAILY", "MONTHLY", days=400)
    asks = decide(found, TARGET, NOTHING, {}, NIGHT).asks
    assert len(asks) == AT_ONCE
    waiting = {ask.correlation_id: NIGHT + HOUR for ask in asks}
    assert decide(found, TARGET, NOTHING, waiting, NIGHT + 1).asks == ()


def test_names_differ_in_everything_they_are_made_of() -> None:
    names = {
        correlation_id(*parts)
        for parts in [("a", "d", "r", 1, 0), ("b", "d", "r", 1, 0), ("a", "e", "r", 1, 0), ("a", "d", "s", 1, 0),
                      ("a", "d", "r", 2, 0), ("a", "d", "r", 1, 1), ("a\nd", "", "r", 1, 0)]
    }  # fmt: skip
    assert len(names) == 7


BEGIN = at("2026-10-20T12:00")  # the night of 25 hours is ahead
days = st.integers(0, 12)
outages = st.lists(st.tuples(st.integers(0, 12 * 24), st.integers(1, 60)), max_size=3)


def reach(outage: list[tuple[int, int]]) -> object:
    return lambda now: not any(BEGIN + begin * HOUR <= now < BEGIN + (begin + hours) * HOUR for begin, hours in outage)


@settings(max_examples=25, deadline=None)
@given(outages, st.booleans(), st.integers(0, 12 * 24), st.sampled_from([("INTERVAL",), ("INTERVAL", "DAILY")]))
def test_all_that_is_missing_comes_in_the_end_and_nothing_is_asked_twice_without_need(
    outage: list[tuple[int, int]], outside: bool, restart: int, kinds: tuple[str, ...]
) -> None:
    world = Simulated(plan(*kinds, outside=outside), reachable=reach(outage))  # type: ignore[arg-type]
    end = BEGIN + 18 * DAY
    world.run(BEGIN, end, restart_at=BEGIN + restart * HOUR)
    last = {kind: [p for k, p in world.missing(end) if k == kind and p.start < end - 2 * DAY] for kind in kinds}
    reach_back = end - 9 * DAY  # what the buffer had lost before the meter answered again for good
    assert all(period.end <= reach_back for periods in last.values() for period in periods)
    answered: set[tuple[str, int]] = set()
    for moment, ask in world.asked:
        period = world.period_of(ask)
        key = (str(ask.request["period_type"]), period.start)
        outcome = world.outcomes.get(ask.correlation_id)
        assert key not in answered or period.start < moment - 9 * DAY, "asked although it was answered whole"
        if outcome is not None and outcome.status is Status.SUCCESSFUL:
            answered.add(key)
    names = [ask.correlation_id for _, ask in world.asked]
    assert len(names) == len(set(names))
    assert max((len([n for n in names if n == name]) for name in names), default=0) <= ROUNDS


@settings(max_examples=25, deadline=None)
@given(outages, st.integers(0, 6 * 24), st.integers(1, 10 * MINUTE))
def test_two_processes_never_ask_under_two_names(outage: list[tuple[int, int]], hours: int, apart: int) -> None:
    """Each decides from the same store, a moment apart, knowing nothing of the other's commands."""
    world = Simulated(plan("INTERVAL"), reachable=reach(outage))  # type: ignore[arg-type]
    world.run(BEGIN, BEGIN + hours * HOUR)
    now = BEGIN + hours * HOUR
    one = {ask.correlation_id: ask.request for ask in decide(world.plan, world.target, world.known, {}, now).asks}
    two = {
        ask.correlation_id: ask.request for ask in decide(world.plan, world.target, world.known, {}, now + apart).asks
    }
    periods_one = {str(request): name for name, request in one.items()}
    for name, request in two.items():
        assert periods_one.get(str(request), name) == name


@given(st.integers(0, 400 * 24))
@settings(max_examples=50, deadline=None)
def test_it_always_looks_again(hours: int) -> None:
    now = at("2026-01-01T00:00") + hours * HOUR
    decision = decide(plan(), TARGET, NOTHING, {}, now)
    assert now < decision.look_at <= now + 2 * DAY
    assert AMSTERDAM.key == "Europe/Amsterdam"
