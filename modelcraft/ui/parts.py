"""What the views have in common: the question they end with, the chooser of a rung, and how they are wired."""

import json
from typing import Any

import gradio as gr
from gradio.events import Dependency

from modelcraft.catalogue import Catalogue
from modelcraft.ui.figures import choices

MAX_SEEN = 256  # characters of a text that a view looks into: what a screen holds, and one context of the gpt
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# A browser may forbid a page to keep anything (a Space in another site's frame, say): then even to ask raises.
_RECALL_JS = "() => { try { return localStorage.getItem(KEY) ?? ''; } catch { return ''; } }"
_KEEP_JS = "value => { try { localStorage.setItem(KEY, value); } catch {} }"


def remembered(page: gr.Blocks, key: str) -> tuple[gr.Textbox, Dependency]:
    """Make a text that the visitor's browser keeps under `key`, if it may; else it lasts as long as the page.

    Also returns the event in which it was read, for what has to wait for that. (`gr.BrowserState` would leave the page
    at "Loading…" for ever where nothing may be kept.)
    """
    text = gr.Textbox(visible=False)
    text.change(None, text, None, js=_KEEP_JS.replace("KEY", json.dumps(key)), **QUIET)
    return text, page.load(None, None, text, js=_RECALL_JS.replace("KEY", json.dumps(key)), **QUIET)


def question(text: str) -> None:
    """Put the question on the page that is to be answered before the button is pressed."""
    gr.HTML(f'<p class="mc-question">{text}</p>', apply_default_css=False)


def rung_chooser(catalogue: Catalogue, elem_id: str, label: str = "Rung", value: str | None = None) -> gr.Dropdown:
    """Make the chooser of a rung; `value` if it is there, else the default."""
    names = catalogue.names
    first = next((name for name in (value, catalogue.default, *names) if name in names), None)
    return gr.Dropdown(choices(catalogue), value=first, label=label, filterable=False, elem_id=elem_id, min_width=220)
