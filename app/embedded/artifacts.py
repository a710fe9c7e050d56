"""The broker's and the registry's files: resolved by jgo, kept in one cache that all checkouts share.

Nothing half-done counts as there: a file gets its name after its checksum was right, a list of files is written after
all of them, an archive is unpacked aside and moved into place. One process at a time installs; the others wait.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import requests
from jgo.maven import Artifact, Dependency, DependencyNode, MavenContext, PythonResolver, Resolver
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from app.embedded.locks import locked
from app.embedded.progress import Reporter
from app.errors import Unreachable

KAFKA_VERSION = "4.3.1"
REGISTRY_VERSION = "2.6.13.Final"
CENTRAL = "https://repo1.maven.org/maven2"

# kafka_2.13 asks for SLF4J and leaves the choice of a logger open; without one, the broker's log is empty.
_KAFKA = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_PARALLEL = 6
_CHUNK = 256 * 1024
_TIMEOUT_S = 20.0
_WAY_OUT = (
    "go online once and run `wardstock up` again, name a mirror with --repository, or use another cluster: "
    "WARDSTOCK_BOOTSTRAP_SERVERS and WARDSTOCK_REGISTRY_URL"
)


def default_directory() -> Path:
    """$XDG_CACHE_HOME/wardstock, or ~/.cache/wardstock."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wardstock"


class ArtifactCache:
    """Files from a Maven repository, on disk. Once installed, no method touches the network."""

    def __init__(self, directory: Path | None = None, repository: str = CENTRAL) -> None:
        self.directory = directory or default_directory()
        self._repository = repository.rstrip("/")

    def kafka(self, reporter: Reporter) -> tuple[Path, ...]:
        """The broker's jars, downloaded first where they are not there yet (43 MB).

        May block on the network and on another process that installs. Raises :class:`Unreachable`.
        """
        listing = self.directory / f"kafka-{KAFKA_VERSION}.json"
        present = self._listed(listing)
        if present:
            return present
        with self._locked(reporter):
            return self._listed(listing) or self._install_kafka(listing, reporter)

    def registry(self, reporter: Reporter) -> Path:
        """The registry's runner jar, downloaded and unpacked first where it is not there yet (142 MB).

        May block on the network and on another process that installs. Raises :class:`Unreachable`.
        """
        home = self.directory / f"apicurio-registry-{REGISTRY_VERSION}"
        if not home.is_dir():
            with self._locked(reporter):
                if not home.is_dir():
                    self._install_registry(home, reporter)
        return home / f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"

    def _listed(self, listing: Path) -> tuple[Path, ...]:
        """The files of a list, or none where one of them is missing or has another size than it was given."""
        entries = self._entries(listing)
        return tuple(entries) if all(_size(path) == size for path, size in entries.items()) else ()

    def _entries(self, listing: Path) -> dict[Path, int]:
        try:
            return {self.directory / name: size for name, size in json.loads(listing.read_text(encoding="utf-8"))}
        except (OSError, ValueError):
            return {}

    def _discard_damaged(self, listing: Path) -> None:
        for path, size in self._entries(listing).items():
            if _size(path) != size:
                path.unlink(missing_ok=True)

    def _install_kafka(self, listing: Path, reporter: Reporter) -> tuple[Path, ...]:
        reporter.say(f"Apache Kafka {KAFKA_VERSION}: resolving its files")
        self._discard_damaged(listing)  # jgo would take them as they are
        with self._context(reporter) as context:
            wanted = [context.create_dependency(coordinate) for coordinate in _KAFKA]
            named, needed = context.resolver.resolve(wanted)
            artifacts = [dependency.artifact for dependency in (*named, *needed)]
            with ThreadPoolExecutor(_PARALLEL) as pool:
                jars = tuple(pool.map(Artifact.resolve, artifacts))
        entries = [(str(jar.relative_to(self.directory)), jar.stat().st_size) for jar in jars]
        _write(listing, json.dumps(entries, indent=0))
        reporter.say(f"Apache Kafka {KAFKA_VERSION}: {len(jars)} files, {_megabytes(jars):.0f} MB")
        return jars

    def _install_registry(self, home: Path, reporter: Reporter) -> None:
        reporter.say(f"Apicurio Registry {REGISTRY_VERSION}: downloading")
        with self._context(reporter) as context:
            component = context.project("io.apicurio", "apicurio-registry-app").at_version(REGISTRY_VERSION)
            archive = component.artifact(classifier="all", packaging="tar.gz").resolve()
        reporter.say(f"Apicurio Registry {REGISTRY_VERSION}: {_megabytes([archive]):.0f} MB, unpacking")
        aside = home.with_name(f"{home.name}.unpacking")
        shutil.rmtree(aside, ignore_errors=True)
        with tarfile.open(archive) as packed:
            packed.extractall(aside, filter="data")
        os.replace(aside, home)
        archive.unlink()  # its contents are what is kept

    @contextmanager
    def _context(self, reporter: Reporter) -> Iterator[MavenContext]:
        with closing(Downloads(reporter)) as downloads:
            try:
                yield MavenContext(
                    resolver=downloads,
                    repo_cache=self.directory / "maven",
                    local_repos=[],
                    remote_repos={"repository": self._repository},
                )
            except requests.RequestException as error:
                raise Unreachable(f"cannot download from {self._repository}: {error}", _WAY_OUT) from error

    def _locked(self, reporter: Reporter) -> AbstractContextManager[None]:
        return locked(
            self.directory / "lock", lambda: reporter.say("another process installs the same files; waiting for it")
        )


