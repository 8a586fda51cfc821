"""In your browser: a model writes on the visitor's own machine, without the server."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from modelcraft.ladder import QUICK_RUNG
from modelcraft.serving.service import Service
from modelcraft.serving.training_job import Job
from modelcraft.ui.address import firsts
from modelcraft.ui.component import component
from modelcraft.ui.in_browser import runs
from modelcraft.ui.labels import choices
from modelcraft.ui.widgets import QUIET, guess, rung_chooser

QUESTION = "Before you press Write: with the same seed, will the server write the same text, letter by letter?"
GUESSES = ("Always", "Nearly always", "Hardly ever")
ANSWER = (
    "Nearly always. The seed gives both the same darts, but they add in another order and round otherwise, far behind "
    "the decimal point. Only a dart that falls just there hits another letter; from it on the texts differ."
)


class BrowserView:
    """The tab: which model, and everything else in the visitor's browser (`ui/browser/`)."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        del tab  # nothing happens on the server when it opens
        self.catalogue = service.catalogue
        guess("browser-guess", QUESTION, GUESSES, 1, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("browser", {}, "browser")
            with gr.Column():
                self.model = rung_chooser(service.catalogue, "browser-model", "Model", QUICK_RUNG, runs)
                component("browser_line", None, "browser-line", elem_classes="mc-stays")
                component("browser_dials", firsts("browser-dials"), "browser-dials")
        self.view.value = {"model": self.model.value}
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        self.model.change(None, self.model, self.view, js="model => ({model})", **options)

    @property
    def lists(self) -> list[Any]:
        """The components that change with a visitor's own models."""
        return [self.model]

    def with_own(self, mine: Sequence[Job]) -> list[Any]:
        """Return the updates of `lists` for a visitor with the models `mine`."""
        return [gr.update(choices=choices(self.catalogue, mine, runs))]
