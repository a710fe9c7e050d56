"""What every command owes: help with an example, an answer at once, exit codes with a meaning, plain text in a pipe."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version

import pytest
import typer.main

from agents import topics
from app.cli import app
from app.config import Settings
from tests.cli.conftest import OwnTopics, Run, Send

HEAVY = {"confluent_kafka", "faust", "fastavro", "rocksdict", "pydantic", "aiohttp", "structlog", "psutil", "jgo"}


def commands() -> Iterator[tuple[str, ...]]:
    root = typer.main.get_command(app)
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        yield from ((name, sub) for sub in below) if below else ((name,),)


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example_and_speaks_json(run: Run, command: tuple[str, ...]) -> None:
    said = run(*command, "--help")
    assert said.code == 0
    assert "Example:" in said.out
    assert f"wardstock {' '.join(command)}" in " ".join(said.out.split())
    assert "--json" in said.out or command in (("worker",),)


def test_every_command_of_the_house_is_mounted() -> None:
    mounted = {command[0] for command in commands()}
    assert mounted >= {
        *("up", "down", "status", "worker", "topics", "schemas", "tables", "exceptions", "dlq", "lag"),
        *("simulate", "reconcile", "demo", "config", "doctor"),
    }


def test_help_imports_nothing_heavy_and_so_answers_at_once() -> None:
    code = "import sys; import app.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    begun = time.monotonic()
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY & set(loaded.stdout.split()) == set()
    assert time.monotonic() - begun < 5


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"wardstock {version('wardstock')}\n"


def test_a_wrong_setting_is_exit_code_2_and_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_PARTITIONS", "many")
    said = run("config", "show")
    assert said.code == 2
    assert "WARDSTOCK_PARTITIONS is 'many'; expected a valid integer" in said.err
    assert said.out == ""


def test_a_broker_that_does_not_answer_is_exit_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("app.kafka_admin.TIMEOUT_S", 1)
    said = run("topics", "create")
    assert said.code == 3
    assert "no Kafka answers at 127.0.0.1:1" in said.err
    assert "wardstock doctor" in said.err


def test_a_registry_that_does_not_answer_is_exit_code_3(
    run: Run, own_topics: OwnTopics, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(own_topics.dead_letters.name, (b"k", b"\x00\x00\x00\x00\x01rest"))
    monkeypatch.setenv("WARDSTOCK_REGISTRY_URL", "http://127.0.0.1:1")
    said = run("dlq", "ls")
    assert said.code == 3
    assert "schema registry: http://127.0.0.1:1" in said.err


def test_config_show_tells_value_and_origin_and_no_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTOCK_REGISTRY_AUTH", "svc:hunter2")
    monkeypatch.setenv("WARDSTOCK_KAFKA", '{"sasl.password": "hunter2", "sasl.username": "ward"}')
    for arguments in (("config", "show"), ("config", "show", "--json")):
        said = run(*arguments)
        assert "hunter2" not in said.out + said.err
    shown = {row["setting"]: row for row in run("config", "show", "--json").json}
    assert shown["registry_auth"]["origin"] == "environment"
    assert shown["kafka"]["value"] == {"sasl.password": "***", "sasl.username": "ward"}
    assert shown["slot"] == {
        "setting": "slot",
        "value": 0,
        "origin": "default",
        "variable": "WARDSTOCK_SLOT",
        "description": Settings.model_fields["slot"].description,
    }


def test_off_a_terminal_nothing_is_coloured_folded_or_cut(run: Run) -> None:
    said = run("topics", "list")
    assert "\x1b" not in said.out
    (line,) = [line for line in said.out.splitlines() if "inventory.ledger" in line]
    assert "analytics, audit, reconcile" in line


def test_topics_are_made_once_and_what_differs_is_told(
    run: Run, own_topics: OwnTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = run("topics", "create", "--json")
    assert (again.code, again.json) == (0, {"dry_run": False, "made": [], "differences": []})

    monkeypatch.setenv("WARDSTOCK_PARTITIONS", "7")
    said = run("topics", "create", "--dry-run", "--json")
    assert said.code == 1
    assert {"topic": own_topics.usage.name, "what": "partitions", "expected": "7", "found": "4"} in said.json[
        "differences"
    ]
    assert f"differs: {own_topics.usage.name}: partitions is 4; expected 7" in run("topics", "create").out


def test_a_dry_run_makes_nothing(run: Run, own_topics: OwnTopics, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = replace(own_topics.usage, name=f"{unique}.fresh")
    monkeypatch.setattr(topics, "ALL", (fresh,))
    assert run("topics", "create", "--dry-run", "--json").json["would_make"] == [fresh.name]
    assert run("topics", "create", "--dry-run", "--json").json["would_make"] == [fresh.name]
    assert run("topics", "create", "--json").json["made"] == [fresh.name]


def test_doctor_says_what_is_wrong_and_what_to_do(
    run: Run, own_topics: OwnTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = run("doctor", "--json")
    verdicts = {check["name"]: check["verdict"] for check in said.json}
    assert said.code == 0, said.json
    assert verdicts | dict.fromkeys(("kafka", "topics", "registry", "schemas", "state directory"), "ok") == verdicts

    monkeypatch.setenv("WARDSTOCK_PARTITIONS", "7")
    monkeypatch.setenv("WARDSTOCK_REGISTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("WARDSTOCK_STATE_DIR", "/proc/none")
    monkeypatch.setenv("WARDSTOCK_SLOTH", "1")
    said = run("doctor", "--json")
    checks = {check["name"]: check for check in said.json}
    assert said.code == 1
    assert checks["settings"]["verdict"] == "warn"
    assert "WARDSTOCK_SLOTH" in checks["settings"]["found"]
    for name in ("topics", "registry", "state directory"):
        assert checks[name]["verdict"] == "fail"
        assert checks[name]["way_out"]
    assert own_topics.usage.name in checks["topics"]["found"]
