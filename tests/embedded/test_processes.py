"""Processes are known by what they were started with, and end when they are told to, or soon after."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.embedded import processes

OBEDIENT = "import time; print('here', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"


class Started:
    """Starts programs as members of the stack in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, program: str, name: str = "kafka") -> int:
        log = self.directory / f"{name}.log"
        command = [sys.executable, "-c", program, *processes.marks(name, self.directory)]
        pid = processes.spawn(command, log, {"ONLY": "this"})
        while "here" not in log.read_text():
            time.sleep(0.01)
        return pid


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    yield Started(tmp_path)
    processes.stop(processes.of_stack(tmp_path), patience_s=0)


def test_a_process_is_ours_by_directory_and_program(started: Started, tmp_path: Path) -> None:
    pid = started(OBEDIENT)
    assert processes.is_ours(pid, "kafka", tmp_path)
    assert not processes.is_ours(pid, "registry", tmp_path)
    assert not processes.is_ours(pid, "kafka", tmp_path / "other")
    assert [process.pid for process in processes.of_stack(tmp_path)] == [pid]


def test_a_process_that_ended_and_was_not_waited_for_is_not_running(started: Started, tmp_path: Path) -> None:
    pid = started("print('here', flush=True)")
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not processes.is_ours(pid, "kafka", tmp_path)
    assert processes.memory_bytes(pid) == 0
    processes.reap(pid)
    assert not psutil.pid_exists(pid)
    processes.reap(pid)


def test_a_process_leads_its_own_session_and_has_no_other_environment(started: Started) -> None:
    pid = started(OBEDIENT)
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).environ()["ONLY"] == "this"
    assert "HOME" not in psutil.Process(pid).environ()


def test_one_that_does_not_hear_sigterm_is_killed(started: Started, tmp_path: Path) -> None:
    deaf, obedient = started(DEAF), started(OBEDIENT, "registry")
    assert sorted(processes.stop(processes.of_stack(tmp_path), patience_s=0.3)) == sorted([deaf, obedient])
    assert not psutil.pid_exists(deaf)
    assert not psutil.pid_exists(obedient)
