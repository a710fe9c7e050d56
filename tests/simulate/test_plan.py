from __future__ import annotations

from typing import Any

import pytest

from app.errors import ConfigError
from app.simulate.plan import MAX_SPAN_MS, Plan, Shares, span_ms

START = 1_780_000_000_000


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"events": 99}, "events is 99; expected at least 100"),
        ({"facilities": 0}, "facilities is 0; expected at least 1"),
        ({"rate": -1.0}, "rate is -1.0; expected at least 0"),
        ({"patience_s": -1.0}, "patience_s is -1.0; expected at least 0"),
        ({"end": START}, f"end is {START}; expected at least a minute after start ({START})"),
    ],
)
def test_a_plan_that_cannot_be_names_the_setting_its_value_and_what_was_expected(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError) as error:
        Plan(**{"seed": 1, "events": 1000, "start": START, "end": START + 3_600_000, **values})
    assert error.value.message == named


def test_shares_are_between_none_and_all_and_leave_some_events() -> None:
    with pytest.raises(ConfigError, match=r"late is 1.5; expected a share from 0 to 1"):
        Shares(late=1.5)
    with pytest.raises(ConfigError, match=r"expected at most 0.9"):
        Shares(repeats=0.5, invalid=0.3, undecodable=0.2)


def test_the_simulated_time_runs_from_start_to_end_and_never_takes_more_than_three_days() -> None:
    plan = Plan(1, 1000, START, START + span_ms(1000))
    times = [plan.time_at(n) for n in range(1002)]
    assert times[0] == plan.start
    assert times[-1] == times[-2] == plan.end
    assert times == sorted(times)
    assert span_ms(10**9) == MAX_SPAN_MS
