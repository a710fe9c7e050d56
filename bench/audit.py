"""Whether a run did the whole job: its outputs, read back from Kafka, beside what had to come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.contracts.codec import AvroCodec
from app.kafka_admin import Cluster
from bench.fill import Expected
from bench.job import TABLE, Job, Position, Posting, key_of, load

_SHOWN: Final = 3


class WrongResult(Exception):
    """A run lost, doubled or miscounted: its time says nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left behind. ``ids``: the postings' ids; ``last``: the last posting of each key."""

    postings: int
    ids: set[str]
    last: dict[str, Posting]
    positions: dict[str, Position]


def read_outcome(cluster: Cluster, work: Job, codec: AvroCodec) -> Outcome:
    """Under read_committed, from the start. Blocks."""
    decode = codec.decoder(work.postings)
    ids, last, count = set[str](), dict[str, Posting](), 0
    for message in cluster.read(work.postings.name):
        posting: Posting = decode(message.value() or b"").record
        ids.add(posting.event_id)
        last[key_of(posting)] = posting
        count += 1
    changelog = cluster.read(work.pipeline.changelog(TABLE))
    positions = {(message.key() or b"").decode(): load(message.value() or b"") for message in changelog}
    return Outcome(count, ids, last, positions)


def check(outcome: Outcome, expected: Expected, who: str) -> None:
    """Raises ``WrongResult`` that says what differs, and where."""
    if outcome.postings != expected.postings or len(outcome.ids) != expected.postings:
        raise WrongResult(
            f"{who}: got {outcome.postings} postings with {len(outcome.ids)} ids, expected {expected.postings} of each"
        )
    wrong = sorted(
        key
        for key in expected.positions.keys() | outcome.positions.keys()
        if outcome.positions.get(key) != expected.positions.get(key) or not _agrees(outcome, key)
    )
    if wrong:
        shown = "; ".join(f"{key}: {outcome.positions.get(key)}" for key in wrong[:_SHOWN])
        raise WrongResult(f"{who}: {len(wrong)} of {len(expected.positions)} positions are wrong: {shown}")


def _agrees(outcome: Outcome, key: str) -> bool:
    """Whether the key's last posting names the balance that its position has."""
    position, posting = outcome.positions[key], outcome.last.get(key)
    return posting is not None and (position.number, position.on_hand) == (posting.number, posting.on_hand)
