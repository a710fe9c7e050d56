"""What is shipped is what runs: the built wheel, installed away from this tree, where an omission shows."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from agents import topics

ROOT = Path(__file__).parents[1]
VERSION = version("wardstock")

LOADED = """
import agents, app, tables
from agents import topics
from app.contracts.schemas import schema_text
for module in (app, agents, tables):
    print(module.__file__)
for topic in topics.ALL:
    print(topic.name, len(schema_text(topic)))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that has the wheel, in a directory that has nothing of this tree."""

    bin: Path
    home: Path

    def run(self, program: str, *arguments: str) -> str:
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=self.home, capture_output=True, text=True, check=False, env={"PATH": ""})
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT)])
    return next(built.glob("wardstock-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)])
    # Dependencies are taken from here; a path file below another one is not read, so the editable install stays out.
    packages = next((place / "venv" / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(python.parent, place)


def run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_holds_the_packages_and_the_schemas_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"app", "agents", "tables", f"wardstock-{VERSION}.dist-info"}
    for topic in topics.ALL:
        assert f"app/_schemas/avro/{topic.name}/{topic.record.__name__}.avsc" in names
    assert [name for name in names if "__pycache__" in name] == []


def test_every_module_of_the_tree_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        file.relative_to(ROOT).as_posix()
        for room in ("app", "agents", "tables")
        for file in (ROOT / room).rglob("*.py")
    }
    assert ours - names == set()


def test_the_installed_wheel_runs_and_has_its_schemas(installed: Installed) -> None:
    first, *rest = installed.run("python", "-I", "-c", LOADED).splitlines()
    for module in (first, *rest[:2]):
        assert Path(module).is_relative_to(installed.home)
    assert [line.split()[0] for line in rest[2:]] == [topic.name for topic in topics.ALL]
    assert all(int(line.split()[1]) > 0 for line in rest[2:])


def test_the_installed_command_answers(installed: Installed) -> None:
    assert "wardstock" in installed.run("wardstock", "--help")
    assert installed.run("wardstock", "--version") == f"wardstock {VERSION}\n"
    assert "clinical.usage" in installed.run("wardstock", "topics", "list")
    assert "inventory.positions-changelog" in installed.run("wardstock", "tables", "ls")
