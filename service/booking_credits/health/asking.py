"""Asking: whether the worker of this machine is well, for engines that run a program to know.

`python -m booking_credits.health.asking ready` imports little, as it runs every few seconds.
"""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

PROBES: Final = ("live", "ready", "started")

_TIMEOUT_SECONDS: Final = 4


def main() -> int:
    """Return 0 where the probe that the argument names is well, 1 where it is not; say why."""
    probe = sys.argv[1] if len(sys.argv) > 1 else "live"
    if probe not in PROBES:
        sys.stderr.write(f"one of {', '.join(PROBES)}, not {probe}\n")
        return 2
    port = int(os.environ.get("BOOKING_CREDITS_HEALTH_PORT") or 8080)
    try:
        status, body = _ask(port, probe)
    except (OSError, HTTPException) as failure:
        sys.stdout.write(f"no answer: {failure}\n")
        return 1
    sys.stdout.write(body)
    return 0 if status == HTTPStatus.OK else 1


def _ask(port: int, probe: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"/health/{probe}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
