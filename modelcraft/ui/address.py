"""The address of the page: it says which tab is open and what its fields hold, and such an address restores them.

`components/address.js` reads and writes it, in the visitor's browser. The server is told nothing but what the fields
hold, and checks that like what was typed.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.events import Dependency

from modelcraft.ui.component import script
from modelcraft.ui.widgets import QUIET

# By the tab's id: the names in the address, and the element ids of the fields.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "chat": {
        "rung": "model",
        "text": "message",
        "length": "length",
        "temperature": "temperature",
        "top_k": "top_k",
        "top_p": "top_p",
        "seed": "seed",
    },
    "race": {
        "rung": "race-rungs",
        "text": "race-prompt",
        "length": "race-length",
        "temperature": "race-temperature",
        "seed": "race-seed",
    },
    "in-your-browser": {"rung": "browser-model"},
    "next-character": {
        "rung": "next-rung",
        "text": "next-text",
    },
    "attention": {"rung": "attention-rung", "text": "attention-say"},
    "one-step": {"rung": "one-step-rung", "text": "one-step-say"},
    "surprise": {"rung": "surprise-one", "other": "surprise-other", "text": "surprise-text"},
    "counting": {"text": "counting-first"},
    "embeddings": {"rung": "embeddings-rung"},
    "ladder": {"rung": "ladder-rung", "text": "ladder-prompt"},
    "train": {"rung": "train-rung", "steps": "train-steps"},
}


def follow_address(page: gr.Blocks) -> Dependency:
    """Let the address follow the page's tabs and fields, and restore them when the page loads; returns that event."""
    places = fields_of(page)
    fields: list[Any] = [part for _, _, part in places]
    rules = [{"tab": tab, "name": name, **rule(part)} for tab, name, part in places]
    restored = page.load(None, fields, fields, js=script("address", rules=rules), **QUIET)
    restored.then(None, None, None, js=script("address_open"), **QUIET)
    gr.on([part.change for part in fields], None, fields, None, js=script("address_note"), **QUIET)
    return restored


def fields_of(page: gr.Blocks) -> list[tuple[str, str, Any]]:
    """Return the tab, the name and the part of each field of FIELDS, in that order."""
    there_are = {part.elem_id: part for part in page.blocks.values() if getattr(part, "elem_id", None)}
    return [(tab, name, there_are[elem_id]) for tab, names in FIELDS.items() for name, elem_id in names.items()]


def rule(part: Any) -> dict[str, Any]:
    """Say which values a field may have, and which it has at first."""
    if isinstance(part, gr.Slider):
        return {"low": part.minimum, "high": part.maximum, "first": part.value}
    if isinstance(part, gr.Textbox):
        return {"most": part.max_length, "first": part.value or ""}
    return {"names": [name for _, name in part.choices], "first": part.value}
