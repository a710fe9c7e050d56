"""The seam between the engine and the bytes of a topic: whoever implements it decides the wire format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from app.runtime.topics import Topic


class Decoded(NamedTuple):
    """A message's record, and the bytes by which two sendings of one event are compared.

    ``body`` leaves out the topic's ``unlike`` fields and every field at its default, so that neither a resend nor a
    later version of the schema changes it. It is empty where the topic drops no repeats (``id_of`` is None).
    """

    record: Any
    body: bytes


Decode = Callable[[bytes], Decoded]
Encode = Callable[[Any], bytes]


class Codec(Protocol):
    """Bytes to records and back, one compiled function per topic."""

    def decoder(self, topic: Topic) -> Decode:
        """A function from a message's value to its record; safe to call from several threads.

        It raises :class:`app.runtime.errors.Undecodable` for a message that can never be worked, and
        :class:`app.runtime.errors.RegistryUnavailable` when its schema cannot be had now. It blocks only on a schema
        it has not seen.
        """
        ...

    def encoder(self, topic: Topic) -> Encode:
        """A function from a record to a message's value; safe to call from several threads, never blocks.

        Getting it may block on the registry and raise :class:`app.runtime.errors.RegistryUnavailable`.
        The function raises ValueError naming the field, its value and what was expected.
        """
        ...
