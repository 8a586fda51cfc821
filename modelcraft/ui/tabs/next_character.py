"""Next character, a microscope: what a rung expects next, what sampling keeps of it, and where the dart lands."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from modelcraft.inference.rows import Rows
from modelcraft.model import evaluating
from modelcraft.sampling import SamplingParams, distribution, hit
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import MAX_TEMPERATURE, Service
from modelcraft.serving.streaming import as_read
from modelcraft.support.checks import check_number, check_text, check_whole
from modelcraft.support.errors import ConfigError
from modelcraft.ui.along import on_opening, taken
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.component import component
from modelcraft.ui.examples import Examples
from modelcraft.ui.labels import nothing_to_read
from modelcraft.ui.widgets import QUIET, guess, rung_chooser, text_field, told
from modelcraft.ui.words import WORDS

MAX_TEXT = 2_000
NEWLINE = "\n"
RUN = 60  # characters that one press of Run appends
RUN_TICK_S = 0.25  # slow enough to watch
SHOWN = 12  # characters that get their own line
NEUTRAL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}  # dials that change nothing
EXAMPLES = ("The king is ", "O Romeo, Romeo! wherefore art th", "JULIET:\n", "q")
NAMES = ("The king is …", "O Romeo …", "JULIET: …", "q …")
QUESTION = "Before you turn the temperature up to 2: will a rare character overtake a likely one?"
GUESSES = ("Yes, some do", "No, the order stays", "All become equal")
ANSWER = (
    "The order stays. Every score is divided by the same number: the differences shrink, and the bars come closer, "
    "but none overtakes another. Try it."
)
STOPPED_JS = "shown => shown && {...shown, running: false}"


class NextCharacter:
    """The tab: a text, the odds of what follows it, and the dials that change them."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("next-guess", QUESTION, GUESSES, 1, ANSWER)
        with gr.Row(elem_classes="mc-beside mc-text-first"):
            with gr.Column():
                self.text = text_field("next-text", EXAMPLES[0], "A text; what follows it?", MAX_TEXT)
                self.view = component("next_character", {}, "next", WORDS, elem_classes="mc-pictures")
            with gr.Column():
                examples = Examples(NAMES, EXAMPLES)
                self.rung = rung_chooser(service.catalogue, "next-rung")
                with gr.Column(elem_id="next-bar", elem_classes="mc-stays"):
                    with gr.Row(elem_id="next-keys"):
                        step = gr.Button("Step", variant="primary", min_width=0, elem_id="next-step")
                        run = gr.Button("Run", min_width=0, elem_id="next-run")
                        stop = gr.Button("Stop", variant="stop", min_width=0, elem_id="next-stop")
                        throw = gr.Button("Another dart", min_width=0, elem_id="next-throw")
                    self.dials = component("next_dials", NEUTRAL, "next-dials", WORDS)
        self.choosers = [self.rung]
        self.inputs = inputs = [self.text, self.rung, self.dials]
        on, seen = [self.view, *inputs], [self.view, self.dials]
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        on_opening(tab, self.open, on, self.text, self.rung, [self.view])
        running = run.click(self.run, on, [self.view, self.text], **options)
        running.then(None, self.view, self.view, js=STOPPED_JS, **options)
        # Ask the server once before the page is marked as stopped: after its answer, no text of the run can follow.
        ended = stop.click(None, None, None, cancels=[running], **options).then(lambda: None, None, None, **options)
        ended.then(None, self.view, self.view, js=STOPPED_JS, **options)
        # What else changes the picture ends the run. (The event `input` of the picture: a text was typed.)
        options |= {"trigger_mode": "always_last", "cancels": [running]}
        self.view.input(self.look, inputs, self.view, **options)
        self.rung.input(self.look, inputs, self.view, **options)
        self.dials.input(self.redraw, seen, self.view, **options)
        throw.click(self.throw, seen, self.view, **options)
        step.click(self.step, on, [self.view, self.text], **{**options, "trigger_mode": "once"})
        self.rung.change(None, None, None, cancels=[running], **QUIET)  # the tab Ladder has chosen one
        for chosen in examples.offer(service, self.rung, self.text, cancels=[running]):
            chosen.then(self.look, inputs, self.view, preprocess=False, **QUIET)

    @told
    async def open(self, shown: Any, text: Any, rung: Any, dials: Any, along: Any = None) -> Any:
        """Look at the text when the tab first opens, and at what comes along from another tab."""
        text, rung, anew = await taken(self.service, along, text, rung)
        return (gr.skip(),) * 3 if shown and not anew else (text, rung, await self.look(text, rung, dials))

    @told
    async def look(self, text: Any, rung: Any, dials: Any) -> dict[str, Any]:
        """Return the page of a text: one forward pass, and a new dart."""
        return await self.page(check_text("The text", text, MAX_TEXT), rung, check_dials(dials))

    async def page(self, text: str, rung: Any, params: SamplingParams) -> dict[str, Any]:
        """Return the page of a checked text; one that the rung cannot read has a notice alone, to stand below it."""
        entry = await self.service.get(rung)
        read = entry.tokenizer.normalize(text)
        if not read.text:
            return {"rung": entry.name, "text": text, "notice": nothing_to_read(entry, text, read)}
        logits = await self.service.look(next_logits, entry, read.text)
        stored = [round(one, 5) for one in logits.tolist()]
        return page(entry, text, stored, random.random(), params, read.report())

    @told
    async def redraw(self, shown: Any, dials: Any) -> Any:
        """Sample the stored logits again with the same dart: no forward pass."""
        return await self._again(shown, dials, None)

    @told
    async def throw(self, shown: Any, dials: Any) -> Any:
        """Throw another dart at the shown odds."""
        return await self._again(shown, dials, random.random())

    async def _again(self, shown: Any, dials: Any, dart: float | None) -> Any:
        params = check_dials(dials)
        if not shown or (isinstance(shown, dict) and "logits" not in shown):
            return gr.skip()
        entry, text, logits, thrown = await self._read(shown)
        notice = check_text("notice", shown.get("notice"), 10_000)
        return page(entry, text, logits, thrown if dart is None else dart, params, notice)

    @told
    async def step(self, shown: Any, *inputs: Any) -> tuple[dict[str, Any], str]:
        """Append the character that the dart landed on, and look again."""
        shown, params = await self._now(shown, *inputs)
        after = await self._append(shown, params)
        return after, after["text"]

    @told
    async def run(self, shown: Any, *inputs: Any) -> AsyncIterator[tuple[dict[str, Any], str]]:
        """Append characters one by one, slowly enough to watch."""
        shown, params = await self._now(shown, *inputs)
        if "logits" not in shown:
            yield shown, shown["text"]
            return
        with self.service.streams.hold(current_client()):
            async with aclosing(as_read(self._run(shown, params), unread_events())) as pages:
                async for one in pages:
                    yield one, one["text"]

    async def _run(self, shown: Any, params: SamplingParams) -> AsyncGenerator[dict[str, Any], None]:
        for _ in range(RUN):
            shown = await self._append(shown, params)
            yield {**shown, "running": True}
            await asyncio.sleep(RUN_TICK_S)

    async def _now(self, shown: Any, text: Any, rung: Any, dials: Any) -> tuple[dict[str, Any], SamplingParams]:
        """Return the page of the text as it stands: what is shown may be of the text before, or of another rung."""
        text, params = check_text("The text", text, MAX_TEXT), check_dials(dials)
        if isinstance(shown, dict) and (shown.get("text"), shown.get("rung")) == (text, rung):
            return shown, params
        return await self.page(text, rung, params), params

    async def _append(self, shown: dict[str, Any], params: SamplingParams) -> dict[str, Any]:
        if "logits" not in shown:
            return shown
        entry, text, logits, dart = await self._read(shown)
        drawn = int(hit(distribution(torch.tensor([logits]), params), torch.tensor([[dart]])))
        text = (text + entry.tokenizer.vocabulary[drawn])[-MAX_TEXT:]
        return await self.page(text, entry.name, params)

    async def _read(self, shown: Any) -> tuple[Entry, str, list[float], float]:
        """Read a page that a client sent back; raises ConfigError if it is not valid."""
        if not isinstance(shown, dict) or "logits" not in shown:
            raise ConfigError("There is nothing to go on from yet; write a text first.")
        entry = await self.service.get(shown.get("rung"))
        logits, dart = shown["logits"], shown.get("dart", 0)
        if not isinstance(logits, list) or len(logits) != entry.tokenizer.vocab_size:
            raise ConfigError("These are another model's logits; change the text to look anew.")
        for logit in logits:
            check_number("A logit", logit, -1e6, 1e6)
        check_number("dart", dart, 0, 1)
        return entry, check_text("The text", shown.get("text"), MAX_TEXT), logits, dart


