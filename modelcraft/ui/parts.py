"""What the views have in common: the question they end with, the chooser of a rung, and how they are wired."""

from typing import Any

import gradio as gr

from modelcraft.catalogue import Catalogue
from modelcraft.ui.figures import choices

MAX_SEEN = 256  # characters of a text that a view looks into: what a screen holds, and one context of the gpt
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def question(text: str) -> None:
    """Put the question on the page that is to be answered before the button is pressed."""
    gr.HTML(f'<p class="mc-question">{text}</p>', apply_default_css=False)


def rung_chooser(catalogue: Catalogue, elem_id: str, label: str = "Rung", value: str | None = None) -> gr.Dropdown:
    """Make the chooser of a rung; `value` if it is there, else the default."""
    names = catalogue.names
    first = next((name for name in (value, catalogue.default, *names) if name in names), None)
    return gr.Dropdown(choices(catalogue), value=first, label=label, filterable=False, elem_id=elem_id, min_width=220)
