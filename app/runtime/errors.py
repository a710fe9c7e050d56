"""What can go wrong in the engine, by what is to be done about it."""

from __future__ import annotations

from app.runtime.dead_letters import Reason


class Undecodable(Exception):
    """A message that can never be worked as it is: it becomes a dead letter.

    ``detail`` names the field, its value and what was expected.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
