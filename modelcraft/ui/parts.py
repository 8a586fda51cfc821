"""What the views have in common: the question they end with, the chooser of a rung, and how they are wired."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from modelcraft.catalogue import Catalogue
from modelcraft.ui.figures import choices

MAX_SEEN = 256  # characters of a text that a view looks into: what a screen holds, and one context of the gpt
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def question(text: str) -> None:
    """Put the question on the page that is to be answered before the button is pressed."""
    gr.HTML(f'<p class="mc-question">{text}</p>', apply_default_css=False)


def rung_chooser(
    catalogue: Catalogue, elem_id: str, label: str = "Rung", value: str | None = None, only: Sequence[str] | None = None
) -> gr.Dropdown:
    """Make the chooser of a rung, of all there are or of `only` some; `value` if it is there, else the default."""
    there_are = [(shown, name) for shown, name in choices(catalogue) if only is None or name in only]
    names = [name for _, name in there_are]
    first = next((name for name in (value, catalogue.default, *names) if name in names), None)
    return gr.Dropdown(there_are, value=first, label=label, filterable=False, elem_id=elem_id, min_width=220)
