"""The stack: Kafka and the registry in one directory, started, found again and stopped as one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from app.embedded import java, kafka, ports, processes, registry
from app.embedded.artifacts import KAFKA_VERSION, REGISTRY_VERSION, ArtifactCache
from app.embedded.locks import locked
from app.embedded.progress import Reporter, Silent
from app.embedded.state import Addresses, Ports, Remembered, forget, recall, remember, running_addresses
from app.errors import ConfigError, Conflict, Fault

READY_WITHIN_S = 60.0
_ASK_EVERY_S = 0.05
_ASK_FOR_S = 5.0  # short enough to see in between that the process ended
_LOG_TAIL = 15  # lines
_PLACES = ("kafka", "registry", "logs", "tmp")
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the stack, as it is now. ``memory_mb`` is its resident set; ``pid`` is None where it is down."""

    name: str
    version: str
    pid: int | None
    address: str | None  # as clients take it
    port: int | None
    memory_mb: int | None
    started_at: float | None  # seconds since the epoch
    log: Path


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs of a stack, and where everything of it lies.

    ``addresses`` is None unless all of it is up; ``stale`` names what the pid file has and the system has not.
    """

    directory: Path
    cache: Path
    addresses: Addresses | None
    members: tuple[Member, ...]
    stale: tuple[str, ...]

    @property
    def up(self) -> bool:
        """Whether broker and registry both run."""
        return self.addresses is not None


@dataclass(frozen=True, slots=True)
class _Program:
    name: str
    version: str
    port: Callable[[Ports], int]
    address: Callable[[Addresses], str]
    is_ready: Callable[[str, float], bool]


PROGRAMS = (
    _Program(kafka.PROGRAM, KAFKA_VERSION, attrgetter("kafka"), attrgetter("bootstrap_servers"), kafka.is_ready),
    _Program(registry.PROGRAM, REGISTRY_VERSION, attrgetter("registry"), attrgetter("registry_url"), registry.is_ready),
)


class Stack:
    """One Kafka node and one registry that keep data, logs and pid file in ``directory``.

    The processes outlive this object and the program that started them, until :meth:`stop`. Data stay: a stack
    started again in the same directory has its topics, offsets and schema ids.
    """

    def __init__(self, directory: Path, cache: ArtifactCache | None = None) -> None:
        self.directory = directory.resolve()
        self._cache = cache or ArtifactCache()

    def start(
        self, progress: Reporter | None = None, *, kafka_port: int | None = None, registry_port: int | None = None
    ) -> Addresses:
        """Starts what does not run yet and returns once both answer; at once where the stack is up.

        Ports not asked for are those of the last start where still free, else any free ones. Blocks: seconds from the
        cache, longer where files are downloaded first. Raises :class:`Conflict` where a port asked for is in use,
        :class:`app.errors.Unreachable` where a download fails, :class:`Fault` where a process ends or does not answer.
        """
        reporter = progress or Silent()
        with self._locked(reporter):
            running = running_addresses(self.directory)
            if running:
                return running
            before = self._clear(reporter)
            chosen = _choose(before, kafka_port, registry_port)
            jars, runner = self._cache.kafka(reporter), self._cache.registry(reporter)
            return self._launch(chosen, jars, runner, reporter)

    def stop(self, progress: Reporter | None = None) -> list[int]:
        """Ends every process of the stack, written down or not; returns their pids, none where it was down.

        Blocks until they are gone: SIGTERM, then SIGKILL after 10 s.
        """
        reporter = progress or Silent()
        with self._locked(reporter):
            self._tell_stale(recall(self.directory), reporter)
            ended = processes.stop(processes.of_stack(self.directory))
            self._mark_down()
            return ended

    def erase(self) -> None:
        """Stops the stack and deletes its topics, schemas and logs for good. Blocks as :meth:`stop` does."""
        self.stop()
        for name in _PLACES:
            shutil.rmtree(self.directory / name, ignore_errors=True)
        (self.directory / kafka.SETTINGS).unlink(missing_ok=True)
        forget(self.directory)

    def status(self) -> StackStatus:
        """What runs now. Does not block and changes nothing."""
        state = recall(self.directory)
        members = tuple(self._member(program, state) for program in PROGRAMS)
        addresses = running_addresses(self.directory)
        return StackStatus(self.directory, self._cache.directory, addresses, members, self._stale(state))

    def _locked(self, reporter: Reporter) -> AbstractContextManager[None]:
        told = f"another process starts or stops the stack in {self.directory}; waiting for it"
        return locked(self.directory / "lock", lambda: reporter.say(told))

    def _clear(self, reporter: Reporter) -> Ports | None:
        """Removes what a stack that died left: its pid file, and the half of it that still runs. Returns its ports."""
        state = recall(self.directory)
        self._tell_stale(state, reporter)
        left = processes.of_stack(self.directory)
        if left:
            ended = ", ".join(map(str, processes.stop(left)))
            reporter.say(f"stopped what an earlier start had left running: pid {ended}")
        self._mark_down()
        return state.ports if state else None

    def _stale(self, state: Remembered | None) -> tuple[str, ...]:
        if state is None:
            return ()
        gone = (item for item in state.pids.items() if not processes.is_ours(item[1], item[0], self.directory))
        return tuple(f"{name} (pid {pid})" for name, pid in gone)

    def _tell_stale(self, state: Remembered | None, reporter: Reporter) -> None:
        stale = self._stale(state)
        if stale:
            told = f"stale pid file in {self.directory}, cleaned up: no process of this stack is {' or '.join(stale)}"
            reporter.say(told)

    def _mark_down(self) -> None:
        """Keeps the ports for the next start; no pids."""
        state = recall(self.directory)
        if state is None:
            forget(self.directory)
        else:
            remember(self.directory, Remembered(state.ports, {}, ready=False))

    def _launch(self, chosen: Ports, jars: tuple[Path, ...], runner: Path, reporter: Reporter) -> Addresses:
        for place in _PLACES:
            (self.directory / place).mkdir(exist_ok=True)
        reporter.say(f"starting Kafka {KAFKA_VERSION} on port {chosen.kafka}, registry on port {chosen.registry}")
        try:
            pids = self._spawn(chosen, registry.PROGRAM, registry.command(self.directory, chosen, runner), {})
            pids = self._spawn(chosen, kafka.PROGRAM, kafka.prepare(self.directory, chosen, jars), pids)
            self._await(chosen, pids)
        except BaseException:
            processes.stop(processes.of_stack(self.directory))
            self._mark_down()
            raise
        remember(self.directory, Remembered(chosen, pids, ready=True))
        return chosen.addresses()

    def _spawn(self, chosen: Ports, name: str, command: list[str], pids: dict[str, int]) -> dict[str, int]:
        log = self._log(name)
        if log.exists():
            os.replace(log, log.with_name(f"{log.name}.1"))  # one log a start, and the one before
        pid = processes.spawn(command, log, java.ENVIRONMENT)
        started = {**pids, name: pid}
        remember(self.directory, Remembered(chosen, started, ready=False))
        return started

    def _await(self, chosen: Ports, pids: dict[str, int]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        with ThreadPoolExecutor(len(PROGRAMS)) as pool:
            waits = [pool.submit(self._await_one, each, chosen, pids[each.name], deadline) for each in PROGRAMS]
        for wait in waits:
            wait.result()

    def _await_one(self, program: _Program, chosen: Ports, pid: int, deadline: float) -> None:
        port, address = program.port(chosen), program.address(chosen.addresses())
        while not (ports.answers(port) and program.is_ready(address, _ASK_FOR_S)):
            if not processes.is_ours(pid, program.name, self.directory):
                processes.reap(pid)
                raise self._failed(program, "ended while it started")
            if time.monotonic() > deadline:
                raise self._failed(program, f"did not answer on port {port} within {READY_WITHIN_S:.0f} s")
            time.sleep(_ASK_EVERY_S)

    def _failed(self, program: _Program, what: str) -> Fault:
        log = self._log(program.name)
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:])
        way_out = f"the whole log is {log}; where its data are broken, `wardstock down --erase` deletes them"
        return Fault(f"{program.name} {what}; the end of its log:\n{tail}", way_out)

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _member(self, program: _Program, state: Remembered | None) -> Member:
        pid = state.pids.get(program.name) if state else None
        log = self._log(program.name)
        if state is None or pid is None or not processes.is_ours(pid, program.name, self.directory):
            return Member(program.name, program.version, None, None, None, None, None, log)
        return Member(
            program.name,
            program.version,
            pid,
            program.address(state.ports.addresses()),
            program.port(state.ports),
            processes.memory_bytes(pid) // _MEGABYTE,
            processes.started_at(pid),
            log,
        )


def _choose(before: Ports | None, kafka_port: int | None, registry_port: int | None) -> Ports:
    if kafka_port is not None and kafka_port == registry_port:
        raise ConfigError(f"port {kafka_port} is asked for twice; expected one for Kafka and another for the registry")
    taken = {port for port in (kafka_port, registry_port) if port is not None}

    def port(asked: int | None, last: int | None) -> int:
        if asked is not None:
            _demand_free(asked)
            return asked
        found = last if last is not None and last not in taken and ports.is_free(last) else ports.take_free(taken)
        taken.add(found)
        return found

    return Ports(
        kafka=port(kafka_port, before.kafka if before else None),
        controller=port(None, before.controller if before else None),
        registry=port(registry_port, before.registry if before else None),
    )


def _demand_free(port: int) -> None:
    if not ports.is_free(port):
        raise Conflict(
            f"port {port} is in use by {ports.holder(port)}",
            "name another port, or none: `wardstock up` then takes a free one",
        )
