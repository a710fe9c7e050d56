"""The schema registry: which schema an id means, and which ids and versions a subject has.

Two of them, one protocol: over HTTP (Apicurio's or any other that speaks Confluent's API), and in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from app.contracts.compatibility import Mismatch, mismatches, same_layout
from app.contracts.schemas import resolved
from app.runtime.errors import RegistryUnavailable

LEVEL: Final = "BACKWARD_TRANSITIVE"  # a reader of the newest version reads every older one

_T = TypeVar("_T")


class SchemaNotFound(LookupError):
    """The registry answers, and has no such schema id, or no Avro schema under it."""


class NotRegistered(LookupError):
    """The registry answers, and has not this schema under this subject."""


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a subject: numbered from 1 within it; ``id`` is what messages carry."""

    subject: str
    version: int
    id: int
    schema: str


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a schema may not follow those that a subject has. ``version`` is the one it breaks; None: no single one."""

    subject: str
    version: int | None
    field: str
    reason: str

    def __str__(self) -> str:
        against = "" if self.version is None else f" (against version {self.version})"
        return f"{self.subject}: {f'field {self.field}: ' if self.field else ''}{self.reason}{against}"


class NotCompatible(Exception):
    """Schemas that would leave older records unreadable were not registered; ``objections`` says which and why."""

    def __init__(self, *objections: Objection) -> None:
        super().__init__("\n".join(map(str, objections)))
        self.objections = objections


class Registry(Protocol):
    """What Wardstock asks of a registry. Every call may block, and may raise RegistryUnavailable."""

    def schema(self, schema_id: int) -> str:
        """The Avro schema (JSON text) of an id. Raises SchemaNotFound."""
        ...

    def id_of(self, subject: str, schema: str) -> int:
        """The id under which the subject has this schema, or one of the same layout. Raises NotRegistered."""
        ...

    def register(self, subject: str, schema: str) -> Registered:
        """Adds the schema as the subject's newest version, at level BACKWARD_TRANSITIVE; a repeat changes nothing.

        Raises NotCompatible.
        """
        ...

    def versions(self, subject: str) -> tuple[Registered, ...]:
        """All versions, oldest first; empty for a subject that is not there."""
        ...

    def level(self, subject: str) -> str:
        """The compatibility level that holds for a subject."""
        ...

    def accepts(self, subject: str, schema: str) -> bool:
        """Whether the registry itself would take the schema, by the subject's level."""
        ...


def objections(registry: Registry, subject: str, schema: str) -> tuple[Objection, ...]:
    """Every field that makes a schema unable to read a registered version of its subject, by our own comparison."""
    return _objections(subject, registry.versions(subject), schema)


def _objections(subject: str, versions: tuple[Registered, ...], schema: str) -> tuple[Objection, ...]:
    def against(old: Registered, found: Mismatch) -> Objection:
        return Objection(subject, old.version, found.field, found.reason)

    return tuple(against(old, found) for old in versions for found in mismatches(schema, old.schema))


