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


class Aborted(Exception):
    """The transaction was rolled back: nothing of it is visible. Rewind to the committed offsets and try again."""


class OutcomeUnknown(Exception):
    """The producer is unusable and its last transaction may or may not be committed: rebuild it and take over anew."""


class LogUnavailable(Exception):
    """The broker could not be asked; nothing is known to be wrong with the data. Try again."""


class OffsetOutOfRange(Exception):
    """A stored changelog offset is outside the log: wipe the store and replay from the beginning."""


class AgentHangs(Exception):
    """An agent did not finish its batch before the deadline."""


class AgentsKeepFailing(Exception):
    """Too many events in a row ended in AGENT_ERROR: stop, instead of emptying a topic into the dead letters."""


class RegistryUnavailable(Exception):
    """The schema registry gave no usable answer: try again later. Never a reason for a dead letter."""
