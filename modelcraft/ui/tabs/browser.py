"""In your browser: a model writes on the visitor's own machine, without the server."""

from typing import Any

import gradio as gr

from modelcraft.ladder import QUICK_RUNG
from modelcraft.serving.service import Service
from modelcraft.ui.component import component
from modelcraft.ui.widgets import QUIET, question, rung_chooser

QUESTION = (
    "Before you press Write: the same seed draws the same luck here and in the chat. Will the text be the same, letter "
    "by letter, although another machine computes it?"
)


class BrowserView:
    """The tab: which model, and everything else in the visitor's browser (`ui/browser/`)."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        del tab  # nothing happens on the server when it opens
        self.view = component("browser", {}, "browser")
        question(QUESTION)
        self.model = rung_chooser(service.catalogue, "browser-model", "Model", QUICK_RUNG)
        self.choosers = [self.model]
        self.view.value = {"model": self.model.value}
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        self.model.change(None, self.model, self.view, js="model => ({model})", **options)