class LocalRegistry:
    """A registry in memory: ids count up from 1, and the rules of compatibility are kept."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._versions: dict[str, tuple[Registered, ...]] = {}
        self._texts: dict[int, str] = {}

    def schema(self, schema_id: int) -> str:
        try:
            return self._texts[schema_id]
        except KeyError:
            raise SchemaNotFound(f"schema id {schema_id}") from None

    def id_of(self, subject: str, schema: str) -> int:
        return _with_layout(self.versions(subject), subject, schema).id

    def register(self, subject: str, schema: str) -> Registered:
        known = self.versions(subject)
        for version in known:
            if version.schema == schema:
                return version
        if found := _objections(subject, known, schema):
            raise NotCompatible(*found)
        added = Registered(subject, len(known) + 1, next(self._ids), schema)
        self._versions[subject] = (*known, added)
        self._texts[added.id] = schema
        return added

    def versions(self, subject: str) -> tuple[Registered, ...]:
        return self._versions.get(subject, ())

    def level(self, subject: str) -> str:  # noqa: ARG002 - one level for all
        return LEVEL

    def accepts(self, subject: str, schema: str) -> bool:
        return not objections(self, subject, schema)


# --- over HTTP -------------------------------------------------------------------------------------------------------

_APICURIO_PATH: Final = "/apis/ccompat/v7"
_TIMEOUT_S: Final = 3
_UNKNOWN_FOR_S: Final = 30.0
_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA, _NO_LEVEL = 40401, 40402, 40403, 40408


class Secret(Protocol):
    """A value that does not show itself."""

    def get_secret_value(self) -> str: ...


class RegistrySettings(Protocol):
    """The part of the settings that a registry needs."""

    def registry(self) -> str: ...

    @property
    def registry_auth(self) -> Secret | None: ...

    @property
    def registry_ca(self) -> Path | None: ...

    @property
    def registry_certificate(self) -> Path | None: ...

    @property
    def registry_key(self) -> Path | None: ...

    @property
    def registry_key_password(self) -> Secret | None: ...


class _Absent(Exception):
    """The registry understood, and what was asked for is not there."""


class _Refused(Exception):
    """The registry understood, and will not have this schema."""


class HttpRegistry:
    """A registry that speaks Confluent's API. Nothing is connected before the first call; safe to share by threads.

    ``url`` names one that serves this API at its root, or at any path; where the URL has no path and nothing is served
    at the root, Apicurio's path is taken. ``auth`` is ``user:password``. The files are PEM. A call gives up after three
    tries of 3 s each. Schemas are kept for good; an id that is unknown is asked for again after 30 s.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: str | None = None,
        ca: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        key_password: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        given = {
            "basic.auth.user.info": auth,
            "ssl.ca.location": ca,
            "ssl.certificate.location": certificate,
            "ssl.key.location": key,
            "ssl.key.password": key_password,
        }
        self._url = url.rstrip("/")
        self._options = {name: value for name, value in given.items() if value is not None}
        self._monotonic = monotonic
        self._client: SchemaRegistryClient | None = None
        self._texts: dict[int, str] = {}
        self._unknown_until: dict[int, float] = {}

    @classmethod
    def of(cls, settings: RegistrySettings) -> HttpRegistry:
        """The registry that the settings name. Raises what ``settings.registry()`` raises where there is none."""
        return cls(
            settings.registry(),
            auth=_revealed(settings.registry_auth),
            ca=_path(settings.registry_ca),
            certificate=_path(settings.registry_certificate),
            key=_path(settings.registry_key),
            key_password=_revealed(settings.registry_key_password),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def schema(self, schema_id: int) -> str:
        if (text := self._texts.get(schema_id)) is not None:
            return text
        # Many bad messages must not mean as many requests.
        if self._unknown_until.get(schema_id, 0.0) > self._monotonic():
            raise SchemaNotFound(f"schema id {schema_id}")
        try:
            found = self._ask(lambda client: client.get_schema(schema_id))
        except (_Absent, _Refused):
            self._unknown_until[schema_id] = self._monotonic() + _UNKNOWN_FOR_S
            raise SchemaNotFound(f"schema id {schema_id}") from None
        if found.schema_type != "AVRO":
            raise SchemaNotFound(f"schema id {schema_id} is {found.schema_type}, not Avro")
        text = self._texts[schema_id] = str(found.schema_str)
        return text

    def id_of(self, subject: str, schema: str) -> int:
        try:
            return self._lookup(subject, schema).id
        except _Absent:
            return _with_layout(self.versions(subject), subject, schema).id

    def register(self, subject: str, schema: str) -> Registered:
        try:
            # The level first: the registry then judges the very version that is being added.
            self._ask(lambda client: client.set_compatibility(subject, LEVEL))
            self._ask(lambda client: client.register_schema_full_response(subject, _avro(schema)))
            return self._lookup(subject, schema)
        except _Refused as refused:
            found = objections(self, subject, schema) or (Objection(subject, None, "", str(refused)),)
            raise NotCompatible(*found) from None

    def versions(self, subject: str) -> tuple[Registered, ...]:
        try:
            numbers: list[int] = self._ask(lambda client: client.get_versions(subject))
        except _Absent:
            return ()
        return tuple(self._version(subject, number) for number in sorted(numbers))

    def level(self, subject: str) -> str:
        try:
            return str(self._ask(lambda client: client.get_compatibility(subject)))
        except _Absent:
            return str(self._ask(lambda client: client.get_compatibility()))

    def accepts(self, subject: str, schema: str) -> bool:
        try:
            return bool(self._ask(lambda client: client.test_compatibility_all_versions(subject, _avro(schema))))
        except _Absent:
            return True
        except _Refused:
            return False

    def _version(self, subject: str, number: int) -> Registered:
        return _registered(self._ask(lambda client: client.get_version(subject, number)))

    def _lookup(self, subject: str, schema: str) -> Registered:
        return _registered(self._ask(lambda client: client.lookup_schema(subject, _avro(schema))))

    def _ask(self, call: Callable[[SchemaRegistryClient], _T]) -> _T:
        """One request. Raises _Absent, _Refused, or RegistryUnavailable for whatever is no answer to it."""
        try:
            if self._client is None:
                self._client = self._connect()
            return call(self._client)
        except SchemaRegistryError as error:
            if error.error_code in (_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA, _NO_LEVEL):
                raise _Absent from None
            if error.http_status_code in (409, 422):
                raise _Refused(error.error_message) from None
            raise RegistryUnavailable(f"{_shown(self._url)}: {error}") from error
        except RegistryUnavailable:
            raise
        except Exception as error:  # the client passes on whatever its HTTP library raises
            raise RegistryUnavailable(f"{_shown(self._url)}: {type(error).__name__}: {error}") from error

    def _connect(self) -> SchemaRegistryClient:
        paths = ("",) if urlsplit(self._url).path else ("", _APICURIO_PATH)
        for path in paths:
            client = self._client_at(path)
            if _speaks_our_api(client):
                return client
            client.close()
        raise RegistryUnavailable(
            f"{_shown(self._url)}: something answers, but not with Confluent's API "
            f"(Apicurio serves it under {_APICURIO_PATH})"
        )

    def _client_at(self, path: str) -> SchemaRegistryClient:
        bounds = {"timeout": _TIMEOUT_S, "max.retries": 2, "retries.wait.ms": 100, "retries.max.wait.ms": 1000}
        return SchemaRegistryClient({"url": self._url + path, **bounds, **self._options})


def _speaks_our_api(client: SchemaRegistryClient) -> bool:
    try:
        client.get_compatibility()
    except SchemaRegistryError as error:
        if error.http_status_code != 404:
            client.close()
            raise
        return False
    except Exception:
        client.close()
        raise
    return True


def _with_layout(versions: tuple[Registered, ...], subject: str, schema: str) -> Registered:
    """The newest version that writes the same bytes. Raises NotRegistered."""
    ours = resolved(schema)
    for version in reversed(versions):
        if same_layout(ours, resolved(version.schema)):
            return version
    raise NotRegistered(f"{subject}: this version of the schema is not registered; run `wardstock schemas register`")


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _avro(schema: str) -> Schema:
    return Schema(schema, "AVRO")


def _registered(found: Any) -> Registered:
    return Registered(found.subject, found.version, found.schema_id, str(found.schema.schema_str))


def _shown(url: str) -> str:
    """The URL without the password that it may carry."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
