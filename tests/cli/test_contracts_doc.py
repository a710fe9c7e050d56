"""docs/contracts.md says what the code declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents import topics
from app.cli.dlq import ATTEMPT, REPLAYED_FROM
from app.cli.topics import contracts_table, engine_table
from app.config import Settings, variable
from app.runtime.batch import TRACE_HEADERS
from tests.cli.conftest import Run

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "contracts.md").read_text(encoding="utf-8")


def part(name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", PAGE, re.DOTALL)
    assert found, f"docs/contracts.md has no part {name}"
    return found[1]


def test_the_tables_are_those_that_the_command_prints(run: Run) -> None:
    assert part("topics") == contracts_table()
    assert part("engine") == engine_table()
    assert run("topics", "list", "--markdown").out == f"{contracts_table()}\n\n{engine_table()}\n"


def test_every_topic_has_a_line_and_every_schema_that_is_linked_is_there() -> None:
    lines = part("topics").splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [topic.name for topic in topics.ALL]
    links = re.findall(r"\]\((\.\.[^)]*)\)", PAGE)
    assert len(links) == len(topics.ALL)
    assert [link for link in links if not (DOCS / link).is_file()] == []


@pytest.mark.parametrize("name", [*sorted(TRACE_HEADERS), REPLAYED_FROM, ATTEMPT])
def test_every_header_is_told(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_every_setting_that_is_named_is_one_with_the_value_that_is_told() -> None:
    known = {variable(name) for name in Settings.model_fields}
    assert set(re.findall(r"WARDSTOCK_\w+", PAGE)) <= known
    assert f"(`WARDSTOCK_PARTITIONS`, {Settings().partitions})" in PAGE
    assert f"(`WARDSTOCK_DEDUP_HORIZON_DAYS`, {Settings().dedup_horizon_days} days)" in " ".join(PAGE.split())
