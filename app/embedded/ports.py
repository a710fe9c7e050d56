"""Free TCP ports on the loopback interface, and who holds one that is not free."""

from __future__ import annotations

import random
import socket
from contextlib import closing

import psutil

from app.embedded.state import LOOPBACK

# Below the range from which systems take the ports of outgoing connections, so that none of these lands on a port
# between our look at it and the listener's bind.
CANDIDATES = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server can listen on ``port``. Blocks for a second at most."""
    return _binds(port) and not answers(port)  # on some systems a bind succeeds beside a listener on all addresses


def _binds(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something accepts connections on ``port``."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def take_free(taken: set[int]) -> int:
    """A free port outside ``taken``. Raises OSError where there is none."""
    for port in random.sample(CANDIDATES, len(CANDIDATES)):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free TCP port between {CANDIDATES.start} and {CANDIDATES.stop - 1} on {LOOPBACK}")


def holder(port: int) -> str:
    """Who listens on ``port``, in words, as far as this user may know."""
    try:
        listeners = (c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
        pid = next((c.pid for c in listeners if c.laddr.port == port and c.pid), None)
        return "another process" if pid is None else f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return "another process"
