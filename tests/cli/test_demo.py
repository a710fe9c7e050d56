"""The demo, small: everything real, one worker killed, the books checked, one JSON object at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PROMISED = {
    *("events", "distinct", "lost", "duplicated", "wrong_positions", "triggers", "postings", "exceptions"),
    *("dead_letters", "kills", "seconds"),
}


@pytest.mark.timeout(240)
def test_the_books_balance_although_a_worker_is_killed_and_nothing_stays_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "demo", "--events", "3000", "--seed", "11", "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTOCK_")}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told.keys() >= PROMISED
    assert (told["lost"], told["duplicated"], told["wrong"], told["wrong_positions"]) == (0, 0, 0, 0)
    assert (told["events"], told["kills"]) == (3000, 1)
    assert told["distinct"] < 3000
    assert min(told[name] for name in ("triggers", "postings", "exceptions", "dead_letters")) > 0
    assert not [process for process in psutil.process_iter(["cmdline"]) if is_of(process, tmp_path)]


def is_of(process: psutil.Process, directory: Path) -> bool:
    return any(str(directory) in argument for argument in process.info["cmdline"] or ())
