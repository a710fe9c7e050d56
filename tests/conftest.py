"""The cluster that tests run on: one the environment names, or containers, or the embedded stack. Always a real one."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from app.embedded import Addresses, kafka, ports, registry
from app.embedded.artifacts import KAFKA_VERSION, REGISTRY_VERSION
from app.embedded.stack import Stack
from app.embedded.state import LOOPBACK, Ports

BOOTSTRAP_SERVERS = "WARDSTOCK_TEST_BOOTSTRAP_SERVERS"
REGISTRY_URL = "WARDSTOCK_TEST_REGISTRY_URL"
STACK_PREFIX = "wardstock-tests-"
CONTAINER_READY_WITHIN_S = 90.0


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Addresses]:
    """``.bootstrap_servers`` and ``.registry_url`` of a real Kafka and registry, shared by the whole session.

    Taken from the environment where both variables are set, else started in Docker where an engine answers, else the
    embedded stack in a directory of its own. Fails where none of them works.
    """
    with ExitStack() as owned:
        found = named_cluster() or contained_cluster(owned) or embedded_cluster(owned)
        reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\ncluster: {found.bootstrap_servers}, {found.registry_url}")
        yield found


@pytest.fixture
def unique() -> str:
    """A short prefix for this test's app id, topics and subjects, so that tests share one broker."""
    return f"t{uuid.uuid4().hex[:10]}"


def named_cluster() -> Addresses | None:
    """The cluster that the environment names. Raises where it names half of one."""
    named = {name: os.environ[name] for name in (BOOTSTRAP_SERVERS, REGISTRY_URL) if os.environ.get(name)}
    if len(named) == 1:
        raise pytest.UsageError(f"{next(iter(named))} is set alone; {BOOTSTRAP_SERVERS} and {REGISTRY_URL} go together")
    return Addresses(named[BOOTSTRAP_SERVERS], named[REGISTRY_URL]) if named else None


def contained_cluster(owned: ExitStack) -> Addresses | None:
    """Kafka and the registry in Docker, of the embedded stack's versions and settings.

    None where no engine answers or it cannot get the images.
    """
    if not docker_answers():
        return None
    with ExitStack() as started:
        try:
            addresses = start_containers(started)
        except DockerException:
            return None
        owned.push(started.pop_all())
    return addresses


def start_containers(owned: ExitStack) -> Addresses:
    kafka_port = ports.take_free(set())
    broker = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(kafka_port, kafka_port)
    for name, value in container_properties(kafka_port).items():
        broker.with_env(f"KAFKA_{name.upper().replace('.', '_')}", str(value))
    image = f"apicurio/apicurio-registry-mem:{REGISTRY_VERSION}"
    schemas = DockerContainer(image).with_exposed_ports(8080)
    for container in (broker, schemas):
        owned.enter_context(container)
    addresses = Addresses(f"{LOOPBACK}:{kafka_port}", f"http://{LOOPBACK}:{schemas.get_exposed_port(8080)}")
    until(lambda: kafka.is_ready(addresses.bootstrap_servers, 5), "Kafka in Docker")
    until(lambda: registry.is_ready(addresses.registry_url, 5), "the registry in Docker")
    return addresses


def container_properties(port: int) -> dict[str, str | int]:
    """The embedded broker's settings, listening on every address of its container."""
    inside = kafka.properties(Path("/tmp/kafka"), Ports(kafka=port, controller=9093, registry=8080))
    return {**inside, "listeners": f"PLAINTEXT://:{port},CONTROLLER://:9093"}


def docker_answers() -> bool:
    """Whether a Docker engine can be reached from here."""
    with warnings.catch_warnings():
        # The client leaves its socket open when no engine listens; collected here, it warns here and not in a test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return bool(DockerClient().client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()


def embedded_cluster(owned: ExitStack) -> Addresses:
    """The embedded stack in a fresh directory, ended and removed with the session."""
    end_orphans()
    stack = Stack(Path(tempfile.mkdtemp(prefix=f"{STACK_PREFIX}{os.getpid()}-")))
    owned.callback(remove, stack)
    return stack.start()


def end_orphans() -> None:
    """Ends stacks of sessions that were killed before they could."""
    for place in Path(tempfile.gettempdir()).glob(f"{STACK_PREFIX}*-*"):
        session = place.name.removeprefix(STACK_PREFIX).split("-")[0]
        if session.isdigit() and not psutil.pid_exists(int(session)):
            remove(Stack(place))


def remove(stack: Stack) -> None:
    stack.stop()
    shutil.rmtree(stack.directory)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + CONTAINER_READY_WITHIN_S
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not answer within {CONTAINER_READY_WITHIN_S:.0f} s")
        time.sleep(0.1)
