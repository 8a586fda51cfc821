"""The server: Gradio's page and app with our first middleware, and sessions and events that cost next to nothing."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from gradio import Blocks, skip
from gradio.block_function import BlockFunction
from gradio.components import _Keywords
from gradio.queueing import Event, Queue
from gradio.routes import App as GradioApp
from gradio.routes import ORJSONResponse
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import LRUCache
from starlette.types import ASGIApp

from modelcraft.ui.gate import BODY
from modelcraft.ui.routes import Routes

# More than visitors can have at a time: beyond it Gradio forgets sessions that are still in use.
MAX_SESSIONS = 4_096


class Page(Blocks):
    """Gradio's page, for which an output that an event skips costs nothing.

    Gradio builds such a component anew, 0.3 ms each; a text of 400 events skips 1,600.
    """

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: Any, state: SessionState | None
    ) -> list[Any]:
        """Return what is sent for each output of `block_fn`."""
        if len(block_fn.outputs) < 2 or not isinstance(predictions, list | tuple):
            return await super().postprocess_data(block_fn, predictions, state)
        skipped = [isinstance(one, dict) and one == skip() for one in predictions]
        left_out = _Keywords.FINISHED_ITERATING  # Gradio's own word for an output that it is not to look at
        kept = [left_out if skips else one for one, skips in zip(predictions, skipped, strict=True)]
        sent = await super().postprocess_data(block_fn, kept, state)
        return [skip() if skips else one for one, skips in zip(sent, skipped, strict=False)]

    def queued(self) -> tuple[Counter[str], Counter[str]]:
        """Return, by address, how many events wait for their turn, and the bytes of all that are not done.

        The first SMALL bytes of each body do not count.
        """
        waiting: Counter[str] = Counter()
        for queue in self._queue.event_queue_per_concurrency_id.values():
            waiting.update(_body(event)[0] for event in queue.queue)
        held: Counter[str] = Counter()
        for event in self._queue.event_ids_to_events.values():
            address, size = _body(event)
            held[address] += size
        return waiting, held


def _body(event: Event) -> tuple[str, int]:
    """Return the address that an event came from, and the bytes of its body."""
    address, size = event.request.scope.get(BODY, ("", 0))
    return address, size


class App(GradioApp):
    """Gradio's app, behind `Routes`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_response_class=ORJSONResponse, **options)
        self.state_holder = Sessions()  # type: ignore[no-untyped-call]

    def configure_app(self, blocks: Blocks) -> None:
        """Take the page; its queue of events keeps those that somebody waits for."""
        super().configure_app(blocks)
        blocks._queue.pending_messages_per_session = Messages(blocks._queue)
        blocks.upload_file_set = Files(blocks.upload_file_set)
        blocks.temp_file_sets = [blocks.upload_file_set]
        for part in blocks.blocks.values():
            part.temp_files = Files(part.temp_files)
            blocks.temp_file_sets.append(part.temp_files)

    def build_middleware_stack(self) -> ASGIApp:
        """Put `Routes` before everything, Gradio's own answers to other sites' pages included."""
        return Routes(super().build_middleware_stack())


class Sessions(StateHolder):
    """The sessions that Gradio keeps, each a `Session`."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)


class Messages(LRUCache[str, Any]):
    """The events that sessions have not read yet. Where there are too many sessions, Gradio drops the oldest, which may
    be reading a text at this moment; here it is the oldest in which nothing happens."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(MAX_SESSIONS)
        self._queue = queue

    def __setitem__(self, session: str, messages: Any) -> None:
        if session not in self and len(self) >= self.max_size:
            idle = next((one for one in self if not self._busy(one)), None)
            if idle is not None:
                del self[idle]
                self._queue.pending_event_ids_session.pop(idle, None)
        super().__setitem__(session, messages)

    def _busy(self, session: str) -> bool:
        events = self._queue.pending_event_ids_session.get(session, ())
        return any(event in self._queue.event_ids_to_events for event in events)


class Files(set[str]):
    """Paths that Gradio sweeps from a thread while others come; an iteration that met one would end its sweeping."""

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(super().__iter__()))


class Session(SessionState):
    """A session without a copy of the page: Gradio makes one for its deep links only, which are closed here."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
