"""One step: one character's way through a rung, and what could be guessed after each layer."""

import base64
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from modelcraft.counting import CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.insight.reading import line_and_source
from modelcraft.insight.steps import EMBEDDING, MIX, SCORES, Step, trace_steps
from modelcraft.model import LanguageModel
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ModelCraftError, VocabularyError
from modelcraft.ui.along import on_opening, taken
from modelcraft.ui.component import component
from modelcraft.ui.examples import Examples
from modelcraft.ui.labels import left_out, nothing_to_read
from modelcraft.ui.widgets import QUIET, guess, rung_chooser, text_field, told
from modelcraft.ui.words import WORDS

MAX_SEEN = 64  # characters of a text: two lines, so that the steps below them fit the screen
GUESSES_SHOWN = 5
EXAMPLES = ("First Citizen:\nBefore we proceed any further, hear me", "JULIET:\nO Romeo, Romeo! wherefore art thou Rom")
NAMES = ("the first line", "Juliet")
QUESTION = "Before any layer has looked back: what can be guessed from the embedding alone?"
GUESSES = ("Nothing", "No more than the bigram model can", "How the word ends")
ANSWER = (
    "No more than the bigram model can: the embedding knows the newest character, and nothing else. What comes from "
    "further back, attention has to fetch. See the guesses change from row to row as it does."
)
LAYERS = (
    ("Embedding", "looks the character up in a table: C numbers."),
    ("Attention", "fetches what its heads find at the characters before, and adds it."),
    ("Feed-forward", "works on that, each place by itself, and adds what comes of it."),
    ("Scores", "turn the C numbers into one for each of V characters; softmax makes shares of them."),
)


class OneStepView:
    """The tab: a text, a character in it, and the steps that a rung takes from there to its guesses."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("one-step-guess", QUESTION, GUESSES, 1, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("one_step", {}, "one-step")
            with gr.Column():
                self.text = text_field(
                    "one-step-say", EXAMPLES[0], f"A text; its last {MAX_SEEN} characters are looked at …", MAX_SEEN
                )
                examples = Examples(NAMES, EXAMPLES)
                self.told = component("line", "", "one-step-told")
                self.rung = rung_chooser(service.catalogue, "one-step-rung")
                component("layers", LAYERS, "one-step-layers", WORDS)
        self.choosers = [self.rung]
        inputs, outputs = [self.text, self.rung, self.view], [self.view, self.told]
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        on_opening(tab, self.open, inputs, self.text, self.rung, outputs)
        self.text.change(self.read, inputs[:2], outputs, trigger_mode="always_last", **options)
        self.rung.input(self.show, inputs, outputs, trigger_mode="always_last", **options)
        self.view.input(self.show, inputs, outputs, trigger_mode="always_last", **options)
        examples.offer(service, self.rung, self.text)

    @told
    async def open(self, text: Any, rung: Any, shown: Any, along: Any = None) -> Any:
        """Look at the example when the tab first opens, and at what comes along from another tab."""
        text, rung, anew = await taken(self.service, along, text, rung, has_layers)
        if shown and not anew:
            return (gr.skip(),) * 4
        return text, rung, *await self.read(text, rung)

    @told
    async def read(self, text: Any, rung: Any) -> tuple[dict[str, Any], str]:
        """Show the newest character of a text."""
        return await self.show(text, rung, {})

    @told
    async def show(self, text: Any, rung: Any, shown: Any) -> tuple[dict[str, Any], str]:
        """Return the way of the character that is chosen in `shown`, and what to say about the text."""
        check_text("The text", text, MAX_SEEN)
        entry = await self.service.get(rung)
        chosen = shown.get("chosen") if isinstance(shown, dict) else None
        page = await self.service.look(steps_of, entry, text, chosen)
        return page, page.get("refused") or page["note"]


def has_layers(model: LanguageModel) -> bool:
    """Say whether there is anything to see of a model here."""
    return not isinstance(model, CountingLanguageModel)


def steps_of(entry: Entry, text: str, chosen: Any) -> dict[str, Any]:
    """Read a text up to the character number `chosen`, or all of it, and lay out the steps of the last one.

    What cannot be shown is said in the picture's place: {"refused": a sentence}.
    """
    read = entry.tokenizer.normalize(text)
    try:
        if not read.text:
            raise VocabularyError(nothing_to_read(entry, text, read))
        ids, source = line_and_source(entry.model, entry.tokenizer.encode(read.text))
        last = len(ids) - 1
        at = chosen if type(chosen) is int and 0 <= chosen <= last else last
        steps = trace_steps(entry.model, ids[: at + 1], source)
    except ModelCraftError as error:
        return {"refused": error.for_visitors}
    letters = [entry.tokenizer.decode([token]) for token in range(entry.model.config.vocab_size)]
    width = entry.model.block_size
    return {
        "text": entry.tokenizer.decode(ids),
        "chosen": at,
        "seen": min(at, width - 1),  # characters before it
        "source": entry.tokenizer.decode(source) if source is not None else "",
        "steps": [_laid_out(step, letters) for step in steps],
        "vowels": isinstance(entry.model, EncoderDecoder),
        "note": left_out(entry, read),
    }


def _laid_out(step: Step, letters: list[str]) -> dict[str, Any]:
    best = step.guesses.topk(min(GUESSES_SHOWN, len(letters)))
    return {
        "name": _name(step),
        "shape": " × ".join(map(str, step.shape)),
        "strip": _strip(step.vector),
        "does": _does(step),
        "guesses": [[letters[token], round(p, 4)] for p, token in zip(best.values.tolist(), best.indices, strict=True)],
    }


def _name(step: Step) -> str:
    return step.kind if step.block is None else f"{step.block + 1} {step.kind}"


def _does(step: Step) -> str:
    if step.adds is not None:
        return f"+ {step.adds:.0%}".replace("%", "\u00a0%")
    return {EMBEDDING: "", SCORES: "", MIX: "mixed in"}.get(step.kind, "replaces")


def _strip(vector: Tensor) -> str:
    """Return numbers as bytes: 128 is zero, 1 and 255 are the largest of the vector, below and above it."""
    scaled = vector / vector.abs().max().clamp(min=1e-9)
    return base64.b64encode((128 + 127 * scaled).round().to(torch.uint8).numpy().tobytes()).decode()
