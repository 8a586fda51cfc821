"""Surprise: a visitor's text, each character coloured by how little one or two rungs expected it."""

from typing import Any

import gradio as gr

from modelcraft.insight.surprise import surprise
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError, VocabularyError
from modelcraft.support.wording import describe, listing
from modelcraft.ui.component import component
from modelcraft.ui.widgets import QUIET, question, rung_chooser, told

MAX_TEXT = 2_000
SPOTS = 8
EXAMPLES = (
    "JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name.\n",
    "The train to the airport leaves every twenty minutes from platform two.",
    "Colourless green ideas sleep furiously; qzx wvb!",
)
NAMES = ("the play", "the timetable", "nonsense")
QUESTION = "Before you press Read: where in a word is a model surprised most, at its beginning or at its end?"
NOBODY = ""


class SurpriseView:
    """The tab: a text, one or two rungs, and how much it surprises them."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self.view = component("surprise", {}, "surprise", min_height=320)
        question(QUESTION)
        with gr.Row(elem_classes="mc-desk", equal_height=True):
            self.text = gr.Textbox(
                EXAMPLES[0],
                label="The text",
                show_label=False,
                placeholder="A text, a poem of your own …",
                lines=3,
                max_lines=8,
                max_length=MAX_TEXT,
                container=False,
                elem_id="surprise-text",
            )
            self.go = gr.Button("Read", variant="primary", min_width=0, elem_id="surprise-go")
        with gr.Row(elem_classes="mc-examples"):
            examples = [gr.Button(name, size="sm", min_width=0) for name in NAMES]
        with gr.Row():
            self.one = rung_chooser(service.catalogue, "surprise-one", "Read by", "bigram")
            self.other = rung_chooser(service.catalogue, "surprise-other", "and by")
            self.other.choices = [("nobody else", NOBODY), *self.other.choices]
            self.choosers = [self.one, self.other]
        inputs = [self.text, self.one, self.other]
        tab.select(self.open, [self.view, *inputs], self.view, preprocess=False, **QUIET)
        for event in (self.go.click, self.one.input, self.other.input):
            event(self.read, inputs, self.view, preprocess=False, **QUIET)
        for button, example in zip(examples, EXAMPLES, strict=True):
            chosen = button.click(lambda example=example: example, None, self.text, **QUIET)
            chosen.then(self.read, inputs, self.view, preprocess=False, **QUIET)

    @told
    async def open(self, shown: Any, text: Any, one: Any, other: Any) -> Any:
        """Read the text when the tab first opens."""
        return gr.skip() if shown else await self.read(text, one, other)

    @told
    async def read(self, text: Any, one: Any, other: Any) -> dict[str, Any]:
        """Return the page: a panel for each rung that read the text."""
        if not check_text("The text", text, MAX_TEXT):
            raise ConfigError("Write a text first, or choose one of the examples.")
        entries = [await self.service.get(one)]
        if other not in (NOBODY, one):
            entries.append(await self.service.get(other))
        panels = [await self.service.look(panel, entry, text) for entry in entries]
        return {"panels": panels, "verdict": verdict(panels)}


def panel(entry: Entry, text: str) -> dict[str, Any]:
    """Let one rung read the text; `cells` holds each character, with its bits if it was scored.

    Raises VocabularyError if the rung knows none of the characters.
    """
    known = [place for place, character in enumerate(text) if character in entry.tokenizer.vocabulary]
    if not known:
        raise VocabularyError(f"{entry.title} knows none of these characters; write others.")
    found = surprise(entry.model, entry.tokenizer.encode("".join(text[place] for place in known)))
    cells: list[list[Any]] = [[character, None, "", 0] for character in text]
    scored = zip(known[1:], found.bits.tolist(), found.likeliest.tolist(), found.share.tolist(), strict=True)
    for place, bits, likeliest, share in scored:
        cells[place][1:] = [round(bits, 2), entry.tokenizer.decode([likeliest]), round(share, 3)]
    strangers = list(dict.fromkeys(character for character in text if character not in entry.tokenizer.vocabulary))
    worst = sorted((place for place in known[1:]), key=lambda place: -cells[place][1])[:SPOTS]
    mean = float(found.bits.mean()) if len(found.bits) else None
    return {
        "name": entry.title,
        "bits": None if mean is None else round(mean, 3),
        "cells": cells,
        "first": known[0],
        "strangers": listing([describe(character) for character in strangers]),
        "reads": "as a text without a source" if not entry.model.continues else "",
        "spots": [
            {
                "before": text[max(0, place - 12) : place],
                "character": cells[place][0],
                "bits": cells[place][1],
                "instead": cells[place][2],
                "share": cells[place][3],
            }
            for place in worst
        ],
    }


def verdict(panels: list[dict[str, Any]]) -> str:
    """Say which of two rungs predicts better; return nothing for one rung."""
    if len(panels) < 2 or None in (panels[0]["bits"], panels[1]["bits"]):
        return ""
    better, worse = sorted(panels, key=lambda panel: panel["bits"])
    return f"{better['name']} needs {worse['bits'] - better['bits']:.2f} bits a character less than {worse['name']}."
