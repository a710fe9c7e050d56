"""The stack: Kafka and the registry in one directory, started, found again and stopped as one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.embedded import java, kafka, ports, processes, registry
from app.embedded.artifacts import KAFKA_VERSION, REGISTRY_VERSION, ArtifactCache
from app.embedded.locks import locked
from app.embedded.progress import Reporter, Silent
from app.embedded.state import Addresses, Ports, Remembered, forget, recall, remember, running_addresses
from app.errors import Conflict, Fault

READY_WITHIN_S = 60.0
_ASK_EVERY_S = 0.05
_LOG_TAIL = 15
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the stack, as it is now. ``memory_mb`` is its resident set; ``pid`` is None where it is down."""

    name: str
    version: str
    pid: int | None
    port: int | None
    memory_mb: int | None
    started_at: float | None  # seconds since the epoch
    log: Path


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs of a stack, and where everything of it lies. ``addresses`` is None unless all of it is up."""

    directory: Path
    cache: Path
    addresses: Addresses | None
    members: tuple[Member, ...]

    @property
    def up(self) -> bool:
        return self.addresses is not None


@dataclass(frozen=True, slots=True)
class _Program:
    name: str
    version: str
    port: Callable[[Ports], int]
    is_ready: Callable[[Addresses, float], bool]


PROGRAMS = (
    _Program(kafka.PROGRAM, KAFKA_VERSION, lambda p: p.kafka, lambda a, s: kafka.is_ready(a.bootstrap_servers, s)),
    _Program(
        registry.PROGRAM, REGISTRY_VERSION, lambda p: p.registry, lambda a, s: registry.is_ready(a.registry_url, s)
    ),
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
        with self._locked(progress or Silent()):
            ended = processes.stop(processes.of_stack(self.directory))
            self._mark_down()
            return ended

    def status(self) -> StackStatus:
        """What runs now. Does not block and changes nothing."""
        state = recall(self.directory)
        members = tuple(self._member(program, state) for program in PROGRAMS)
        return StackStatus(self.directory, self._cache.directory, running_addresses(self.directory), members)

    def _locked(self, reporter: Reporter) -> AbstractContextManager[None]:
        told = f"another process starts or stops the stack in {self.directory}; waiting for it"
        return locked(self.directory / "lock", lambda: reporter.say(told))

    def _clear(self, reporter: Reporter) -> Ports | None:
        """Removes what a stack that died left: its pid file, and the half of it that still runs. Returns its ports."""
        state = recall(self.directory)
        left = processes.of_stack(self.directory)
        if state is not None and state.pids:
            gone = ", ".join(f"{name} (pid {pid})" for name, pid in sorted(state.pids.items()))
            reporter.say(f"the pid file names {gone}, not all of which are processes of this stack; cleaned up")
        if left:
            reporter.say(f"stopped what was left of it: pid {', '.join(map(str, processes.stop(left)))}")
        self._mark_down()
        return state.ports if state else None

    def _mark_down(self) -> None:
        """Keeps the ports for the next start; no pids."""
        state = recall(self.directory)
        if state is None:
            forget(self.directory)
        else:
            remember(self.directory, Remembered(state.ports, {}, ready=False))

    def _launch(self, chosen: Ports, jars: tuple[Path, ...], runner: Path, reporter: Reporter) -> Addresses:
        for place in ("tmp", "logs", "registry"):
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
        pid = processes.spawn(command, self._log(name), java.ENVIRONMENT)
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
        port = program.port(chosen)
        while not (ports.answers(port) and program.is_ready(chosen.addresses(), deadline - time.monotonic())):
            if not processes.is_ours(pid, program.name, self.directory):
                raise self._failed(program, "ended while it started")
            if time.monotonic() > deadline:
                raise self._failed(program, f"did not answer on port {port} within {READY_WITHIN_S:.0f} s")
            time.sleep(_ASK_EVERY_S)

    def _failed(self, program: _Program, what: str) -> Fault:
        log = self._log(program.name)
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL:])
        return Fault(f"{program.name} {what}; the end of its log:\n{tail}", f"the whole log is in {log}")

    def _log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _member(self, program: _Program, state: Remembered | None) -> Member:
        pid = state.pids.get(program.name) if state else None
        if state is None or pid is None or not processes.is_ours(pid, program.name, self.directory):
            return Member(program.name, program.version, None, None, None, None, self._log(program.name))
        process = psutil.Process(pid)
        memory, since = process.memory_info().rss // _MEGABYTE, process.create_time()
        return Member(
            program.name, program.version, pid, program.port(state.ports), memory, since, self._log(program.name)
        )


def _choose(before: Ports | None, kafka_port: int | None, registry_port: int | None) -> Ports:
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
