"""Which cluster the tests run on."""

from __future__ import annotations

import pytest

from app.embedded import Addresses
from tests.conftest import BOOTSTRAP_SERVERS, REGISTRY_URL, named_cluster


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BOOTSTRAP_SERVERS, raising=False)
    monkeypatch.delenv(REGISTRY_URL, raising=False)


def test_a_cluster_that_the_environment_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_cluster() is None
    monkeypatch.setenv(BOOTSTRAP_SERVERS, "one:9092")
    monkeypatch.setenv(REGISTRY_URL, "http://one:8081")
    assert named_cluster() == Addresses("one:9092", "http://one:8081")


@pytest.mark.parametrize("name", [BOOTSTRAP_SERVERS, REGISTRY_URL])
def test_half_a_cluster_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://one:1")
    with pytest.raises(pytest.UsageError, match=f"{name} is set alone"):
        named_cluster()
