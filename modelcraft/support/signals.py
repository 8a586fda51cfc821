"""Handle Ctrl-C and SIGTERM: end a training after the current step, anything else at once."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def graceful_stop() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of ending; a second signal acts at once, as before."""
    stop: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        stop.append(signum)
        signal.signal(signum, before[signum])

    with _handled(note, signal.SIGINT, signal.SIGTERM) as before:
        yield stop


@contextlib.contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, with a KeyboardInterrupt that carries the signal's number."""

    def end(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)

    with _handled(end, signal.SIGTERM):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *numbers: int) -> Iterator[dict[int, Any]]:
    before: dict[int, Any] = {}
    try:
        for number in numbers:
            with contextlib.suppress(ValueError):  # not the main thread, which handles signals
                before[number] = signal.signal(number, handler)
        yield before
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
