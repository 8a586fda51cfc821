"""Examples for the text of a view: of the play, or lines of its own text for a model that learned another one."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency

from modelcraft.serving.service import Service
from modelcraft.support.errors import ModelCraftError
from modelcraft.ui.widgets import QUIET, told


class Examples:
    """A row of buttons with the names of examples; a click puts the example itself into the text."""

    def __init__(self, names: Sequence[str], texts: Sequence[str]) -> None:
        self.named = list(zip(names, texts, strict=True))
        with gr.Row(elem_classes="mc-examples"):
            self.buttons = [gr.Button(name, size="sm", min_width=0) for name in names]

    def offer(self, service: Service, rung: gr.Dropdown, text: gr.Textbox, **options: Any) -> list[Dependency]:
        """Let the buttons fill `text` and follow the model chosen in `rung`; return the events in which they fill it.

        `options` go to these events.
        """

        async def found(name: Any) -> list[tuple[str, str]]:
            try:
                lines = (await service.get(name)).info.snippets
            except ModelCraftError:  # the view says so
                lines = []
            return [(line, line) for line in lines[: len(self.buttons)]] or self.named

        @told
        async def renamed(name: Any) -> list[Any]:
            here = await found(name)
            missing = len(self.buttons) - len(here)
            return [gr.update(value=label, visible=True) for label, _ in here] + [gr.update(visible=False)] * missing

        def filling(place: int) -> Any:
            @told
            async def fill(name: Any) -> str:
                here = await found(name)
                return here[min(place, len(here) - 1)][1]

            return fill

        plain: dict[str, Any] = {"preprocess": False, **QUIET}
        rung.change(renamed, rung, self.buttons, **plain)
        clicks = enumerate(button.click for button in self.buttons)
        return [click(filling(place), rung, text, **plain, **options) for place, click in clicks]