def next_logits(entry: Entry, text: str) -> Tensor:
    """Return the engine's logits (V,) for the character after `text`; an encoder–decoder gets no source."""
    rows = entry.engine.decoder.rows()
    if not entry.model.continues:
        text, rows = f"\n{text.rpartition(NEWLINE)[2]}", Rows(entry.model)
    ids = entry.tokenizer.encode(text[-entry.model.block_size :])
    with evaluating(entry.model):
        logits = rows.join(torch.tensor([ids], device=entry.model.device))  # (1, T) -> (1, V)
    return logits[0].float().cpu().clamp(-1e6, 1e6)


def check_dials(dials: Any) -> SamplingParams:
    """Turn a client's settings, named as in NEUTRAL, into SamplingParams; raises ConfigError with one sentence."""
    if not isinstance(dials, dict) or set(dials) != set(NEUTRAL):
        raise ConfigError(f"The dials must be {', '.join(NEUTRAL)}.")
    check_number("temperature", dials["temperature"], 0, MAX_TEMPERATURE)
    return SamplingParams(**{**dials, "top_k": check_whole("top_k", dials["top_k"], 0, 1_000)})


def page(
    entry: Entry, text: str, logits: list[float], dart: float, params: SamplingParams, notice: str = ""
) -> dict[str, Any]:
    """Lay out the page: a line for each of the likeliest characters, and the strip that the dart hits.

    A line is [character, raw probability, probability after the dials, where its part of the strip begins].
    """
    row = torch.tensor([logits])  # (1, V)
    raw, after = row.softmax(-1)[0], distribution(row, params)[0]  # (V,) each
    drawn = int(hit(after[None], torch.tensor([[dart]])))
    starts = after.cumsum(-1) - after  # (V,): laid end to end
    order = raw.argsort(descending=True, stable=True).tolist()
    shown = order[:SHOWN]
    if drawn not in shown:
        shown[-1] = drawn
    left = [i for i in order if i not in shown]
    lines = [[entry.tokenizer.vocabulary[i], *(round(float(p[i]), 5) for p in (raw, after, starts))] for i in shown]
    strip = [[entry.tokenizer.vocabulary[i], round(float(after[i]), 5)] for i in range(len(logits)) if after[i] > 0]
    return {
        "rung": entry.name,
        "text": text,
        "logits": logits,
        "dart": dart,
        "lines": lines,
        "strip": strip,
        "drawn": shown.index(drawn),
        "rest": [len(left), round(float(raw[left].sum()), 5), round(float(after[left].sum()), 5)],
        "kept": int((after > 0).sum()),
        "notice": notice,
    }
