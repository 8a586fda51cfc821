"""The address of the page: it says which tab is open and what its fields hold, and such an address restores them.

`components/address.js` reads and writes it, in the visitor's browser, which also keeps the dials of the other tabs
through a reload. The server is told nothing but what the fields hold, and checks that like what was typed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr
from gradio.events import Dependency

from modelcraft.ui.component import script
from modelcraft.ui.widgets import QUIET

# By the tab's id: the names in the address, and the element ids of the fields; "id.key": a part of a component's value.
# What is typed in the tab "In your browser" is not among them, since a reload would send it to the server.
FIELDS: Mapping[str, Mapping[str, str]] = {
    "chat": {
        "rung": "model",
        "text": "message",
        "length": "length",
        "temperature": "temperature",
        "top_k": "top_k",
        "top_p": "top_p",
        "pace": "pace",
        "seed": "seed",
    },
    "race": {
        "rung": "race-rungs",
        "text": "race-prompt",
        "length": "race-length",
        "temperature": "race-temperature",
        "pace": "race-pace",
        "seed": "race-seed",
    },
    "in-your-browser": {
        "rung": "browser-model",
        "length": "browser-dials.length",
        "temperature": "browser-dials.temperature",
        "top_k": "browser-dials.topK",
        "top_p": "browser-dials.topP",
        "seed": "browser-dials.seed",
    },
    "next-character": {
        "rung": "next-rung",
        "text": "next-text",
        "temperature": "next-dials.temperature",
        "top_k": "next-dials.top_k",
        "top_p": "next-dials.top_p",
        "min_p": "next-dials.min_p",
    },
    "attention": {
        "rung": "attention-rung",
        "text": "attention-say",
        "head": "attention-heads.head",
        "stage": "attention-heads.stage",
        "scaled": "attention-heads.scaled",
        "masked": "attention-heads.masked",
    },
    "one-step": {"rung": "one-step-rung", "text": "one-step-say"},
    "surprise": {"rung": "surprise-one", "other": "surprise-other", "text": "surprise-text"},
    "counting": {"text": "counting-first"},
    "embeddings": {"rung": "embeddings-rung"},
    "ladder": {"rung": "ladder-rung", "text": "ladder-prompt"},
    "train": {"rung": "train-rung", "steps": "train-steps"},
}
ON = {"names": ["on", "off"], "first": "on"}
PARTS: Mapping[str, Mapping[str, Any]] = {  # the rules of those parts
    "browser-dials.length": {"low": 1, "high": 2_000, "whole": True, "first": 300},
    "browser-dials.temperature": {"low": 0, "high": 2, "first": 0.8},
    "browser-dials.topK": {"low": 0, "high": 100, "whole": True, "first": 0},
    "browser-dials.topP": {"low": 0, "high": 1, "first": 1},
    "browser-dials.seed": {"most": 15, "first": ""},
    "next-dials.temperature": {"low": 0, "high": 2, "first": 1},
    "next-dials.top_k": {"low": 0, "high": 65, "whole": True, "first": 0},
    "next-dials.top_p": {"low": 0, "high": 1, "first": 1},
    "next-dials.min_p": {"low": 0, "high": 1, "first": 0},
    "attention-heads.head": {"most": 40, "first": ""},  # which heads there are depends on the rung
    "attention-heads.stage": {"names": ["scores", "scaled", "masked", "softmax"], "first": "softmax"},
    "attention-heads.scaled": ON,
    "attention-heads.masked": ON,
}


def firsts(elem_id: str) -> dict[str, Any]:
    """Return what the parts of a component's value are at first."""
    return {part.partition(".")[2]: rule["first"] for part, rule in PARTS.items() if part.startswith(f"{elem_id}.")}


class Field(NamedTuple):
    """A field of FIELDS: its tab, its name in the address, the component, and which part of that one's value it is."""

    tab: str
    name: str
    part: Any
    key: str


def follow_address(page: gr.Blocks) -> Dependency:
    """Let the address follow the page's tabs and fields, and restore them when the page loads; returns that event."""
    places = fields_of(page)
    # Components of several parts come first: a text that is restored is looked at with what they hold.
    parts = list({place.part._id: place.part for place in sorted(places, key=lambda place: not place.key)}.values())
    rules = [
        {"tab": place.tab, "name": place.name, "key": place.key, "at": parts.index(place.part), **rule(place)}
        for place in places
    ]
    inputs = [place.part for place in places]  # a component of several parts is there several times
    restored = page.load(None, inputs, parts, js=script("address", rules=rules), **QUIET)
    restored.then(None, None, None, js=script("address_open"), **QUIET)
    told = [part.change for part in parts] + [place.part.input for place in places if place.key]
    gr.on(told, None, inputs, None, js=script("address_note"), **QUIET)
    return restored


def fields_of(page: gr.Blocks) -> list[Field]:
    """Return the fields of FIELDS, in that order."""
    there_are = {part.elem_id: part for part in page.blocks.values() if getattr(part, "elem_id", None)}
    found = []
    for tab, names in FIELDS.items():
        for name, where in names.items():
            elem_id, _, key = where.partition(".")
            found.append(Field(tab, name, there_are[elem_id], key))
    return found


def rule(field: Field) -> Mapping[str, Any]:
    """Say which values a field may have, and which it has at first."""
    part = field.part
    if field.key:
        return PARTS[f"{part.elem_id}.{field.key}"]
    if isinstance(part, gr.Slider):
        return {"low": part.minimum, "high": part.maximum, "whole": part.step == 1, "first": part.value}
    if isinstance(part, gr.Textbox):
        return {"most": part.max_length, "first": part.value or ""}
    return {"names": [name for _, name in part.choices], "first": part.value}
