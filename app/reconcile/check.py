"""The checker: a history in, a report out. Pure: no network, no clock."""

from __future__ import annotations

from app.reconcile.arrivals import check_arrivals
from app.reconcile.causes import check_causes
from app.reconcile.findings import Findings
from app.reconcile.history import History
from app.reconcile.orders import check_orders
from app.reconcile.outcomes import Outcomes
from app.reconcile.positions import check_positions
from app.reconcile.report import Report, report_of


def check(history: History, now: int) -> Report:
    """Every rule over all of ``history``; ``now`` (ms, UTC) says which lots have expired for the figures.

    Time is linear in the number of records, but for sorting each key's entries and counts that arrive late.
    """
    findings = Findings()
    check_arrivals(history, findings)
    check_causes(history, findings)
    outcomes = Outcomes.of(history)
    books = check_positions(outcomes, findings)
    check_orders(outcomes, findings)
    return report_of(history, findings, books, now)
