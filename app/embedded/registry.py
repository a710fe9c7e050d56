"""Apicurio Registry, whose ids are kept on disk: the schema of an old message is found after a restart."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from app.embedded import java
from app.embedded.state import LOOPBACK, Ports

PROGRAM = "registry"
SUBJECTS = "/apis/ccompat/v7/subjects"


def command(directory: Path, ports: Ports, runner: Path) -> list[str]:
    """The command that runs the registry with its database in ``directory``."""
    # WRITE_DELAY=0: an id that was given out is on disk, even when the process is killed right after.
    database = f"jdbc:h2:file:{directory / 'registry' / 'schemas'};WRITE_DELAY=0"
    options = (
        "-Xms64m",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",  # it answers a few requests at start: quick to warm up counts, peak speed does not
        f"-Dquarkus.http.host={LOOPBACK}",
        f"-Dquarkus.http.port={ports.registry}",
        f"-Dquarkus.datasource.jdbc.url={database}",
        "-Dquarkus.datasource.jdbc.initial-size=1",
        "-Dquarkus.datasource.jdbc.min-size=1",
        "-Dquarkus.datasource.jdbc.max-size=8",
    )
    return java.command(PROGRAM, directory, options, ("-jar", str(runner)))


def is_ready(url: str, timeout_s: float) -> bool:
    """Whether the registry lists its subjects. Blocks for at most ``timeout_s``."""
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=timeout_s)) as connection:
        try:
            connection.request("GET", SUBJECTS)
            answer = connection.getresponse()
            return answer.status == 200 and isinstance(json.load(answer), list)
        except (OSError, HTTPException, ValueError):
            return False
