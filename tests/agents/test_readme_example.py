"""The agent that README.md shows is whole: its files, as they stand there, are run here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from app.contracts import schemas
from tests.markdown import README, ROOT, files_in

MODULES = ("tables.warm_readings", "agents.watch_fridges")  # in the order in which they import each other
TEST = "tests/agents/test_watch_fridges.py"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The README's test module, beside its agent and this tree's schemas with the README's among them."""
    shutil.copytree(ROOT / "schemas", tmp_path / "schemas")
    for name, text in files_in(README).items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(schemas, "_directory", lambda: tmp_path / "schemas" / "avro")
    for name in MODULES:
        monkeypatch.setitem(sys.modules, name, module_of(tmp_path / f"{name.replace('.', '/')}.py", name))
    return module_of(tmp_path / TEST, "readme_test_watch_fridges")


def module_of(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def test_the_readmes_agent_passes_the_readmes_test(example: ModuleType) -> None:
    tests = [value for name, value in vars(example).items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()
