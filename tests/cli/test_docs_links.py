"""What the documents point at is there: files that they link, commands and options that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import app
from tests.markdown import ROOT, blocks, documents, prose

_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
_COMMAND = re.compile(r"\bwardstock((?: [a-z][a-z-]*)+)((?:(?! && | \| )[^\n])*)")
_OPTION = re.compile(r" (--[a-z-]+)")
_ROOT_COMMAND: Any = typer.main.get_command(app)


def broken_links(document: Path) -> list[str]:
    return [link for link in _LINK.findall(prose(document)) if not (document.parent / link).exists()]


def unknown_commands(text: str) -> list[str]:
    """Commands that the text names and the command line has not, options of known ones included."""
    return [problem for match in _COMMAND.finditer(text) for problem in _problems(match[1].split(), match[2])]


def _problems(words: list[str], rest: str) -> list[str]:
    command, path = _ROOT_COMMAND, "wardstock"
    for word in words:
        if not hasattr(command, "commands"):
            break  # the rest are arguments
        if word not in command.commands:
            return [f"{path} {word}"]
        command, path = command.commands[word], f"{path} {word}"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [f"{path} {option}" for option in _OPTION.findall(rest) if option not in known]


def shown_code(document: Path) -> list[str]:
    """Inline code, and the commands in blocks that are typed into a shell."""
    typed = [block.text for block in blocks(document) if block.language in ("sh", "console")]
    return [*re.findall(r"`([^`]+)`", prose(document)), *typed]


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_in_documents_are_there(document: Path) -> None:
    assert [problem for code in shown_code(document) for problem in unknown_commands(code)] == []


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| Command ") :]
    assert [name for name in _ROOT_COMMAND.commands if not re.search(rf"`(wardstock )?{name}\b", table)] == []


def test_what_is_not_there_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md) [gone](gone.md#part) [web](https://kafka.apache.org)")
    assert broken_links(page) == ["gone.md"]
    assert unknown_commands("wardstock fly") == ["wardstock fly"]
    assert unknown_commands("wardstock tables fly") == ["wardstock tables fly"]
    assert unknown_commands("wardstock tables get positions 'H1|ICU' --fly") == ["wardstock tables get --fly"]
    assert unknown_commands("wardstock tables get positions --json") == []
