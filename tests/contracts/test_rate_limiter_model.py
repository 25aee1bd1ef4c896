"""The days' budgets against a plain model of them, by hypothesis."""

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.rate_limiter import Budget, Reservation
from harness.rate_limiters import Make

KEYS = st.sampled_from(["a", "b"])
BUDGETS = st.sampled_from([Budget("small", 10), Budget("large", 100), Budget("large", 50)])
AMOUNTS = st.integers(0, 12) | st.integers(0, 120)
Account = tuple[date, str, str]


@dataclass
class Known:
    """A reservation as the model knows it."""

    reservation: Reservation
    account: Account
    open: bool


class BudgetMachine(RuleBasedStateMachine):
    make: ClassVar[Make]

    @initialize()
    def begin(self) -> None:
        self.prefix = new_id()  # examples share a server, so their keys are apart
        self.known: list[Known] = []
        self.sums: dict[Account, int] = {}
        self.clock = HeldClock()
        self.loop = asyncio.new_event_loop()
        self.limiter = type(self).make(self.clock)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.limiter.aclose())
            self.loop.close()

    @rule(budget=BUDGETS, key=KEYS, amount=AMOUNTS)
    def reserve(self, budget: Budget, key: str, amount: int) -> None:
        account = (self.clock.now().date(), budget.name, key)
        before = self.sums.get(account, 0)
        told = self._reserve(budget, key, amount)
        assert told.allowed == (before + amount <= budget.amount)
        after = before + amount * told.allowed
        assert told.remaining == max(budget.amount - after, 0)
        assert (told.retry_after == 0) == told.allowed
        self.sums[account] = after
        self.known.append(Known(told, account, told.allowed))

    @rule(data=st.data(), used=AMOUNTS)
    def settle(self, data: st.DataObject, used: int) -> None:
        if not self.known:
            return
        one = data.draw(st.sampled_from(self.known))
        settled = self.loop.run_until_complete(self.limiter.settle(one.reservation, used))
        late = (self.clock.now().date() - one.account[0]).days
        if late <= 1:
            assert settled == one.open
        if one.open and settled:
            self.sums[one.account] += used - one.reservation.amount
        one.open = one.open and not settled

    @rule(hours=st.sampled_from([1, 7, 24]))
    def let_time_pass(self, hours: int) -> None:
        self.clock.advance(hours * 3600)

    @invariant()
    def every_sum_of_today_is_the_models(self) -> None:
        if not hasattr(self, "loop"):
            return
        today = self.clock.now().date()
        for day, name, key in self.sums:
            if day == today:
                told = self._reserve(Budget(name, 1_000_000), key, 0)
                assert 1_000_000 - told.remaining == self.sums[day, name, key]

    def _reserve(self, budget: Budget, key: str, amount: int) -> Reservation:
        return self.loop.run_until_complete(self.limiter.reserve(budget, f"{self.prefix}:{key}", amount))


def test_the_budgets_are_their_model(make_limiter: Make) -> None:
    machine = type("Machine", (BudgetMachine,), {"make": staticmethod(make_limiter)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
