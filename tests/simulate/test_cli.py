from __future__ import annotations

import os
import signal

import pytest
import typer
from typer.testing import CliRunner

from app.cli.simulate import progress, register, stop_on_signals
from app.errors import ConfigError


def application() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_a_share_that_cannot_be_is_refused_before_anything_is_connected() -> None:
    result = CliRunner().invoke(application(), ["simulate", "--repeats", "2"])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message == "repeats is 2.0; expected a share from 0 to 1"


def test_the_help_has_an_example() -> None:
    result = CliRunner().invoke(application(), ["simulate", "--help"])
    assert "Example: wardstock simulate" in result.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_run_to_stop_and_is_itself_again_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert signal.getsignal(number) == before
    assert signal.getsignal(number) == before


def test_off_a_terminal_progress_is_lines_far_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("app.cli.simulate.time.monotonic", lambda: next(times))
    with progress(500) as on_progress:
        on_progress(1)
        on_progress(300)
        on_progress(310)
    assert capsys.readouterr().err == "published 300 of 500 events\n"
