"""What a run is told, what it answers, and the settings that both sides take from the product."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.config import Settings
from app.contracts.codec import AvroCodec
from app.runtime.kafka_log import KafkaSettings
from bench.job import Job, codec_of, job


@dataclass(frozen=True, slots=True)
class Order:
    """One run in a process of its own. ``name`` is its pipeline, group and prefix of topics; ``messages`` lie ready."""

    name: str
    usage_topic: str
    messages: int
    bootstrap_servers: str
    state_dir: str

    @classmethod
    def read(cls) -> Order:
        """From the process's only argument."""
        return cls(**json.loads(sys.argv[1]))

    def argument(self) -> str:
        return json.dumps(asdict(self))

    def settings(self) -> Settings:
        """The product's own, but for where and under which name."""
        return Settings.load(
            bootstrap_servers=self.bootstrap_servers,
            app_id=self.name,
            state_dir=Path(self.state_dir),
        )

    def job(self) -> Job:
        return job(self.name, self.usage_topic)

    def codec(self) -> AvroCodec:
        return codec_of(self.job())


def kafka_settings(settings: Settings) -> KafkaSettings:
    return KafkaSettings(
        client=settings.client_config(),
        group=settings.app_id,
        transactional_id=f"{settings.app_id}-0",
        group_protocol=settings.group_protocol,
        session_timeout_ms=settings.session_timeout_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
    )


def answer(result: Any) -> None:
    """The process's result, as the last line of its output."""
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
