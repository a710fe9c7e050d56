"""Every line of the log says where in Kafka it happened, whoever logged it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_carries_what_holds_around_it_whichever_library_logs_it() -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    with logs.context(pipeline="inventory", topic="clinical.usage", partition=2, offset=41, trace_id=None):
        structlog.get_logger("engine").info("batch.committed", events=7)
        logging.getLogger("faust").warning("paused %s", "now")
    structlog.get_logger("engine").info("after")

    ours, theirs, after = lines(out)
    place = {"pipeline": "inventory", "topic": "clinical.usage", "partition": 2, "offset": 41}
    assert ours | place | {"event": "batch.committed", "events": 7, "level": "info", "logger": "engine"} == ours
    assert theirs | place | {"event": "paused now", "level": "warning", "logger": "faust"} == theirs
    assert "trace_id" not in ours
    assert "pipeline" not in after
    assert ours["timestamp"].endswith("Z")


def test_an_exception_is_one_line_of_json_with_its_traceback() -> None:
    out = io.StringIO()
    logs.configure("INFO", "json", out)
    try:
        raise ValueError("quantity")
    except ValueError:
        structlog.get_logger("engine").exception("agent.raised")
    (line,) = lines(out)
    assert "ValueError: quantity" in line["exception"]


def test_what_is_below_the_level_is_not_logged() -> None:
    out = io.StringIO()
    logs.configure("warning", "json", out)
    structlog.get_logger("engine").info("quiet")
    logging.getLogger("faust").info("quiet")
    structlog.get_logger("engine").error("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_off_a_terminal_the_log_is_json_and_console_has_no_colours() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    structlog.get_logger("engine").info("started")
    assert lines(out)[0]["event"] == "started"

    out = io.StringIO()
    logs.configure(log_format="console", stream=out)
    structlog.get_logger("engine").info("started", slot=1)
    assert "started" in out.getvalue()
    assert "slot=1" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("traceparent", "facts"),
    [
        (
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
        ),
        ("00-4bf92f35-00f067aa-01", {}),
        (b"\xff\xfe", {}),
        (None, {}),
    ],
)
def test_the_trace_is_taken_from_the_w3c_header(traceparent: str | bytes | None, facts: dict[str, str]) -> None:
    assert logs.trace_facts(traceparent) == facts
