"""The simulated health system at work: a stream of messages, pure and deterministic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from random import Random

from agents.topics import position_key
from app.domain.records import LocationKind, ReplenishmentTrigger, TriggerStatus
from app.simulate.erp import Erp
from app.simulate.messages import Nature, Published, message
from app.simulate.noise import Noise
from app.simulate.plan import HOUR_MS, MINUTE_MS, Mix, Plan
from app.simulate.shelves import Shelf, Shelves
from app.simulate.stage import Stage
from app.simulate.wards import Amount, Cause, Wards
from app.simulate.warehouse import StockKeepers
from app.simulate.world import MasterRecord, Stocked, World

FEWEST_SHELVES = 8
EVENTS_PER_VISIT = 100  # at least
EVENTS_PER_SHELF = 12  # at least, so that short runs do not end with the opening counts
MOST_AT_ONCE = 12  # messages that one happening may plan
OPENED_BY_ORDER_SHARE = 0.15
ANSWERED_BY_TRANSFER_SHARE = 0.08
AMPLE = 1_000_000  # base units on each shelf of a load run
USES_BEFORE_MASTER = 3

Happening = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Held:
    """A master record that is published late, at ``due`` (ms)."""

    due: int
    master: MasterRecord


class Flow:
    """All messages of a run, in the order of publishing.

    Iterate it for the messages on input topics and the late master data; ``master()`` gives what comes before.
    The same world, plan and reactions give the same messages.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        rng = Random(f"flow/{plan.seed}")
        self._world = world
        self._plan = plan
        self._visited = _visits(rng, world, plan.events // EVENTS_PER_VISIT if plan.mix is Mix.ALL else 0)
        shelves = Shelves(rng, _in_use(rng, world, plan), self._visited.values())
        self._stage = Stage(plan.run, rng, shelves, plan.shares.late, plan.events)
        self._erp = Erp(self._stage)
        self._keepers = StockKeepers(self._stage)
        self._wards = Wards(self._stage, self._erp, world)
        self._noise = Noise(self._stage, plan.shares)
        self._happenings, self._weights = self._mix()
        self._late = self._plan_visits()
        self._open()

    @property
    def remaining(self) -> int:
        """Messages that the run may still publish on input topics."""
        return self._plan.events - self._stage.published

    @property
    def room(self) -> int:
        """Those of them that nothing is decided for yet."""
        return self._stage.room

    def master(self) -> list[Published]:
        """The master data that are there before the first event."""
        held = {each.master.name for each in self._late}
        return [_as_message(each, self._plan.start) for each in self._world.master() if each.name not in held]

    def late_master(self) -> list[Published]:
        """The master data that are still held back; nothing holds them any more."""
        held, self._late = self._late, []
        return [_as_message(each.master, self._now()) for each in held]

    def react(self, trigger: ReplenishmentTrigger) -> bool:
        """Answer a trigger, with an order or out of the warehouse; False where the run has no room left for it."""
        now = self._now()
        if self._stage.rng.random() < ANSWERED_BY_TRANSFER_SHARE and self._from_warehouse(trigger, now):
            return True
        return self._erp.answer(trigger, now)

    def __iter__(self) -> Iterator[Published]:
        return self

    def __next__(self) -> Published:
        now = self._now()
        if self._late and (self._late[-1].due <= now or not self.remaining):
            return _as_message(self._late.pop().master, now)
        if not self.remaining:
            raise StopIteration
        return self._next_input(now)

    # --- one message ---

    def _now(self) -> int:
        return self._plan.time_at(self._stage.published)

    def _next_input(self, now: int) -> Published:
        if self._stage.room > 0 and (extra := self._noise.extra(now)):
            self._stage.published += 1
            return extra
        while True:
            event = self._take_due(now)
            if event is not None:
                self._noise.remember(event)
                return self._noise.misplace(event)

    def _take_due(self, now: int) -> Published | None:
        """The next event: what is due, or once no room is left, what is still to come; None where there is none yet."""
        stage = self._stage
        if not stage.agenda.is_due(now) and stage.room > 0:
            self._happen(now)
            return None
        make = stage.agenda.take()
        stage.published += 1
        event = make(now)
        if event is None or self._hold_back(event, now):
            stage.published -= 1
            return None
        return event

    def _hold_back(self, event: Published, now: int) -> bool:
        """Let others overtake a message once; it keeps its recorded time."""
        if event.timestamp < now or self._stage.room <= 0:
            return False
        delay = self._noise.delay()
        if delay is None:
            return False
        self._stage.agenda.plan(now + delay, lambda _: event)
        return True

    def _happen(self, now: int) -> None:
        if self._stage.room < MOST_AT_ONCE:
            return self._wards.plan_usage(now)
        (happening,) = self._stage.rng.choices(self._happenings, cum_weights=self._weights)
        return happening(now)

    def _mix(self) -> tuple[list[Happening], list[float]]:
        """What may happen, with cumulated weights."""
        if self._plan.mix is Mix.USAGE:
            return [self._wards.plan_usage], [1.0]
        weighted: list[tuple[Happening, float]] = [
            (self._wards.plan_usage, 72),
            (self._wards.plan_procedure, 4),
            (self._keepers.plan_issue, 5),
            (self._keepers.plan_return, 2),
            (self._keepers.plan_transfer, 3),
            (self._keepers.plan_adjustment, 2),
            (self._keepers.plan_count, 2),
            (self._keepers.plan_reversal, 0.7),
            (self._emergency, 0.3),
        ]
        return [happening for happening, _ in weighted], list(accumulate(weight for _, weight in weighted))

    # --- the beginning ---

    def _open(self) -> None:
        """What is on the shelves when the run begins: counted, or ordered and delivered."""
        start, rng, ordered = self._plan.start, self._stage.rng, []
        for shelf in self._stage.shelves:
            if self._plan.mix is Mix.USAGE:
                self._keepers.plan_opening(shelf, start, AMPLE)
            elif shelf.stocked.owner is None and rng.random() < OPENED_BY_ORDER_SHARE:
                ordered.append(shelf)
            else:
                self._keepers.plan_opening(shelf, start, max(1, int(shelf.stocked.capacity * rng.uniform(0.6, 1.1))))
        self._erp.open_with(ordered, start)

    # --- what needs several parties ---

    def _from_warehouse(self, trigger: ReplenishmentTrigger, now: int) -> bool:
        """Send what a trigger asks for from the central warehouse, if it has that much."""
        target = self._stage.shelves.get(position_key(trigger))
        if target is None or trigger.status is not TriggerStatus.OPEN or self._stage.room < 2:
            return False
        source = next(filter(_is_central, self._stage.shelves.elsewhere(target)), None)
        if source is None or source.on_hand < trigger.quantity:
            return False
        self._keepers.transfer(source, target, trigger.quantity, now)
        return True

    def _emergency(self, now: int) -> None:
        """A run on one shelf: uses in quick succession, help from another hospital, goods that nobody ordered."""
        stage = self._stage
        shelf = stage.shelves.pick(stage.rng)
        for minute in range(stage.rng.randint(3, 6)):
            stage.agenda.plan(now + minute * MINUTE_MS, partial(self._use, shelf))
        helpers = [other for other in stage.shelves.elsewhere(shelf) if other.on_hand > 1]
        if shelf.stocked.owner is None:
            self._erp.deliver_unordered(shelf, stage.rng.randint(2, 10), now)
            if helpers:
                helper = stage.rng.choice(helpers)
                self._keepers.transfer(helper, shelf, stage.rng.randint(1, helper.on_hand // 2), now)

    def _use(self, shelf: Shelf, now: int) -> Published:
        one = Amount(1, shelf.stocked.item.base_uom, 1)
        return self._wards.use(shelf, one, Cause(self._stage.new_id("C")), now)

    # --- late master data ---

    def _plan_visits(self) -> list[Held]:
        """Use what the master does not know yet; the records come after it. Last first, to pop the next one."""
        records = {each.name: each for each in self._world.master()}
        held = [
            Held(self._plan_visit(shelf, brief=n % 2 == 0), records[name])
            for n, (name, shelf) in enumerate(self._visited.items())
        ]
        return sorted(held, key=lambda each: -each.due)

    def _plan_visit(self, shelf: Shelf, brief: bool) -> int:
        """Plan the events at a shelf around the time its master record comes (ms), which is returned."""
        stage, span = self._stage, self._plan.end - self._plan.start
        first = self._plan.start + int(span * stage.rng.uniform(0.1, 0.6))
        known = first + (10 * MINUTE_MS if brief else span // 6)
        shelf.put(stage.new_batch(first), shelf.stocked.capacity)
        for n in range(USES_BEFORE_MASTER):
            stage.agenda.plan(first + n * MINUTE_MS, partial(self._use, shelf))
            stage.agenda.plan(known + stage.rng.randrange(HOUR_MS), partial(self._use, shelf))
        return known


def _visits(rng: Random, world: World, most: int) -> dict[str, Shelf]:
    """For each name held back, one shelf whose use needs it."""
    shelved = [stocked for stocked in world.stocked if stocked.late]
    by_name = {name: [s for s in shelved if s.late == name] for name in sorted(world.late)}
    return {name: Shelf(rng.choice(places)) for name, places in list(by_name.items())[:most] if places}


def _in_use(rng: Random, world: World, plan: Plan) -> list[Stocked]:
    """The positions of this run: fewer in a short one, none that needs late master data; for load, owned stock only."""
    known = [stocked for stocked in world.stocked if stocked.late is None]
    if plan.mix is Mix.USAGE:
        return [stocked for stocked in known if stocked.owner is None]
    return rng.sample(known, min(len(known), max(FEWEST_SHELVES, plan.events // EVENTS_PER_SHELF)))


def _is_central(shelf: Shelf) -> bool:
    return shelf.stocked.location.kind is LocationKind.WAREHOUSE


def _as_message(master: MasterRecord, now: int) -> Published:
    return message(master.topic, master.record, now, Nature.MASTER)
