"""The server: Gradio's page and app behind our first middleware, with cheap sessions and events."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from gradio import Blocks, skip
from gradio.block_function import BlockFunction
from gradio.components import _Keywords
from gradio.queueing import Event
from gradio.routes import App as GradioApp
from gradio.routes import ORJSONResponse
from gradio.state_holder import SessionState, StateHolder
from starlette.types import ASGIApp

from modelcraft.ui.bodies import BODY
from modelcraft.ui.middleware import Queued
from modelcraft.ui.routes import Routes
from modelcraft.ui.unread import Messages


class Page(Blocks):
    """Gradio's page, in which an output that an event skips costs nothing.

    Gradio rebuilds each skipped component in 0.3 ms; a text of 400 events skips 1,600.
    """

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: Any, state: SessionState | None
    ) -> list[Any]:
        """Return the value to send for each output of `block_fn`."""
        if len(block_fn.outputs) < 2 or not isinstance(predictions, list | tuple):
            return await super().postprocess_data(block_fn, predictions, state)
        skipped = [isinstance(one, dict) and one == skip() for one in predictions]
        left_out = _Keywords.FINISHED_ITERATING  # Gradio's own marker for an output to leave alone
        kept = [left_out if skips else one for one, skips in zip(predictions, skipped, strict=True)]
        sent = await super().postprocess_data(block_fn, kept, state)
        return [skip() if skips else one for one, skips in zip(sent, skipped, strict=False)]

    def pending(self, event_id: str) -> bool:
        """Say whether a client may still read results of an event."""
        queue = self._queue
        if event_id in queue.event_ids_to_events:
            return True
        sessions = queue.pending_event_ids_session.items()
        session = next((name for name, events in sessions if event_id in events), "")
        messages = queue.pending_messages_per_session.get(session)
        return messages is not None and not messages.empty()

    def queued(self) -> Queued:
        """Return what events currently hold."""
        waiting: Counter[str] = Counter()
        for queue in self._queue.event_queue_per_concurrency_id.values():
            waiting.update(_body(event)[0] for event in queue.queue)
        bodies: Counter[str] = Counter()
        for event in self._queue.event_ids_to_events.values():
            address, size = _body(event)
            bodies[address] += size
        messages = self._queue.pending_messages_per_session
        return Queued(waiting, bodies, messages.held if isinstance(messages, Messages) else Counter())


def _body(event: Event) -> tuple[str, int]:
    """Return the address that an event came from, and the counted bytes of its body."""
    address, size = event.request.scope.get(BODY, ("", 0))
    return address, size


class App(GradioApp):
    """Gradio's app, behind `Routes`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_response_class=ORJSONResponse, **options)
        self.state_holder = Sessions()  # type: ignore[no-untyped-call]

    def configure_app(self, blocks: Blocks) -> None:
        """Take the page, and let its event queue keep the events that a client waits for."""
        super().configure_app(blocks)
        blocks._queue.pending_messages_per_session = Messages(blocks._queue)
        blocks.upload_file_set = Files(blocks.upload_file_set)
        blocks.temp_file_sets = [blocks.upload_file_set]
        for part in blocks.blocks.values():
            part.temp_files = Files(part.temp_files)
            blocks.temp_file_sets.append(part.temp_files)

    def build_middleware_stack(self) -> ASGIApp:
        """Put `Routes` before everything, including Gradio's own answers to other sites' pages."""
        return Routes(super().build_middleware_stack())


class Sessions(StateHolder):
    """The sessions that Gradio keeps, each a `Session`."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)


class Files(set[str]):
    """Paths that a thread of Gradio's sweeps while new ones arrive, which would break a plain set's iteration."""

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(super().__iter__()))


class Session(SessionState):
    """A session without a copy of the page, which Gradio needs only for its deep links; those are closed here."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
