"""The cache of downloaded files, against a Maven repository on this machine: nothing half-done ever counts."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.embedded.artifacts import KAFKA_VERSION, REGISTRY_VERSION, ArtifactCache
from app.embedded.progress import Silent
from app.errors import Unreachable

KAFKA = f"/org/apache/kafka/kafka_2.13/{KAFKA_VERSION}/kafka_2.13-{KAFKA_VERSION}"
SIMPLE = "/org/slf4j/slf4j-simple/1.7.36/slf4j-simple-1.7.36"
RUNNER = f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"
ARCHIVE = f"/io/apicurio/apicurio-registry-app/{REGISTRY_VERSION}/apicurio-registry-app-{REGISTRY_VERSION}-all.tar.gz"


class Repository:
    """A Maven repository over HTTP: ``files`` by path, a right SHA-1 for each, and what was asked for."""

    def __init__(self) -> None:
        self.files = {
            f"{KAFKA}.pom": pom("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
            f"{KAFKA}.jar": b"broker",
            f"{SIMPLE}.pom": pom("org.slf4j", "slf4j-simple", "1.7.36"),
            f"{SIMPLE}.jar": b"logger",
            ARCHIVE: archive({RUNNER: b"runner", "lib/one.jar": b"one"}),
        }
        self.wrong_checksum: set[str] = set()
        self.cut_short: set[str] = set()
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def body(self, path: str) -> bytes | None:
        if not path.endswith(".sha1"):
            return self.files.get(path)
        body = self.files[path.removesuffix(".sha1")]
        wrong = path.removesuffix(".sha1") in self.wrong_checksum
        return hashlib.sha1(body + b"?" * wrong).hexdigest().encode()

    def _handler(repository: Repository) -> type[BaseHTTPRequestHandler]:  # noqa: N805 `self` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.asked.append(self.path)
                body = repository.body(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                sent = (body or b"")[:-1] if self.path in repository.cut_short else body or b""
                self.wfile.write(sent)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the signature is the library's
                """Keeps the test's output clean."""

        return Handler


def pom(group: str, name: str, version: str) -> bytes:
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></project>"
    ).encode()


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def repository() -> Iterator[Repository]:
    served = Repository()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


@pytest.fixture
def cache(tmp_path: Path, repository: Repository) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", repository.url)


def test_what_is_installed_is_used_without_asking_again(cache: ArtifactCache, repository: Repository) -> None:
    jars, runner = cache.kafka(Silent()), cache.registry(Silent())
    assert [jar.read_bytes() for jar in jars] == [b"broker", b"logger"]
    assert runner.read_bytes() == b"runner"
    repository.asked.clear()
    assert (cache.kafka(Silent()), cache.registry(Silent())) == (jars, runner)
    assert repository.asked == []


@pytest.mark.parametrize("path", [f"{KAFKA}.jar", ARCHIVE])
def test_a_download_that_breaks_off_never_counts_and_is_made_up_for(
    path: str, cache: ArtifactCache, repository: Repository
) -> None:
    repository.cut_short.add(path)
    with pytest.raises(Unreachable, match="cannot download"):
        install(cache)
    assert not list(cache.directory.rglob(path.rsplit("/", 1)[1]))
    repository.cut_short.clear()
    install(cache)


@pytest.mark.parametrize("path", [f"{KAFKA}.pom", f"{KAFKA}.jar", ARCHIVE])
def test_a_file_with_another_checksum_is_refused(path: str, cache: ArtifactCache, repository: Repository) -> None:
    repository.wrong_checksum.add(path)
    with pytest.raises(Unreachable, match=r"came with SHA-1 \w+, expected \w+"):
        install(cache)
    assert not list(cache.directory.rglob(path.rsplit("/", 1)[1]))


def test_a_file_that_the_repository_does_not_have_is_named(cache: ArtifactCache, repository: Repository) -> None:
    del repository.files[f"{SIMPLE}.jar"]
    with pytest.raises(Unreachable, match=r"404.*slf4j-simple-1\.7\.36\.jar"):
        cache.kafka(Silent())


def test_a_jar_that_was_lost_or_cut_is_downloaded_again(cache: ArtifactCache) -> None:
    broker, logger = cache.kafka(Silent())
    broker.write_bytes(b"bro")
    logger.unlink()
    assert [jar.read_bytes() for jar in cache.kafka(Silent())] == [b"broker", b"logger"]


def test_an_archive_unpacked_half_does_not_count(cache: ArtifactCache) -> None:
    half = cache.directory / f"apicurio-registry-{REGISTRY_VERSION}.unpacking"
    half.mkdir(parents=True)
    (half / "left-over").touch()
    assert cache.registry(Silent()).read_bytes() == b"runner"
    assert not half.exists()


def test_of_many_installs_at_once_one_downloads_and_all_get_the_files(tmp_path: Path, repository: Repository) -> None:
    caches = [ArtifactCache(tmp_path / "cache", repository.url) for _ in range(6)]
    with ThreadPoolExecutor(len(caches)) as pool:
        runners = set(pool.map(install, caches))
    assert len(runners) == 1
    assert repository.asked.count(ARCHIVE) == 1
    assert repository.asked.count(f"{KAFKA}.jar") == 1


def install(cache: ArtifactCache) -> tuple[Path, ...]:
    return (*cache.kafka(Silent()), cache.registry(Silent()))
