"""What a stack directory remembers: which processes were started, on which ports. Needs no extra to be read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "stack.json"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where clients connect: ``host:port`` of the broker, ``http://host:port`` of the registry (no path)."""

    bootstrap_servers: str
    registry_url: str


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on the loopback interface."""

    kafka: int
    controller: int
    registry: int

    def addresses(self) -> Addresses:
        return Addresses(f"{LOOPBACK}:{self.kafka}", f"http://{LOOPBACK}:{self.registry}")


@dataclass(frozen=True, slots=True)
class Remembered:
    """The pid file's contents. ``ready`` is false from the first start of a process until both answered."""

    ports: Ports
    pids: dict[str, int]  # program -> pid, as far as started
    ready: bool


def recall(directory: Path) -> Remembered | None:
    """The pid file of a stack directory; None where there is none that can be read.

    It is only ever replaced whole, so one that cannot be read was not written here and counts as none.
    """
    try:
        found = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return Remembered(Ports(**found["ports"]), {str(k): int(v) for k, v in found["pids"].items()}, found["ready"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remember(directory: Path, state: Remembered) -> None:
    """Replaces the pid file in one step, so that a reader never sees half of it."""
    scratch = directory / f"{FILE}.new"
    scratch.write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
    os.replace(scratch, directory / FILE)


def forget(directory: Path) -> None:
    (directory / FILE).unlink(missing_ok=True)


def running_addresses(directory: Path) -> Addresses | None:
    """The addresses of the stack that runs in ``directory``; None where none is up. Asks the system, not the ports."""
    state = recall(directory)
    if state is None or not state.ready:
        return None
    from app.embedded import processes  # needs the extra, which whoever wrote the file had

    alive = all(processes.is_ours(pid, program, directory) for program, pid in state.pids.items())
    return state.ports.addresses() if alive else None
