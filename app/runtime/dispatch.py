"""How a batch gets to its agent and back: over Faust's channels in a worker, on a private event loop in tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

from app.runtime.agents import Agent
from app.runtime.batch import Batch, Delivery, attend
from app.runtime.errors import AgentHangs


class Dispatcher(Protocol):
    def run(self, agent: str, batch: Batch) -> None:
        """Blocks until the agent has asked for its next batch. Raises ``AgentHangs``."""
        ...


class ThreadDispatcher:
    """From the engine's thread to agents on an event loop of another thread.

    ``put`` hands a delivery to the named agent's channel; it is called on the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, put: Callable[[str, Delivery], None], deadline_s: float
    ) -> None:
        self._loop = loop
        self._put = put
        self._deadline_s = deadline_s

    def run(self, agent: str, batch: Batch) -> None:
        done = threading.Event()
        failure: list[BaseException | None] = []

        def finished(error: BaseException | None) -> None:
            failure.append(error)
            done.set()

        delivery = Delivery(batch, finished)
        self._loop.call_soon_threadsafe(self._put, agent, delivery)
        if not done.wait(self._deadline_s):
            delivery.finish()
            raise AgentHangs(f"agent {agent!r} worked longer than {self._deadline_s:g} s on {len(batch)} events")
        if failure[0] is not None:
            raise failure[0]


class InlineDispatcher:
    """Runs the agents on an event loop of its own, inside the caller's thread: deterministic."""

    def __init__(self, agents: tuple[Agent, ...]) -> None:
        self._loop = asyncio.new_event_loop()
        self._queues: dict[str, asyncio.Queue[Delivery]] = {agent.name: asyncio.Queue() for agent in agents}
        self._tasks = [self._loop.create_task(attend(agent, self._queues[agent.name].get)) for agent in agents]

    def run(self, agent: str, batch: Batch) -> None:
        done = self._loop.create_future()

        def finished(error: BaseException | None) -> None:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self._queues[agent].put_nowait(Delivery(batch, finished))
        self._loop.run_until_complete(asyncio.wait([done, *self._tasks], return_when=asyncio.FIRST_COMPLETED))
        for task in self._tasks:
            if task.done():
                task.result()
        done.result()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()
