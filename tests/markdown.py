"""Reads the documents of this tree, so that tests can hold what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

_FENCED = re.compile(r"^```(?P<language>\w*) ?(?P<name>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; ``name`` is what follows the language: the file that it is, or the story that it tells."""

    language: str
    name: str
    text: str


def documents() -> list[Path]:
    """Every markdown file that is part of the tree, the README first."""
    return [README, *sorted(ROOT.glob("*.md"), key=lambda path: path != README)[1:], *sorted(ROOT.glob("docs/**/*.md"))]


def blocks(document: Path) -> list[Block]:
    found = _FENCED.finditer(document.read_text(encoding="utf-8"))
    return [Block(match["language"], match["name"].strip(), match["text"]) for match in found]


def files_in(document: Path) -> dict[str, str]:
    """The files that a document shows in full: their path, as it stands behind the fence, and their text."""
    return {block.name: block.text for block in blocks(document) if "." in block.name}


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return _FENCED.sub("", document.read_text(encoding="utf-8"))
