"""The server: Gradio's app with our first middleware before all of its own, and sessions that cost next to nothing."""

from types import SimpleNamespace
from typing import Any

from gradio import Blocks
from gradio.routes import App as GradioApp
from gradio.routes import ORJSONResponse
from gradio.state_holder import SessionState, StateHolder
from starlette.types import ASGIApp

from modelcraft.ui.routes import Routes

# More than visitors can have at a time: beyond it Gradio forgets sessions that are still in use.
MAX_SESSIONS = 4_096


class App(GradioApp):
    """Gradio's app, behind `Routes`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_response_class=ORJSONResponse, **options)
        self.state_holder = Sessions()  # type: ignore[no-untyped-call]

    def build_middleware_stack(self) -> ASGIApp:
        """Put `Routes` before everything, Gradio's own answers to other sites' pages included."""
        return Routes(super().build_middleware_stack())


class Sessions(StateHolder):
    """The sessions that Gradio keeps, each a `Session`."""

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
        return super().__getitem__(session_id)


class Session(SessionState):
    """A session without a copy of the page: Gradio makes one for its deep links only, which are closed here."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks={}))  # type: ignore[arg-type]

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass
