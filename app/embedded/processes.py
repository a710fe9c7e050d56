"""Processes that outlive whoever started them, and are known by what they were started with.

A pid alone proves nothing: it may belong to another program by now. Every process of a stack carries the stack's
directory and its own name on its command line; that is what counts, whatever a pid file says.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

TERM_WAIT_S = 10.0
KILL_WAIT_S = 5.0
_LOOKS, _BETWEEN_LOOKS_S = 10, 0.02


def marks(program: str, directory: Path) -> tuple[str, str]:
    """The two arguments by which a process of the stack in ``directory`` is known."""
    return f"-Dwardstock.stack={directory.resolve()}", f"-Dwardstock.program={program}"


def spawn(command: list[str], log: Path, environment: dict[str, str]) -> int:
    """Starts ``command`` as the leader of its own session, output appended to ``log``; returns its pid.

    It gets no terminal and no signal that is meant for us. Returns at once.
    """
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=(signal.SIGINT, signal.SIGTERM),
    )


def is_ours(pid: int, program: str, directory: Path) -> bool:
    """Whether ``pid`` is alive and was started as ``program`` of the stack in ``directory``."""
    try:
        arguments = _arguments(psutil.Process(pid))
    except psutil.Error:
        return False
    return set(marks(program, directory)) <= set(arguments)


def _arguments(process: psutil.Process) -> list[str]:
    """The command line, empty for a zombie. It is empty for a moment, too, while a process executes a program, as a
    Java launcher does a second time on its way: so look again before believing it. Blocks for at most 0.2 s."""
    for _ in range(_LOOKS):
        arguments: list[str] = process.cmdline()
        if arguments or process.status() == psutil.STATUS_ZOMBIE:
            return arguments
        time.sleep(_BETWEEN_LOOKS_S)
    return []


def memory_bytes(pid: int) -> int:
    """Resident set of a process; 0 where it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def started_at(pid: int) -> float | None:
    """When a process started, in seconds since the epoch; None where it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def of_stack(directory: Path) -> list[psutil.Process]:
    """Every live process of the stack in ``directory``, written down or not."""
    mark = marks("", directory)[0]
    return [process for process in psutil.process_iter(["cmdline"]) if mark in (process.info["cmdline"] or ())]


def stop(processes: Iterable[psutil.Process], patience_s: float = TERM_WAIT_S) -> list[int]:
    """Ends process groups: SIGTERM, then SIGKILL after ``patience_s``. Blocks until they are gone; returns the pids."""
    targets = list(processes)
    _signal(targets, signal.SIGTERM)
    _, alive = psutil.wait_procs(targets, timeout=patience_s)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=KILL_WAIT_S)
    return [process.pid for process in targets]


def reap(pid: int) -> None:
    """Takes the exit status of a child of ours that ended, so that no zombie stays. Does not block."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by another process, which has it or init does


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            continue  # gone by itself in the meantime
