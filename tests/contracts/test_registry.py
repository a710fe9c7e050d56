"""One contract for both registries, and what only the one over HTTP must stand."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from app.config import Settings
from app.contracts.evolution import Standing, check
from app.contracts.registry import (
    LEVEL,
    HttpRegistry,
    NotCompatible,
    NotRegistered,
    Objection,
    Registered,
    Registry,
    SchemaNotFound,
)
from app.embedded import Addresses
from app.runtime.errors import RegistryUnavailable
from tests.contracts.proxy import Proxy
from tests.contracts.samples import Schema

SUBJECT = "deliveries-value"


def delivery(*fields: Schema) -> str:
    return json.dumps({"type": "record", "name": "Delivery", "namespace": "t", "fields": fields})


ID: Schema = {"name": "id", "type": "string"}
V1 = delivery(ID)
V2 = delivery(ID, {"name": "dock", "type": ["null", "string"], "default": None})
BROKEN = delivery(ID, {"name": "pallets", "type": "long"})


# --- both ---


def test_a_registered_schema_is_found_by_id_and_by_subject(registry: Registry) -> None:
    made = registry.register(SUBJECT, V1)
    assert made == Registered(SUBJECT, 1, made.id, V1)
    assert registry.schema(made.id) == V1
    assert registry.id_of(SUBJECT, V1) == made.id
    assert registry.versions(SUBJECT) == (made,)
    assert registry.level(SUBJECT) == LEVEL


def test_registering_again_changes_nothing(registry: Registry) -> None:
    first, second = registry.register(SUBJECT, V1), registry.register(SUBJECT, V2)
    assert (registry.register(SUBJECT, V1), registry.register(SUBJECT, V2)) == (first, second)
    assert registry.versions(SUBJECT) == (first, second)
    assert (first.version, second.version) == (1, 2)


def test_a_field_without_a_default_is_refused_by_name(registry: Registry) -> None:
    registry.register(SUBJECT, V1)
    registry.register(SUBJECT, V2)
    with pytest.raises(NotCompatible) as refused:
        registry.register(SUBJECT, BROKEN)
    reason = "added without a default, so older records cannot be read"
    assert refused.value.objections == (
        Objection(SUBJECT, 1, "pallets", reason),
        Objection(SUBJECT, 2, "pallets", reason),
    )
    assert str(refused.value).splitlines()[0] == f"deliveries-value: field pallets: {reason} (against version 1)"
    assert len(registry.versions(SUBJECT)) == 2


def test_compatible_with_the_newest_version_is_not_enough(registry: Registry) -> None:
    """A field dropped and brought back with another type: only the oldest version has anything against it."""
    registry.register(SUBJECT, delivery(ID, {"name": "dock", "type": "string"}))
    registry.register(SUBJECT, V1)
    back = delivery(ID, {"name": "dock", "type": "long", "default": 0})
    with pytest.raises(NotCompatible) as refused:
        registry.register(SUBJECT, back)
    assert refused.value.objections == (Objection(SUBJECT, 1, "dock", "type changed from string to long"),)
    assert not registry.accepts(SUBJECT, back)


def test_a_registry_takes_what_reads_every_version(registry: Registry) -> None:
    registry.register(SUBJECT, V1)
    assert registry.accepts(SUBJECT, V2)
    assert not registry.accepts(SUBJECT, BROKEN)
    assert registry.accepts("never-heard-of-value", BROKEN)


def test_what_is_not_there_is_told_apart(registry: Registry) -> None:
    with pytest.raises(SchemaNotFound, match="schema id 2000000000"):
        registry.schema(2_000_000_000)
    with pytest.raises(NotRegistered, match=r"deliveries-value: .*`wardstock schemas register`"):
        registry.id_of(SUBJECT, V1)
    assert registry.versions(SUBJECT) == ()


def test_a_schema_that_only_reads_differently_to_people_has_the_same_id(registry: Registry) -> None:
    made = registry.register(SUBJECT, V1)
    reworded = delivery({**ID, "doc": "Number of the delivery."})
    assert registry.id_of(SUBJECT, reworded) == made.id


# --- over HTTP ---


def test_a_registry_is_found_at_its_root_or_at_its_path(cluster: Addresses) -> None:
    with HttpRegistry(cluster.registry_url) as root:
        assert root.versions("never-heard-of-value") == ()
    with HttpRegistry(f"{cluster.registry_url.removesuffix('/apis/ccompat/v7')}/apis/ccompat/v7/") as path:
        assert path.versions("never-heard-of-value") == ()


def test_a_registry_that_is_not_there_is_unavailable() -> None:
    with HttpRegistry("http://127.0.0.1:9") as registry, pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9: "):
        registry.schema(1)


def test_something_else_at_the_address_is_no_reason_to_call_an_id_unknown(cluster: Addresses) -> None:
    elsewhere = f"{cluster.registry_url.removesuffix('/apis/ccompat/v7')}/elsewhere"
    with HttpRegistry(elsewhere) as registry, pytest.raises(RegistryUnavailable, match="not with Confluent's API"):
        registry.schema(1)


@pytest.mark.parametrize(
    "answer",
    [
        (503, b"<html>Service Unavailable</html>"),
        (500, b'{"error_code": 50001, "message": "Error in the backend data store"}'),
        (401, b'{"error_code": 401, "message": "Unauthorized"}'),
        (404, b"<html>no such page</html>"),
        (200, b"<html>Please log in</html>"),
    ],
    ids=lambda answer: str(answer[0]),
)
def test_an_answer_that_is_none_makes_the_registry_unavailable_and_not_the_id_unknown(
    proxy: Proxy, http_registry: HttpRegistry, answer: tuple[int, bytes]
) -> None:
    made = http_registry.register(SUBJECT, V1)
    proxy.intercept = lambda request: answer if "/schemas/ids/" in request else None
    with pytest.raises(RegistryUnavailable):
        _ask(proxy, made)
    proxy.intercept = lambda _: None
    assert _ask(proxy, made) == V1


def _ask(proxy: Proxy, made: Registered) -> str:
    with HttpRegistry(proxy.url) as fresh:
        return fresh.schema(made.id)


def test_a_hiccup_is_not_noticed(proxy: Proxy, http_registry: HttpRegistry) -> None:
    made = http_registry.register(SUBJECT, V1)
    answers = iter([(503, b""), (503, b"")])
    proxy.intercept = lambda request: next(answers, None) if "/schemas/ids/" in request else None
    assert _ask(proxy, made) == V1


def test_a_schema_is_fetched_once(proxy: Proxy, http_registry: HttpRegistry) -> None:
    made = http_registry.register(SUBJECT, V1)
    with HttpRegistry(proxy.url) as fresh:
        fresh.schema(made.id)
        before = len(proxy.requests)
        assert [fresh.schema(made.id) for _ in range(3)] == [V1] * 3
    assert len(proxy.requests) == before


def test_an_unknown_id_is_not_asked_for_at_every_message(proxy: Proxy) -> None:
    seconds = [0.0]
    with HttpRegistry(proxy.url, monotonic=lambda: seconds[0]) as registry:
        for now in (0.0, 1.0, 29.0, 31.0):
            seconds[0] = now
            with pytest.raises(SchemaNotFound):
                registry.schema(2_000_000_000)
    assert sum("/schemas/ids/" in path for _, path in proxy.requests) == 2


def test_credentials_are_sent_and_not_shown(proxy: Proxy) -> None:
    with HttpRegistry(proxy.url, auth="svc:s3cret") as registry:
        registry.versions(SUBJECT)
    assert {b64decode(str(given).removeprefix("Basic ")) for given in proxy.credentials} == {b"svc:s3cret"}
    with HttpRegistry("http://svc:s3cret@127.0.0.1:9") as away, pytest.raises(RegistryUnavailable) as caught:
        away.versions(SUBJECT)
    assert "s3cret" not in str(caught.value)


def test_the_settings_name_the_registry(proxy: Proxy) -> None:
    settings = Settings.load(registry_url=proxy.url, registry_auth="svc:s3cret")
    with HttpRegistry.of(settings) as registry:
        assert registry.versions(SUBJECT) == ()
    assert None not in proxy.credentials


def test_a_certificate_authority_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = Settings.load(registry_url="https://127.0.0.1:9", registry_ca=tmp_path / "none.pem")
    with HttpRegistry.of(settings) as registry, pytest.raises(RegistryUnavailable, match="No such file"):
        registry.versions(SUBJECT)


def test_a_looser_level_is_an_objection(proxy: Proxy, http_registry: HttpRegistry) -> None:
    http_registry.register(SUBJECT, V1)
    proxy.answer("PUT", f"/apis/ccompat/v7/config/{SUBJECT}", b'{"compatibility": "NONE"}')
    found = check(http_registry, SUBJECT, V2)
    assert found.standing is Standing.NEW_VERSION
    assert [str(why) for why in found.objections] == [
        "deliveries-value: compatibility level is NONE, expected BACKWARD_TRANSITIVE; `wardstock schemas register` "
        "sets it"
    ]
    http_registry.register(SUBJECT, V2)
    assert check(http_registry, SUBJECT, V2).objections == ()


def test_what_the_registry_refuses_by_rules_of_its_own_is_told(proxy: Proxy, http_registry: HttpRegistry) -> None:
    http_registry.register(SUBJECT, V1)
    refusal = json.dumps({"error_code": 42201, "message": "Schema must have a doc"}).encode()
    proxy.intercept = lambda request: (422, refusal) if request.startswith("POST") else None
    with pytest.raises(NotCompatible, match="deliveries-value: Schema must have a doc"):
        http_registry.register(SUBJECT, V2)
    assert [why.reason for why in check(http_registry, SUBJECT, V2).objections] == [
        "the registry refuses it by a rule of its own"
    ]
