"""A pipeline: agents and tables that share one partition key and one consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.runtime.agents import Agent
from app.runtime.master import AnyMasterTable
from app.runtime.parking import PARKED, parked_table
from app.runtime.state.table import Table
from app.runtime.topics import Topic


@dataclass(frozen=True)
class Pipeline:
    """``masters`` are the master tables that its agents read: nothing is processed before they are complete.

    Raises ``ValueError`` where two agents read one topic, or own one table.
    """

    name: str
    agents: tuple[Agent, ...]
    dead_letters: Topic
    masters: tuple[AnyMasterTable, ...] = ()

    def __post_init__(self) -> None:
        _refuse_shared("topic", [topic.name for agent in self.agents for topic in agent.topics])
        _refuse_shared("table", [table.name for table in self.tables])

    @cached_property
    def sources(self) -> Mapping[str, tuple[Topic, Agent]]:
        """Topic name -> the topic and its agent."""
        return {topic.name: (topic, agent) for agent in self.agents for topic in agent.topics}

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        return (*(table for agent in self.agents for table in agent.owns), parked_table)

    def changelog(self, table: str) -> str:
        return f"{self.name}.{table}-changelog"

    @property
    def parked_changelog(self) -> str:
        return self.changelog(PARKED)

    @property
    def dedup_changelog(self) -> str:
        return f"{self.name}.dedup-changelog"

    @property
    def rekeyed(self) -> str:
        """Where messages go that lie on another partition than their key's."""
        return f"{self.name}.rekeyed"

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.sources, self.rekeyed)

    @property
    def changelogs(self) -> tuple[str, ...]:
        return (*(self.changelog(table.name) for table in self.tables), self.dedup_changelog)


def _refuse_shared(what: str, names: list[str]) -> None:
    shared = sorted({name for name in names if names.count(name) > 1})
    if shared:
        raise ValueError(f"{what} {', '.join(shared)} has more than one agent; give each {what} exactly one")
