"""What the code declares, for the commands that compare it with a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.config import Settings
    from app.kafka_admin import TopicSpec
    from app.runtime.pipeline import Pipeline


def declared(settings: Settings) -> list[TopicSpec]:
    """Every topic of an installation with these settings: declared ones and the engine's own."""
    from agents import topics
    from app.kafka_admin import declared_topics

    return declared_topics(settings, topics.ALL, pipelines().values())


def pipelines() -> Mapping[str, Pipeline]:
    """Every pipeline by its name."""
    from app.main import PIPELINES

    return PIPELINES
