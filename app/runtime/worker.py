"""A worker process: a Faust app around engines.

Faust gives agents, channels, supervision, life cycle and the web server; its consumer, producer and tables are not
started. Each pipeline has an engine on a thread of its own, which owns everything of Kafka; the event loop owns the
agents and the master data. They meet once per micro-batch, on the agents' channels.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faust
import structlog
from faust.app.base import BootStrategy
from mode import Service
from mode.utils.objects import cached_property

from app.metrics import Metrics
from app.runtime.agents import Agent
from app.runtime.batch import Delivery, attend
from app.runtime.clock import Clock
from app.runtime.codec import Codec
from app.runtime.dispatch import ThreadDispatcher
from app.runtime.engine import Engine, EngineSettings
from app.runtime.failpoints import Failpoint
from app.runtime.health import Health, Watch
from app.runtime.kafka_log import KafkaLog, KafkaSettings
from app.runtime.kafka_master import MasterReader
from app.runtime.masters import MasterFeed
from app.runtime.pipeline import Pipeline
from app.runtime.state.restore import Restorer
from app.runtime.state.store import StoreResources

log = structlog.get_logger(__name__)

_RESTORE_THREADS = 2


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    engine: EngineSettings
    kafka: KafkaSettings


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Times in seconds. ``http_port`` 0: a free one, told in the log and by ``Worker.http_address``."""

    app_id: str
    client: Mapping[str, Any]
    http_host: str
    http_port: int
    agent_deadline_s: float
    stop_timeout_s: float
    watchdog_s: float


class _EngineThread(threading.Thread):
    """Runs one engine until told to stop, or until it fails; ``failure`` then says why."""

    def __init__(self, engine: Engine, failed: Callable[[], None], grace_s: float) -> None:
        super().__init__(name=f"engine-{engine.pipeline.name}", daemon=True)
        self.engine = engine
        self.failure: BaseException | None = None
        self._stop_asked = threading.Event()
        self._failed = failed
        self._grace_s = grace_s

    def run(self) -> None:
        try:
            self.engine.start()
            while not self._stop_asked.is_set():
                self.engine.step()
        except BaseException as error:  # noqa: BLE001 whatever it is, it is told and ends the process
            self._fail(error)
        try:
            self.engine.close()  # after a failure, too: nobody is to wait until the session times out
        except BaseException as error:  # noqa: BLE001
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        log.error("engine.failed", pipeline=self.engine.pipeline.name, exc_info=error)
        self.failure = self.failure or error
        self._failed()
        # An agent that hangs blocks the event loop, too: nobody else could end the process.
        last_resort = threading.Timer(self._grace_s, os._exit, (1,))
        last_resort.daemon = True
        last_resort.start()

    def ask_to_stop(self) -> None:
        self._stop_asked.set()


