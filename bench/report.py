"""What is written down: medians, every single run, and what ran."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

import confluent_kafka
from rich.table import Table

from app.cli.output import table_of
from app.embedded.artifacts import KAFKA_VERSION
from bench.restore_run import Restored
from bench.stopwatch import WARM_UP, Timing

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "bench" / "results.json"
_LIBRARIES: Final = ("confluent-kafka", "rocksdict", "fastavro", "orjson", "faust-streaming")
_MEASURED: Final = (
    f"events/s from the first commit with {WARM_UP:.0%} of the messages behind it to the commit of the last one, "
    "both sides alternating in processes of their own after one round that is not counted"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    events: int
    rounds: int
    restore_records: int
    partitions: int


def results(
    timings: Mapping[str, Sequence[Timing]], restores: Sequence[Restored], sizes: Sizes, embedded: bool
) -> dict[str, Any]:
    """The document; ``timings`` by side, both with as many runs. ``embedded``: on a stack of the bench's own."""
    return {
        "position": _position(timings, sizes),
        "restore": {
            "records_per_s": round(median(run.records_per_s for run in restores)),
            "records": sizes.restore_records,
            "runs": [{**asdict(run), "records_per_s": round(run.records_per_s)} for run in restores],
        },
        "ran": _ran(sizes, embedded),
    }


def _position(timings: Mapping[str, Sequence[Timing]], sizes: Sizes) -> dict[str, Any]:
    rates = {side: median(run.events_per_s for run in runs) for side, runs in timings.items()}
    ours, bare = timings["wardstock"], timings["bare_loop"]
    return {
        **{side: round(rate) for side, rate in rates.items()},
        "ratio": round(rates["wardstock"] / rates["bare_loop"], 3),
        "ratios": [round(a.events_per_s / b.events_per_s, 3) for a, b in zip(ours, bare, strict=True)],
        "cpu_us_per_event": {
            side: round(median(run.cpu_us_per_event for run in runs), 2) for side, runs in timings.items()
        },
        "events": sizes.events,
        "measured": _MEASURED,
        "runs": {side: [_run(run) for run in runs] for side, runs in timings.items()},
    }


def _run(timing: Timing) -> dict[str, Any]:
    return {
        "events_per_s": round(timing.events_per_s),
        "events_per_s_with_start": round(timing.events_per_s_with_start),
        "cpu_us_per_event": round(timing.cpu_us_per_event, 2),
        "messages": timing.messages,
        "transactions": timing.transactions,
        "seconds": round(timing.seconds, 3),
    }


def _ran(sizes: Sizes, embedded: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kafka": f"{KAFKA_VERSION}, embedded" if embedded else "as configured",
        "librdkafka": confluent_kafka.libversion()[0],
        **{name: version(name) for name in _LIBRARIES},
        "partitions": sizes.partitions,
        "rounds": sizes.rounds,
    }


def _commit() -> str:
    """The commit that ran, with '+' where the tree differs from it in more than the results."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS.relative_to(ROOT)}")
    return f"{head}+" if head and changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def table(document: Mapping[str, Any]) -> Table:
    """One line a figure: the median, and the single runs it is of."""
    position, restore = document["position"], document["restore"]
    rows = [
        (side, f"{position[side]:,} events/s", _each(position["runs"][side], "events_per_s"))
        for side in ("wardstock", "bare_loop")
    ]
    rows.append(("ratio", f"{position['ratio']:.2f}", "  ".join(f"{ratio:.2f}" for ratio in position["ratios"])))
    cpu = position["cpu_us_per_event"]
    rows.append(("CPU of an event", f"{cpu['wardstock']:.1f} µs / {cpu['bare_loop']:.1f} µs", "wardstock / bare_loop"))
    rows.append(("restore", f"{restore['records_per_s']:,} records/s", _each(restore["runs"], "records_per_s")))
    return table_of(("figure", "median", "runs"), rows)


def _each(runs: Sequence[Mapping[str, Any]], figure: str) -> str:
    return "  ".join(f"{run[figure]:,}" for run in runs)
