"""Runs the fault scenarios side by side: most of their time they wait for a session or a transaction to time out.

A test that asks for ``stage`` is such a scenario. All selected ones are started together, a few at a time, when the
first of them is due; the test itself then waits for its own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from app.embedded import Addresses
from tests.engine.topics import Broker
from tests.faults.stage import Stage, Took

SEED = "WARDSTOCK_TEST_SEED"
# Those under the new protocol mostly wait, for the 45 s of its session timeout.
AT_ONCE = {True: 8, False: 5}
_took: pytest.StashKey[list[Took]] = pytest.StashKey()


class Crowd:
    """The scenarios of this session, by the id of their test."""

    def __init__(self, broker: Broker, directory: Path, took: list[Took]) -> None:
        self._broker = broker
        self._directory = directory
        self._told = took
        self._pools = {slow: ThreadPoolExecutor(size, thread_name_prefix="scenario") for slow, size in AT_ONCE.items()}
        self._running: dict[str, Future[None]] = {}

    def start(self, item: pytest.Function) -> None:
        pool = self._pools["consumer" in item.name]
        directory = self._directory / f"{len(self._running)}"
        directory.mkdir()
        self._running[item.nodeid] = pool.submit(self._run, item, directory)

    def _run(self, item: pytest.Function, directory: Path) -> None:
        seed = int(os.environ.get(SEED) or secrets.randbelow(1_000_000))
        stage = Stage(self._broker, directory, f"f{secrets.token_hex(5)}", seed, self._told)
        parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        try:
            item.obj(stage=stage, **parameters)
        except BaseException as error:
            error.add_note(f"again with {SEED}={seed}; the workers' logs are in {directory}")
            with suppress(Exception):  # what failed first is what counts
                stage.close()
            raise
        stage.close()

    def result(self, item: pytest.Item) -> None:
        self._running[item.nodeid].result()

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def crowd(
    request: pytest.FixtureRequest, cluster: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crowd]:
    took = request.config.stash.setdefault(_took, [])
    started = Crowd(Broker(cluster.bootstrap_servers), tmp_path_factory.mktemp("faults"), took)
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "stage" in item.fixturenames:
            started.start(item)
    yield started
    started.close()


@pytest.fixture
def stage(crowd: Crowd) -> None:
    """Given by the crowd to the scenario; see above."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "stage" not in pyfuncitem.fixturenames:
        return None
    cast(Crowd, pyfuncitem.funcargs["crowd"]).result(pyfuncitem)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told: list[Took] = terminalreporter.config.stash.get(_took, [])
    for took in sorted(told, key=lambda took: took.what):
        terminalreporter.write_line(f"takeover {took.what}: {took.seconds:.1f} s")
