"""The events that sessions have not read yet, with a limit per address and in total."""

from asyncio import Queue
from collections import Counter
from typing import Any

from gradio import queueing
from gradio.utils import LRUCache

from modelcraft.ui.bodies import BODY

# More than visitors can have at a time: beyond this number Gradio drops sessions that are still in use.
MAX_SESSIONS = 4_096
MAX_UNREAD = (64 << 20, 4 << 20)  # bytes: in total, and per address
EVENT, VALUE = 2_048, 64  # bytes that an event takes, and each value in it, besides its texts


class Messages(LRUCache[str, Any]):
    """The events that sessions have not read yet: an `Unread` for each session.

    If there are too many sessions, Gradio drops the oldest, which may be reading a text at this moment. This class
    drops the oldest idle one; it does the same if the events are too large in total.
    """

    def __init__(self, queue: queueing.Queue) -> None:
        super().__init__(MAX_SESSIONS)
        self.held: Counter[str] = Counter()  # bytes, by address
        self._queue = queue

    def __setitem__(self, session: str, messages: Any) -> None:
        if session not in self and len(self) >= self.max_size:
            self._forget_idle()
        super().__setitem__(session, Unread(self))  # replaces Gradio's own queue, which is still empty

    def __delitem__(self, session: str) -> None:
        self[session].close()
        super().__delitem__(session)

    def address(self, event_id: str | None) -> str:
        """Return the address that requested an event."""
        event = self._queue.event_ids_to_events.get(event_id or "")
        return "" if event is None else event.request.scope.get(BODY, ("", 0))[0]

    def count(self, address: str, more: int) -> None:
        """Add `more` bytes, which may be negative; if there are too many, drop idle sessions, the oldest first."""
        self.held[address] += more
        if not self.held[address]:
            del self.held[address]
        while more > 0 and self.held.total() > MAX_UNREAD[0] and self._forget_idle(with_events=True):
            pass

    def _forget_idle(self, with_events: bool = False) -> bool:
        """Drop the oldest idle session; say whether there was one."""
        idle = next((one for one in self if not self._busy(one) and (self[one].size or not with_events)), None)
        if idle is not None:
            del self[idle]
            self._queue.pending_event_ids_session.pop(idle, None)
        return idle is not None

    def _busy(self, session: str) -> bool:
        events = self._queue.pending_event_ids_session.get(session, ())
        return any(event in self._queue.event_ids_to_events for event in events)


class Unread(Queue[Any]):
    """The events that one session has not read yet, and their size in bytes."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self.messages: Messages | None = messages
        self.address, self.size = "", 0

    def close(self) -> None:
        """Stop counting, and give the counted bytes back."""
        if self.messages is not None:
            self.messages.count(self.address, -self.size)
        self.messages, self.size = None, 0

    def _put(self, message: Any) -> None:
        size = EVENT + weight(getattr(message, "output", None))
        super()._put((size, message))
        if self.messages is not None:
            if not self.size:
                self.address = self.messages.address(message.event_id) or self.address
            self.size += size
            self.messages.count(self.address, size)

    def _get(self) -> Any:
        size, message = super()._get()
        if self.messages is not None:
            self.size -= size
            self.messages.count(self.address, -size)
        return message


def weight(value: Any) -> int:
    """Estimate how many bytes a JSON value takes."""
    size, values = 0, [value]
    while values:
        one = values.pop()
        size += VALUE
        if isinstance(one, str | bytes):
            size += len(one)
        elif isinstance(one, dict):
            values.extend(one)
            values.extend(one.values())
        elif isinstance(one, list | tuple):
            values.extend(one)
    return size
