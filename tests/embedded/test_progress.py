"""Progress: bars for people, lines for everything else."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from app.embedded.progress import LARGE, Lines, shown_on


def test_a_terminal_gets_a_bar_with_name_and_size_and_steps_as_lines() -> None:
    out = StringIO()
    with shown_on(Console(file=out, force_terminal=True, width=100)) as reporter:
        reporter.say("resolving [2 files]")
        with reporter.transfer("broker.jar", 10_000_000) as advance:
            advance(5_000_000)
    assert "resolving [2 files]" in out.getvalue()
    assert "broker.jar" in out.getvalue()
    assert "5.0/10.0 MB" in out.getvalue()


def test_off_a_terminal_there_are_plain_lines_and_no_control_characters() -> None:
    out = StringIO()
    with shown_on(Console(file=out, force_terminal=False, width=100)) as reporter:
        reporter.say("resolving")
        with reporter.transfer("small.jar", LARGE - 1) as advance:
            advance(LARGE - 1)
        with reporter.transfer("broker.jar", 10_000_000) as advance:
            advance(10_000_000)
    assert out.getvalue().splitlines() == ["resolving", "downloading broker.jar, 10 MB"]


def test_a_long_download_tells_how_far_it_is_every_five_seconds() -> None:
    told: list[str] = []
    now = [0.0]
    with Lines(told.append, clock=lambda: now[0]).transfer("broker.jar", 10_000_000) as advance:
        for now[0] in (1.0, 4.9, 5.0, 6.0, 9.9, 10.0):
            advance(1_000_000)
    assert told == [
        "downloading broker.jar, 10 MB",
        "downloading broker.jar: 30%",
        "downloading broker.jar: 60%",
    ]