class _Engines(Service):
    """The engine threads and the master data reader as a service of the Faust app."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    async def on_start(self) -> None:
        await self._worker.start_engines()

    async def on_stop(self) -> None:
        await self._worker.stop_engines()


class _Boot(BootStrategy):
    """Everything of Faust but Kafka and its tables, and the engines in their place."""

    enable_kafka = False

    def server(self) -> Iterable[Any]:
        app = cast(_App, self.app)
        return self._chain(self.sensors(), self.web_server(), self.agents(), [_Engines(app.worker)])


class _App(faust.App):
    BootStrategy = _Boot
    worker: Worker


class Worker:
    """Composes and runs ``pipelines``; ``run`` blocks until a signal or a failure.

    ``pages`` adds HTTP pages to the Faust app before it starts.
    """

    def __init__(
        self,
        pipelines: Sequence[Pipeline],
        settings: WorkerSettings,
        per_pipeline: Mapping[str, PipelineSettings],
        codec: Codec,
        metrics: Metrics,
        clock: Clock,
        failpoint: Failpoint,
        pages: Callable[[Worker, faust.App], None],
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self._executor = ThreadPoolExecutor(_RESTORE_THREADS, thread_name_prefix="restore")
        self.restorer = Restorer(self._executor, clock, metrics, failpoint)
        self._resources = StoreResources()
        self._pipelines = pipelines
        self._per_pipeline = per_pipeline
        self._codec = codec
        self._failpoint = failpoint
        masters = {table.topic.name: table for pipeline in pipelines for table in pipeline.masters}
        self.feed = MasterFeed(list(masters.values()), codec)
        self.master_reader = MasterReader(settings.client, list(masters))
        self.threads: list[_EngineThread] = []
        self.health = Health(Watch(clock, settings.watchdog_s))
        self._channels: dict[str, faust.ChannelT[Any]] = {}
        self._sending: dict[str, asyncio.Future[Any]] = {}  # a task that nothing refers to may be collected
        self._pages = pages
        self._ended = asyncio.Event()
        self._failed = False

    @property
    def engines(self) -> list[Engine]:
        return [thread.engine for thread in self.threads]

    # --- Faust ---

    @cached_property
    def app(self) -> faust.App:
        app = _App(
            self.settings.app_id,
            broker="kafka://",
            store="memory://",
            autodiscover=False,
            datadir=str(self._faust_directory()),
            web_enabled=True,
            web_in_thread=True,
            web_bind=self.settings.http_host,
            web_port=self.settings.http_port or free_port(self.settings.http_host),
        )
        app.worker = self
        for pipeline in self._pipelines:
            for agent in pipeline.agents:
                self._declare(app, agent)
        self._pages(self, app)
        return app

    def _faust_directory(self) -> Path:
        """Faust wants a directory of its own, though it keeps nothing there: not the one the worker was started in."""
        directory = next(iter(self._per_pipeline.values())).engine.state_dir.parent / "faust"
        directory.parent.mkdir(parents=True, exist_ok=True)  # Faust makes the last part only
        return directory

    def _declare(self, app: faust.App, agent: Agent) -> None:
        channel = app.channel(maxsize=1)
        self._channels[agent.name] = channel

        async def listen(stream: faust.StreamT[Any]) -> None:
            await attend(agent, stream.__aiter__().__anext__)

        app.agent(channel, name=agent.name, concurrency=1)(listen)

    def _put(self, agent: str, delivery: Delivery) -> None:
        """On the event loop. Flow control was resumed once, before the first put."""
        self._sending[agent] = asyncio.ensure_future(self._channels[agent].send(value=delivery))

    # --- life ---

    def run(self) -> int:
        """Blocks. Returns the exit code: 0 after a graceful stop, 1 after a failure."""
        spare_the_collector()
        return asyncio.run(self._run())

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        await self.app.start()
        log.info("worker.started", pipelines=[p.name for p in self._pipelines], http=self.http_address())
        await self._ended.wait()
        log.info("worker.stopping")
        await self.app.stop()
        return 1 if self._failed or any(thread.failure for thread in self.threads) else 0

    def http_address(self) -> str:
        """host:port of the web server."""
        return f"{self.settings.http_host}:{self.app.conf.web_port}"

    async def start_engines(self) -> None:
        """Master data first, then the engines; called by Faust once the agents are up."""
        loop = asyncio.get_running_loop()
        self.app.flow_control.resume()
        dispatcher = ThreadDispatcher(loop, self._put, self.settings.agent_deadline_s)
        for pipeline in self._pipelines:
            engine = self._engine(pipeline, dispatcher)
            self.feed.listeners.append(engine.arrived)
            self.threads.append(_EngineThread(engine, lambda: self._end(loop), self.settings.stop_timeout_s))
        self.master_reader.start(
            lambda messages: self._apply_on(loop, messages),
            self._masters_complete,
            lambda error: self._masters_failed(loop, error),
        )

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._ended.set)

    def _apply_on(self, loop: asyncio.AbstractEventLoop, messages: Sequence[Any]) -> None:
        """On the reader's thread; waits, so that a flood of master data does not pile up on the loop."""
        asyncio.run_coroutine_threadsafe(self._apply(messages), loop).result()

    def _masters_failed(self, loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
        log.error("master.failed", exc_info=error)
        self._failed = True
        self._end(loop)

    async def _apply(self, messages: Sequence[Any]) -> None:
        self.feed.apply(messages)

    def _masters_complete(self) -> None:
        self.health.masters_complete = True
        for thread in self.threads:
            thread.start()

    def _engine(self, pipeline: Pipeline, dispatcher: ThreadDispatcher) -> Engine:
        own = self._per_pipeline[pipeline.name]
        return Engine(
            pipeline,
            KafkaLog(own.kafka, self._failpoint),
            self._codec,
            dispatcher,
            self.restorer,
            self._resources,
            self.clock,
            self.metrics,
            own.engine,
            self._failpoint,
        )

    async def stop_engines(self) -> None:
        """Finish the open batch, leave the group, close the stores; bounded by ``stop_timeout_s``."""
        self.master_reader.ask_to_stop()
        for thread in self.threads:
            thread.ask_to_stop()
        started = [thread for thread in self.threads if thread.ident is not None]
        joins = [asyncio.to_thread(thread.join, self.settings.stop_timeout_s) for thread in started]
        await asyncio.gather(*joins)
        for thread in started:
            if thread.is_alive():
                log.error(
                    "engine.not_stopped", pipeline=thread.engine.pipeline.name, after_s=self.settings.stop_timeout_s
                )
        self._executor.shutdown(wait=False, cancel_futures=True)


def free_port(host: str) -> int:
    """A port that nothing listens on at this moment; Faust refuses 0."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def spare_the_collector() -> None:
    """A batch holds some 100,000 objects until it commits, none of them in a cycle; by default Python's cycle collector
    walks them over and over, for a quarter of a worker's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
