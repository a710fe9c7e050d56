"""What an operator can do something about: raised where it is known, shown in one place (``app.cli.main``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class Fault(Exception):
    """Something outside the program is not as it must be. ``way_out`` says what to do about it."""

    def __init__(self, message: str, way_out: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out


class Unreachable(Fault):
    """A broker or a registry does not answer."""


class Conflict(Fault):
    """Something is in a state that forbids what was asked: already running, in use, not empty."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that cannot be used. ``value`` is already redacted where it is a secret."""

    setting: str  # as the operator named it: WARDSTOCK_PARTITIONS, or "partitions in wardstock.toml"
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.value}; expected {self.expected}"


class ConfigError(Fault):
    """The settings cannot be used; ``problems`` has every one found."""

    def __init__(self, message: str, way_out: str | None = None, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message, way_out)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> ConfigError:
        found = tuple(problems)
        return cls("\n".join(map(str, found)), problems=found)
