"""A worker to which something happens for good: python harmed.py serve.

HARM says what: the event loop, the consumer, the relay or the shutdown stands still.
"""

import asyncio
import os
import time
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownError

from booking_credits.cli import main
from booking_credits.outbox.publisher import Publisher
from booking_credits.outbox.relay import Relay
from booking_credits.posting.post import Poster

LONG_SECONDS = 600


async def block(*_: Any, **__: Any) -> Any:
    """Hold the event loop up."""
    time.sleep(LONG_SECONDS)  # noqa: ASYNC251 - that is the harm


async def hang(*_: Any, **__: Any) -> Any:
    """Let others run, and never come back."""
    await asyncio.sleep(LONG_SECONDS)


async def fail(*_: Any, **__: Any) -> Any:
    """Fail as a consumer does whose coordinator once gave an unexpected answer."""
    raise UnknownError


HARMS: dict[str, tuple[type, str, Any]] = {
    "event loop": (Poster, "post", block),
    "batch": (Poster, "post", hang),
    "consumer": (AIOKafkaConsumer, "getmany", fail),
    "relay": (Publisher, "publish", hang),
    "shutdown": (Relay, "stop", block),
}


if __name__ == "__main__":
    setattr(*HARMS[os.environ["HARM"]])
    main()
