"""Bringing a partition's store up to its changelogs, apart from the engine's thread, cancellable, with progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from app.metrics import Metrics
from app.runtime.clock import Clock
from app.runtime.errors import LogUnavailable, OffsetOutOfRange
from app.runtime.failpoints import Failpoint, Point
from app.runtime.log import Replay, TopicPartition

if TYPE_CHECKING:
    from app.runtime.home import Home

log = structlog.get_logger(__name__)

OpenReplay = Callable[[Mapping[TopicPartition, int | None], Callable[[], bool]], Replay]
_RETRY_S = 0.5
_CANCEL_WAIT_S = 20.0


@dataclass(slots=True)
class Progress:
    """Of one partition's restore: records done and (at most) to do, seconds so far."""

    pipeline: str
    partition: int
    total: int = 0
    done: int = 0
    started: float = 0.0
    ended: float | None = None

    @property
    def remaining(self) -> int:
        return max(0, self.total - self.done)


class _Task:
    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.cancelled = threading.Event()
        self.future: Future[None] | None = None


class Restorer:
    """Runs restores on ``executor``. ``begin``, ``finished`` and ``cancel`` are the engine thread's."""

    def __init__(self, executor: Executor, clock: Clock, metrics: Metrics, failpoint: Failpoint) -> None:
        self._executor = executor
        self._clock = clock
        self._metrics = metrics
        self._failpoint = failpoint
        self._tasks: dict[Home, _Task] = {}

    def begin(self, home: Home, open_replay: OpenReplay) -> None:
        task = _Task(Progress(home.pipeline.name, home.partition, started=self._clock.monotonic()))
        self._tasks[home] = task
        task.future = self._executor.submit(self._run, home, open_replay, task)

    def finished(self, homes: Iterable[Home]) -> list[Home]:
        """Homes whose restore has ended since the last call. Raises what made one fail."""
        done = []
        for home in homes:
            task = self._tasks.get(home)
            if task is not None and task.future is not None and task.future.done():
                del self._tasks[home]
                task.future.result()
                done.append(home)
                self._tell_end(task.progress)
        return done

    def _tell_end(self, progress: Progress) -> None:
        progress.ended = self._clock.monotonic()
        seconds = progress.ended - progress.started
        self._metrics.restore_seconds.labels(progress.pipeline).observe(seconds)
        log.info(
            "partition.restored", pipeline=progress.pipeline, partition=progress.partition, records=progress.done,
            seconds=round(seconds, 3),
        )  # fmt: skip

    def cancel(self, home: Home) -> None:
        """Blocks until the restore of ``home``, if any, no longer touches its store."""
        task = self._tasks.pop(home, None)
        if task is None or task.future is None:
            return
        task.cancelled.set()
        if not task.future.cancel():
            task.future.exception(timeout=_CANCEL_WAIT_S)

    def progress(self) -> list[Progress]:
        """Of the restores under way. May be called on any thread."""
        return [task.progress for task in list(self._tasks.values())]

    def _run(self, home: Home, open_replay: OpenReplay, task: _Task) -> None:
        while not task.cancelled.is_set():
            try:
                self._restore(home, open_replay, task)
                return
            except OffsetOutOfRange as error:
                log.warning("store.wiped", pipeline=home.pipeline.name, partition=home.partition, why=str(error))
                home.store.wipe()
            except LogUnavailable as error:
                log.warning("restore.retried", pipeline=home.pipeline.name, partition=home.partition, why=str(error))
                task.cancelled.wait(_RETRY_S)

    def _restore(self, home: Home, open_replay: OpenReplay, task: _Task) -> None:
        replay = open_replay(home.changelog_offsets(), task.cancelled.is_set)
        progress = task.progress
        progress.total, progress.done = replay.remaining(), 0
        for chunk in replay.chunks():
            home.absorb(list(chunk))
            progress.done += len(chunk)
            progress.total = progress.done + replay.remaining()
            self._metrics.restored.labels(progress.pipeline).inc(len(chunk))
            self._failpoint(Point.IN_RESTORE)
