"""``python -m bench``: both sides in turn, then restores, then the figures."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.output import ExitCode, code_of, console, emit, fail
from app.config import Settings
from app.embedded.progress import shown_on
from app.errors import Fault
from bench import report
from bench.audit import WrongResult, check, read_outcome
from bench.cluster import broker, input_topics, own_topics, topics
from bench.fill import Advance, Expected, fill_changelog, fill_usages
from bench.job import Job, codec_of, job
from bench.order import Order
from bench.restore_run import Restored
from bench.stopwatch import Timing

_SIDES: Final = {"wardstock": "bench.wardstock_run", "bare_loop": "bench.bare_loop"}
_RUN_WITHIN_S: Final = 300.0


class RunFailed(Exception):
    """A run's process did not end well; its errors are the text."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One bench on one broker; ``prefix`` begins every name it makes there."""

    settings: Settings
    prefix: str
    directory: Path
    sizes: report.Sizes
    out: Console

    # --- position ---

    def position(self) -> dict[str, list[Timing]]:
        """All rounds, side by side; the first is not counted. Raises ``WrongResult``, ``RunFailed``."""
        source = job(self.prefix, f"{self.prefix}.usage")
        with topics(self.settings, input_topics(self.settings, source)):
            with self._bar("usages", self.sizes.events) as advance:
                encode = codec_of(source).encoder(source.usage)
                expected = fill_usages(self.settings, source, encode, self.sizes.events, advance)
            with self._bar("position runs", len(_SIDES) * (self.sizes.rounds + 1)) as advance:
                timings = [self._round(number, source, expected, advance) for number in range(self.sizes.rounds + 1)]
        return {side: [timing[side] for timing in timings[1:]] for side in _SIDES}

    def _round(self, number: int, source: Job, expected: Expected, advance: Advance) -> dict[str, Timing]:
        timings = {}
        for side in _SIDES:
            timings[side] = timing = self._position_run(f"{self.prefix}-{side}-{number}", side, source, expected)
            figures = f"{timing.events_per_s:10,.0f} events/s, {timing.cpu_us_per_event:.1f} µs of CPU an event"
            self._tell(number, side, figures)
            advance(1)
        return timings

    def _position_run(self, name: str, side: str, source: Job, expected: Expected) -> Timing:
        work = job(name, source.usage.name)
        with topics(self.settings, own_topics(self.settings, work), group=name) as cluster:
            timing = Timing(**self._run(_SIDES[side], name, source.usage.name, self.sizes.events))
            check(read_outcome(cluster, work, codec_of(work)), expected, side)
        return timing

    # --- restore ---

    def restore(self) -> list[Restored]:
        """Restores of one changelog, each into empty stores; the first is not counted. Raises ``RunFailed``."""
        name = f"{self.prefix}-restore"
        work = job(name, f"{self.prefix}.usage")
        settings = self.settings.model_copy(update={"app_id": name})
        with topics(settings, own_topics(settings, work)):
            with self._bar("changelog", self.sizes.restore_records) as advance:
                fill_changelog(settings, work, self.sizes.restore_records, advance)
            with self._bar("restores", self.sizes.rounds + 1) as advance:
                restores = [self._restore_run(number, work, advance) for number in range(self.sizes.rounds + 1)]
        return restores[1:]

    def _restore_run(self, number: int, work: Job, advance: Advance) -> Restored:
        restored = Restored(**self._run("bench.restore_run", work.name, work.usage.name, self.sizes.restore_records))
        if restored.rows != self.sizes.restore_records:
            raise WrongResult(f"restore: got {restored.rows} rows, expected {self.sizes.restore_records}")
        self._tell(number, "restore", f"{restored.records_per_s:10,.0f} records/s")
        advance(1)
        return restored

    # --- processes ---

    def _run(self, module: str, name: str, usage_topic: str, messages: int) -> dict[str, Any]:
        """The answer of one run in a process and a state directory of its own."""
        with tempfile.TemporaryDirectory(dir=self.directory) as state:
            order = Order(name, usage_topic, messages, self.settings.bootstrap(), str(Path(state) / "state"))
            done = subprocess.run(
                (sys.executable, "-m", module, order.argument()),
                cwd=report.ROOT, capture_output=True, text=True, timeout=_RUN_WITHIN_S, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            raise RunFailed(f"{module} ended with {done.returncode}:\n{done.stderr.strip()[-4_000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def _tell(self, number: int, what: str, figures: str) -> None:
        self.out.print(f"{f'round {number}' if number else 'warm-up'}  {what:9} {figures}", markup=False)

    @contextmanager
    def _bar(self, what: str, total: int) -> Iterator[Advance]:
        """A bar on a terminal, nothing elsewhere: there the lines of the runs tell enough."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.out, transient=True, disable=not self.out.is_terminal) as bars:
            task = bars.add_task(what, total=total)
            yield lambda count: bars.advance(task, count)


def run(sizes: report.Sizes, out: Console) -> dict[str, Any]:
    """The whole bench, on a broker that the settings name or on one of its own. Blocks for minutes."""
    with ExitStack() as owned:
        directory = Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="wardstock-bench-")))
        with shown_on(out) as reporter:
            settings = owned.enter_context(broker(reporter, directory / "stack"))
        bench = Bench(settings, f"bench-{uuid.uuid4().hex[:8]}", directory, sizes, out)
        timings, restores = bench.position(), bench.restore()
    return report.results(timings, restores, sizes, embedded=Settings.load().bootstrap_servers is None)


def main(
    events: Annotated[
        int, typer.Option(min=60_000, help="Usages of the position job, 2 % repeats among them.")
    ] = 300_000,
    rounds: Annotated[int, typer.Option(min=1, help="Counted runs of each side, and of the restore.")] = 3,
    restore_records: Annotated[int, typer.Option(min=10_000, help="Records of the changelog.")] = 1_000_000,
    results: Annotated[Path, typer.Option(metavar="FILE", help="Where the figures are written.")] = report.RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the engine beside a loop over confluent-kafka that does the same work, and its restore.

    Starts a Kafka of its own, unless WARDSTOCK_BOOTSTRAP_SERVERS names one. Both sides read the same topic in turn, in
    processes of their own, and each run's outputs are read back and checked. Exits 1 where one of them is wrong.
    """
    sizes = report.Sizes(events, rounds, restore_records, Settings.load().partitions)
    try:
        document = run(sizes, console())
    except (WrongResult, RunFailed) as failure:
        raise fail(str(failure), ExitCode.FOUND) from None
    except Fault as fault:
        raise fail(fault.message, code_of(fault), fault.way_out) from None
    results.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    emit(document, json=as_json, table=lambda: report.table(document))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog="Example: python -m bench --events 1000000 --rounds 5")(main)
    app(prog_name="python -m bench")
