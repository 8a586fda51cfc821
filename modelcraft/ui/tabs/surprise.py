"""Surprise: a visitor's text, each character coloured by how little one or two rungs expected it."""

from itertools import groupby
from typing import Any

import gradio as gr

from modelcraft.insight.surprise import surprise
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import VocabularyError
from modelcraft.support.wording import describe, listing, signs
from modelcraft.ui.along import on_opening, taken
from modelcraft.ui.component import component
from modelcraft.ui.examples import Examples
from modelcraft.ui.widgets import QUIET, guess, rung_chooser, text_field, told
from modelcraft.ui.words import WORDS

MAX_TEXT = 2_000
SPOTS = 6
EXAMPLES = (
    "JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\nDeny thy father and refuse thy name",
    "Full fathom five thy father lies;\nOf his bones are coral made;\nThose are pearls that were his eyes:",
    "The train to the airport leaves every twenty minutes from platform two.",
    "Colourless green ideas sleep furiously; qzx wvb!",
)
NAMES = ("trained on", "held out: never seen", "timetable", "nonsense")
QUESTION = "Before the text is read: where in a word is a GPT surprised most?"
GUESSES = ("At its beginning", "In its middle", "At its end")
ANSWER = (
    "At its beginning: many words may come next. With each letter fewer words are left, and the last letters are often "
    "all but certain."
)
FIRST = (
    "First your guess, above. Then two rungs read the text, and colour each character by how little they expected it. "
    "Or write: the text is read as you type."
)
EMPTY = "Write a text, or choose an example: it is read as you type."
NOBODY = ""


class SurpriseView:
    """The tab: a text, one or two rungs, and how much it surprises them. It is not read before a guess, or typing."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        asked = guess("surprise-guess", QUESTION, GUESSES, 0, ANSWER)
        with gr.Row(elem_classes="mc-beside mc-text-first"):
            with gr.Column():
                self.text = text_field("surprise-text", EXAMPLES[0], "A text, a poem of your own …", MAX_TEXT, 3)
                self.told = component("line", "", "surprise-told")
                self.view = component(
                    "surprise", {"said": FIRST, "example": EXAMPLES[0]}, "surprise", WORDS, elem_classes="mc-pictures"
                )
            with gr.Column():
                examples = Examples(NAMES, EXAMPLES)
                with gr.Column(elem_id="surprise-bar", elem_classes="mc-stays"):
                    self.one = rung_chooser(service.catalogue, "surprise-one", "Read by", "bigram")
                    self.other = rung_chooser(service.catalogue, "surprise-other", "and by")
                    self.other.choices = [("nobody else", NOBODY), *self.other.choices]
                self.spots = component("surprise_spots", [], "surprise-spots")
        self.choosers = [self.one, self.other]
        inputs, outputs = [self.text, self.one, self.other], [self.view, self.spots, self.told]
        on_opening(tab, self.open, [self.spots, *inputs], self.text, self.one, outputs)
        options: dict[str, Any] = {"preprocess": False, "trigger_mode": "always_last", **QUIET}
        # The event `input` of the picture: a text was typed. Shift and Enter read it at once.
        for event in (asked.input, self.view.input, self.text.submit, self.one.input, self.other.input):
            event(self.read, inputs, outputs, **options)
        for chosen in examples.offer(service, self.one, self.text):
            chosen.then(self.read, inputs, outputs, preprocess=False, **QUIET)

    @told
    async def open(self, spots: Any, text: Any, one: Any, other: Any, along: Any = None) -> Any:
        """Read what comes along from another tab; the example waits for a guess, whichever rungs will read it."""
        if isinstance(along, dict) and along.get("rung") == other:
            along = {name: value for name, value in along.items() if name != "rung"}  # it reads already
        written, reader, anew = await taken(self.service, along, text, one)
        if not anew:
            return (gr.skip(),) * 5
        waits = written == EXAMPLES[0] and not spots and not along.get("now")
        return written, reader, *((gr.skip(),) * 3 if waits else await self.read(written, reader, other))

    @told
    async def read(self, text: Any, one: Any, other: Any) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
        """Return a panel for each rung that read the text with the verdict, the worst spots, and what was left out."""
        if not check_text("The text", text, MAX_TEXT):
            return {}, [], EMPTY
        entries = [await self.service.get(one)]
        if other not in (NOBODY, one):
            entries.append(await self.service.get(other))
        try:
            panels = [await self.service.look(panel, entry, text) for entry in entries]
        except VocabularyError as error:
            return {}, [], error.for_visitors
        spots = [{"name": panel["name"], "spots": panel.pop("spots")} for panel in panels]
        return {"panels": panels, "verdict": verdict(panels)}, spots, left_out(panels)


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
    runs = groupby(text, lambda character: character in entry.tokenizer.vocabulary)
    strangers = dict.fromkeys(sign for known, run in runs if not known for sign in signs("".join(run)))
    worst = sorted((place for place in known[1:]), key=lambda place: -cells[place][1])[:SPOTS]
    mean = float(found.bits.mean()) if len(found.bits) else None
    return {
        "name": entry.title,
        "bits": None if mean is None else round(mean, 3),
        "cells": cells,
        "first": known[0],
        "strangers": listing([*map(describe, strangers)]),
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
    """Say which of two rungs is less surprised, and by how much; of one rung, how much it is surprised."""
    if None in (panel["bits"] for panel in panels):
        return "One character alone: there is nothing to expect it from."
    if len(panels) == 1:
        return f"{panels[0]['name']} is surprised by {panels[0]['bits']:.2f} bits a character."
    better, worse = sorted(panels, key=lambda panel: panel["bits"])
    less = worse["bits"] - better["bits"]
    if round(less, 2) == 0:
        return "Both are surprised alike."
    return f"{better['name']} is less surprised than {worse['name']}, by {less:.2f} bits a character."


def left_out(panels: list[dict[str, Any]]) -> str:
    """Say which characters a rung does not know."""
    readers: dict[str, list[str]] = {}
    for panel in panels:
        if panel["strangers"]:
            readers.setdefault(panel["strangers"], []).append(panel["name"])
    return " ".join(
        f"Left out and underlined, as {' and '.join(names)} {'know' if len(names) > 1 else 'knows'} no such character: "
        f"{strangers}."
        for strangers, names in readers.items()
    )
