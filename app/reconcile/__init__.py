"""Do the books balance? Reads what is on Kafka and checks it by rules of its own.

Nothing here comes from the engine, its tables or the domain's rules: a fault there must not hide itself here. Only
the names of topics and of the records' fields are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.reconcile.check import check
from app.reconcile.findings import Difference, Kind, Rule
from app.reconcile.gather import FIRST, OPTIONAL, Gathering
from app.reconcile.log import Reader
from app.reconcile.report import Report, now_ms
from app.reconcile.wire import Schemas, Wire

__all__ = ["Difference", "Kind", "Report", "Rule", "reconcile"]


def reconcile(
    client_config: Mapping[str, Any],
    registry_url: str,
    registry_auth: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    registry_options: Mapping[str, str] | None = None,
    prefix: str = "",
) -> Report:
    """Check the books of a drained system; on one that still works, what is under way shows as lost.

    ``client_config`` is for librdkafka, with ``bootstrap.servers``. ``registry_auth`` is ``user:password``;
    ``registry_options`` are further properties of the registry client (``ssl.ca.location`` …). ``on_progress`` is
    told offsets read and offsets in all. ``prefix`` stands before every topic's name. Blocks until all was read.
    Raises ``app.errors.Unreachable`` where a broker or the registry does not answer, ``app.errors.Conflict`` where a
    topic is missing.
    """
    with Schemas(registry_url, registry_auth, registry_options or {}) as schemas:
        gathering = Gathering(Wire(schemas.text).decode)
        required = [name for name in gathering.topics if name not in OPTIONAL]
        reader = Reader(client_config, required, OPTIONAL, prefix)
        reader.read(FIRST, gathering.take, on_progress)
        reader.read([name for name in gathering.topics if name not in FIRST], gathering.take, on_progress)
    history = gathering.finish()
    history.low = {part: extent.low for part, extent in reader.extents.items()}
    history.kept_since = reader.kept_since()
    return check(history, now_ms())
