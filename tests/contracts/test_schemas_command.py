"""``wardstock schemas``: what it prints and how it exits, against a real registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents import topics
from app.cli import main
from app.contracts.registry import HttpRegistry
from app.contracts.schemas import subject_of
from tests.contracts.proxy import Proxy
from tests.contracts.samples import changed, without


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs ``wardstock schemas …`` with a registry's URL."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def run(self, url: str, *arguments: str) -> Said:
        self._monkeypatch.setenv("WARDSTOCK_REGISTRY_URL", url)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["schemas", *arguments])
        printed = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), printed.out, printed.err)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WARDSTOCK_CONFIG", raising=False)
    return Shell(monkeypatch, capsys)


def test_registering_prints_subject_version_and_id_of_every_topic(shell: Shell, proxy: Proxy) -> None:
    said = shell.run(proxy.url, "register", "--json")
    assert said.code == 0
    assert [row["subject"] for row in said.json] == [subject_of(topic) for topic in topics.ALL]
    assert {row["version"] for row in said.json} == {1}
    assert shell.run(proxy.url, "register", "--json") == said


def test_people_get_the_same_as_a_table(shell: Shell, proxy: Proxy) -> None:
    rows = shell.run(proxy.url, "register", "--json").json
    table = shell.run(proxy.url, "register").out
    assert all(row["subject"] in table and str(row["id"]) in table for row in rows)


def test_a_check_passes_before_and_after_registering(shell: Shell, proxy: Proxy) -> None:
    before = shell.run(proxy.url, "check", "--json")
    shell.run(proxy.url, "register")
    after = shell.run(proxy.url, "check", "--json")
    assert (before.code, after.code) == (0, 0)
    assert {(row["standing"], row["versions"]) for row in before.json} == {("NEW_SUBJECT", 0)}
    assert {(row["standing"], row["versions"]) for row in after.json} == {("REGISTERED", 1)}


def test_what_would_leave_records_unreadable_is_named_and_exits_1(
    shell: Shell, proxy: Proxy, http_registry: HttpRegistry
) -> None:
    http_registry.register("clinical.usage-value", changed(topics.usage, without("cost_center")))
    reason = "added without a default, so older records cannot be read"
    line = f"clinical.usage-value: field cost_center: {reason} (against version 1)"
    objection = {"subject": "clinical.usage-value", "version": 1, "field": "cost_center", "reason": reason}

    check = shell.run(proxy.url, "check", "--json")
    assert (check.code, line in check.err) == (1, True)
    assert check.json[0] == {
        "subject": "clinical.usage-value",
        "standing": "NEW_VERSION",
        "versions": 1,
        "compatible": False,
        "objections": [objection],
    }
    register = shell.run(proxy.url, "register", "--json")
    assert (register.code, register.json) == (1, {"registered": [], "objections": [objection]})
    assert line in register.err


@pytest.mark.parametrize("command", ["check", "register"])
def test_a_registry_that_does_not_answer_exits_3(shell: Shell, command: str) -> None:
    said = shell.run("http://127.0.0.1:9", command)
    assert (said.code, said.out) == (3, "")
    assert "schema registry: http://127.0.0.1:9" in said.err
    assert "WARDSTOCK_REGISTRY_URL" in said.err