class Downloads(Resolver):
    """jgo's resolver, but a file is checked against its SHA-1 before it gets its name, and connections are kept."""

    def __init__(self, reporter: Reporter) -> None:
        self._graph = PythonResolver()
        self._reporter = reporter
        self._session = requests.Session()
        retry = Retry(total=4, connect=1, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
        adapter = HTTPAdapter(max_retries=retry, pool_maxsize=_PARALLEL)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def close(self) -> None:
        self._session.close()

    def download(self, artifact: Artifact) -> Path:
        """Fetches one file into the cache. Blocks; raises ``requests.RequestException`` or :class:`Unreachable`."""
        (repository,) = artifact.context.remote_repos.values()
        url = f"{repository}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        target = artifact.context.repo_cache / artifact.component.path_prefix / artifact.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.part")
        actual = self._fetch(url, artifact.filename, partial)
        expected = self._get(f"{url}.sha1").text.split()[0]
        if actual != expected:
            partial.unlink()
            raise Unreachable(f"{url} came with SHA-1 {actual}, expected {expected}", _WAY_OUT)
        os.replace(partial, target)
        return target

    def _fetch(self, url: str, name: str, partial: Path) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        with self._get(url) as answer, partial.open("wb") as file:
            size = int(answer.headers.get("content-length", 0))
            with self._reporter.transfer(name, size) as advance:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    advance(len(chunk))
        return digest.hexdigest()

    def _get(self, url: str) -> requests.Response:
        answer = self._session.get(url, stream=True, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer

    def resolve(
        self, dependencies: list[Dependency], transitive: bool = True, optional_depth: int = 0
    ) -> tuple[list[Dependency], list[Dependency]]:
        return self._graph.resolve(dependencies, transitive, optional_depth)

    def get_dependency_list(
        self, dependencies: list[Dependency], transitive: bool = True, optional_depth: int = 0
    ) -> tuple[DependencyNode, list[DependencyNode]]:
        return self._graph.get_dependency_list(dependencies, transitive, optional_depth)

    def get_dependency_tree(self, dependencies: list[Dependency], optional_depth: int = 0) -> DependencyNode:
        return self._graph.get_dependency_tree(dependencies, optional_depth)


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    os.replace(scratch, path)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _megabytes(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6
