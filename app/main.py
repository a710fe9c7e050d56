"""The composition root: the only place where agents, tables, contracts and the engine meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import CollectorRegistry

from agents import topics
from agents.keep_inventory import keep_inventory
from agents.track_orders import track_orders
from app.config import Settings
from app.contracts.codec import AvroCodec
from app.contracts.registry import HttpRegistry, Registry
from app.metrics import Metrics
from app.runtime.clock import SystemClock
from app.runtime.engine import EngineSettings
from app.runtime.failpoints import no_failpoint
from app.runtime.kafka_log import KafkaSettings
from app.runtime.pipeline import Pipeline
from app.runtime.worker import PipelineSettings, Worker, WorkerSettings
from app.web.pages import add_pages
from tables import master

DAY_MS: Final = 86_400_000

inventory = Pipeline("inventory", (keep_inventory,), topics.dead_letters, master.ALL)
procurement = Pipeline("procurement", (track_orders,), topics.dead_letters, master.ALL)

PIPELINES: Final[Mapping[str, Pipeline]] = {pipeline.name: pipeline for pipeline in (inventory, procurement)}


def registry_of(settings: Settings) -> HttpRegistry:
    """The schema registry that the settings name. Does not connect yet."""
    return HttpRegistry.of(settings)


def codec_of(registry: Registry) -> AvroCodec:
    return AvroCodec(registry, topics.ALL)


def ready_codec(registry: Registry) -> AvroCodec:
    """A codec that has asked for the ids of all that agents emit: no batch will wait for the registry, or fail by it.

    Raises ``NotRegistered`` and ``RegistryUnavailable``.
    """
    codec = codec_of(registry)
    for topic in topics.OUTPUTS + topics.INTERNAL:
        codec.encoder(topic)
    return codec


def build_worker(settings: Settings, names: Sequence[str]) -> Worker:
    """A worker of the named pipelines, ready to ``run``. Raises ``KeyError`` for a name that is none."""
    metrics = Metrics(CollectorRegistry())
    metrics.build_info.labels(version("wardstock")).set(1)
    return Worker(
        [PIPELINES[name] for name in names],
        _worker_settings(settings),
        {name: PipelineSettings(_engine_settings(settings, name), _kafka_settings(settings, name)) for name in names},
        ready_codec(registry_of(settings)),
        metrics,
        SystemClock(),
        no_failpoint,
        add_pages,
    )


def group_of(settings: Settings, pipeline: str) -> str:
    return f"{settings.app_id}-{pipeline}"


def _worker_settings(settings: Settings) -> WorkerSettings:
    return WorkerSettings(
        app_id=settings.app_id,
        client=settings.client_config(),
        http_host=settings.http_host,
        http_port=settings.http_port,
        agent_deadline_s=settings.agent_deadline_ms / 1000,
        stop_timeout_s=settings.stop_timeout_s,
        watchdog_s=settings.watchdog_s,
    )


def _engine_settings(settings: Settings, pipeline: str) -> EngineSettings:
    return EngineSettings(
        partitions=settings.partitions,
        state_dir=settings.state_dir / settings.app_id / f"{pipeline}-{settings.slot}",
        batch_max_events=settings.batch_max_events,
        batch_wait_ms=settings.batch_wait_ms,
        dedup_horizon_ms=settings.dedup_horizon_days * DAY_MS,
        park_max_age_ms=settings.park_max_age_s * 1000,
    )


def _kafka_settings(settings: Settings, pipeline: str) -> KafkaSettings:
    client: dict[str, Any] = settings.client_config()
    return KafkaSettings(
        client=client,
        group=group_of(settings, pipeline),
        transactional_id=f"{settings.app_id}-{pipeline}-{settings.slot}",
        group_protocol=settings.group_protocol,
        session_timeout_ms=settings.session_timeout_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
    )
