"""The embedded stack, real: what starts, what is found again, what stays and what goes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from typer.testing import CliRunner, Result

from app.cli import stack as commands
from app.embedded import Addresses, processes, running_addresses
from app.embedded.artifacts import ArtifactCache
from app.embedded.progress import Lines
from app.embedded.stack import Stack
from app.embedded.state import LOOPBACK, Ports, Remembered, recall, remember
from app.errors import ConfigError, Conflict, Fault, Unreachable

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
SCHEMA = Schema(json.dumps({"type": "record", "name": "Count", "fields": [{"name": "n", "type": "int"}]}), "AVRO")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Addresses]]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        yield stack, stack.start()
    finally:
        stack.stop()


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Stack]:
    """A stack that nothing was started of; whatever a test starts of it ends with the test."""
    stack = Stack(tmp_path / "stack")
    yield stack
    stack.stop()


def command(*arguments: object) -> Result:
    app = typer.Typer()
    commands.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_broker_and_registry_answer_once_start_returns(running: tuple[Stack, Addresses]) -> None:
    _, addresses = running
    admin = AdminClient({"bootstrap.servers": addresses.bootstrap_servers})
    assert len(admin.list_topics(timeout=5).brokers) == 1
    with SchemaRegistryClient({"url": f"{addresses.registry_url}/apis/ccompat/v7"}) as registry:
        assert registry.get_subjects() == []


def test_addresses_are_found_by_the_directory_alone(running: tuple[Stack, Addresses]) -> None:
    stack, addresses = running
    assert running_addresses(stack.directory) == addresses
    assert running_addresses(stack.directory / "elsewhere") is None


def test_a_second_up_says_so_and_starts_nothing(running: tuple[Stack, Addresses]) -> None:
    stack, _ = running
    before = {process.pid for process in processes.of_stack(stack.directory)}
    again = command("up", "--stack-dir", stack.directory)
    assert again.exit_code == 0
    assert "already up" in again.stderr
    assert {process.pid for process in processes.of_stack(stack.directory)} == before


def test_status_names_pids_ports_versions_and_places(running: tuple[Stack, Addresses]) -> None:
    stack, addresses = running
    result = command("status", "--stack-dir", stack.directory, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["up"] is True
    assert found["directory"] == str(stack.directory)
    assert [member["address"] for member in found["members"]] == [addresses.bootstrap_servers, addresses.registry_url]
    for member in found["members"]:
        assert member["pid"] in {process.pid for process in processes.of_stack(stack.directory)}
        assert member["memory_mb"] > 0
        assert Path(member["log"]).stat().st_size > 0


def test_a_port_in_use_is_refused_with_its_holder_and_the_way_out(idle: Stack) -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(Conflict, match=rf"port {port} is in use by .*\(pid {os.getpid()}\)") as refused:
            idle.start(kafka_port=port)
        assert refused.value.way_out is not None
        assert "another port" in refused.value.way_out
    assert processes.of_stack(idle.directory) == []


def test_one_port_for_two_is_refused(idle: Stack) -> None:
    with pytest.raises(ConfigError, match="port 28081 is asked for twice"):
        idle.start(kafka_port=28081, registry_port=28081)


def test_status_of_a_stack_that_is_down_exits_1(idle: Stack) -> None:
    result = command("status", "--stack-dir", idle.directory)
    assert result.exit_code == 1
    assert "wardstock up" in result.stderr


def test_down_of_a_stack_that_is_down_is_no_error(idle: Stack) -> None:
    result = command("down", "--stack-dir", idle.directory)
    assert result.exit_code == 0
    assert "nothing ran" in result.stdout


def test_a_reused_pid_is_stale_and_its_process_is_left_alone(idle: Stack) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    idle.directory.mkdir()
    remember(idle.directory, Remembered(Ports(20001, 20002, 20003), {"kafka": bystander.pid}, ready=True))
    assert running_addresses(idle.directory) is None
    assert idle.status().stale == (f"kafka (pid {bystander.pid})",)

    told: list[str] = []
    assert idle.stop(Lines(told.append)) == []
    assert "stale pid file" in told[0]
    assert idle.status().stale == ()
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_a_pid_file_that_is_not_one_counts_as_none(idle: Stack) -> None:
    idle.directory.mkdir()
    (idle.directory / "stack.json").write_text('{"pids": 7}')
    assert recall(idle.directory) is None
    assert running_addresses(idle.directory) is None
    assert not idle.status().up


def test_without_files_and_without_network_up_names_the_way_out(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", ArtifactCache(tmp_path / "cache", NOWHERE))
    with pytest.raises(Unreachable, match=NOWHERE) as refused:
        stack.start()
    assert refused.value.way_out is not None
    assert "--repository" in refused.value.way_out
    assert processes.of_stack(stack.directory) == []


def test_a_broker_that_ends_while_it_starts_is_reported_with_its_log_and_leaves_no_process(idle: Stack) -> None:
    (idle.directory / "kafka").mkdir(parents=True)
    (idle.directory / "kafka" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=99\n")
    with pytest.raises(Fault, match=r"(?s)kafka ended while it started.*99") as failed:
        idle.start()
    assert failed.value.way_out is not None
    assert "kafka.log" in failed.value.way_out
    assert processes.of_stack(idle.directory) == []
    assert running_addresses(idle.directory) is None


def test_down_ends_what_a_killed_start_left(idle: Stack) -> None:
    program = (
        f"from pathlib import Path; from app.embedded.stack import Stack; Stack(Path({str(idle.directory)!r})).start()"
    )
    starter = subprocess.Popen([sys.executable, "-c", program])
    while not processes.of_stack(idle.directory):
        assert starter.poll() is None
        time.sleep(0.02)
    starter.kill()
    starter.wait()

    assert running_addresses(idle.directory) is None
    assert idle.stop() != []
    assert processes.of_stack(idle.directory) == []


def test_topics_schema_ids_and_ports_survive_a_killed_registry_and_a_start_without_network(
    running: tuple[Stack, Addresses], unique: str
) -> None:
    """Last in this module: it takes the running stack down."""
    stack, addresses = running
    admin = AdminClient({"bootstrap.servers": addresses.bootstrap_servers})
    admin.create_topics([NewTopic(unique, 3)])[unique].result()
    with SchemaRegistryClient({"url": f"{addresses.registry_url}/apis/ccompat/v7"}) as registry:
        number = registry.register_schema(f"{unique}-value", SCHEMA)
    pids = {member.name: member.pid for member in stack.status().members}
    registry_process = psutil.Process(pids["registry"])
    os.killpg(registry_process.pid, signal.SIGKILL)
    registry_process.wait()
    assert stack.status().stale == (f"registry (pid {pids['registry']})",)
    assert running_addresses(stack.directory) is None

    told: list[str] = []
    offline = Stack(stack.directory, ArtifactCache(repository=NOWHERE))
    assert offline.start(Lines(told.append)) == addresses
    assert "stale pid file" in told[0]
    assert told[1] == f"stopped what an earlier start had left running: pid {pids['kafka']}"
    topics = AdminClient({"bootstrap.servers": addresses.bootstrap_servers}).list_topics(timeout=5).topics
    assert len(topics[unique].partitions) == 3
    with SchemaRegistryClient({"url": f"{addresses.registry_url}/apis/ccompat/v7"}) as registry:
        assert json.loads(str(registry.get_schema(number).schema_str)) == json.loads(str(SCHEMA.schema_str))

    down = command("down", "--stack-dir", stack.directory, "--erase", "--json")
    assert len(json.loads(down.stdout)["stopped"]) == 2
    assert [left.name for left in stack.directory.iterdir()] == ["lock"]
    assert processes.of_stack(stack.directory) == []
    assert running_addresses(stack.directory) is None
