"""Logs: one JSON object a line for machines, short lines for people, with the place in Kafka that a line is about.

Every module logs through ``structlog.get_logger()`` or ``logging``; both come out the same way, on stderr. Facts that
hold for a stretch of work (pipeline, topic, partition, offset, trace) are bound once with :func:`context`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import orjson
import structlog

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")

_SHARED: tuple[structlog.typing.Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.UnicodeDecoder(),
)


def configure(level: str = "INFO", log_format: str | None = None, stream: TextIO | None = None) -> None:
    """Sends all logging to ``stream`` (stderr) as ``json`` or ``console``; None: console on a terminal, else json.

    May be called again, for example by a test; the last call holds. Does not block.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(_renderers(log_format or ("console" if out.isatty() else "json"), out)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The registry's client tells of each request; that is for who debugs.
    logging.getLogger("httpx2").setLevel(logging.NOTSET if root.isEnabledFor(logging.DEBUG) else logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextmanager
def context(**facts: Any) -> Iterator[None]:
    """Adds ``facts`` that are not None to every line logged inside, in this task or thread."""
    with structlog.contextvars.bound_contextvars(**{name: fact for name, fact in facts.items() if fact is not None}):
        yield


def trace_facts(traceparent: str | bytes | None) -> dict[str, str]:
    """``trace_id`` and ``span_id`` (hex) of a W3C traceparent; empty where it is absent or malformed.

    Format: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    text = traceparent.decode("ascii", "replace") if isinstance(traceparent, bytes) else traceparent
    found = _TRACEPARENT.match(text) if text else None
    return {"trace_id": found[1], "span_id": found[2]} if found else {}


def _renderers(log_format: str, out: TextIO) -> tuple[structlog.typing.Processor, ...]:
    if log_format == "console":
        return (structlog.dev.ConsoleRenderer(colors=out.isatty()),)
    return (structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps))


def _formatter(renderers: tuple[structlog.typing.Processor, ...]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _dumps(event: Any, default: Any) -> str:
    return orjson.dumps(event, default=default, option=orjson.OPT_NON_STR_KEYS).decode()
