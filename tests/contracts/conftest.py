"""A registry of the test's own: the session's real one, behind a proxy that sets its subjects apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.contracts.registry import HttpRegistry, LocalRegistry, Registry
from app.embedded import Addresses
from tests.contracts.proxy import Proxy


@pytest.fixture
def proxy(cluster: Addresses, unique: str) -> Iterator[Proxy]:
    with Proxy(cluster.registry_url, unique) as running:
        yield running


@pytest.fixture
def http_registry(proxy: Proxy) -> Iterator[HttpRegistry]:
    with HttpRegistry(proxy.url) as registry:
        yield registry


@pytest.fixture(params=["local", "http"])
def registry(request: pytest.FixtureRequest) -> Registry:
    """Each of the two, for what both must do."""
    if request.param == "local":
        return LocalRegistry()
    return request.getfixturevalue("http_registry")  # type: ignore[no-any-return]
