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
from modelcraft.ui.clients import current_client, unread_events
from modelcraft.ui.component import component
from modelcraft.ui.widgets import QUIET, question, rung_chooser, told

MAX_TEXT = 2_000
NEWLINE = "\n"
RUN = 60  # characters that one press of Run appends
RUN_TICK_S = 0.25  # slow enough to watch
SHOWN = 14  # characters that get their own line
EXAMPLES = ("The king is ", "O Romeo, Romeo! wherefore art th", "JULIET:\n", "q")
QUESTION = "Before you press Step: after the letter q one character is all but certain. After which is nothing certain?"


class NextCharacter:
    """The tab: a text, the odds of what follows it, and the dials that change them."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self.view = component("next_character", {}, "next", min_height=420)
        question(QUESTION)
        self.text = gr.Textbox(
            EXAMPLES[0],
            label="The text",
            show_label=False,
            placeholder="A text; what follows it?",
            lines=2,
            max_lines=5,
            max_length=MAX_TEXT,
            container=False,
            elem_id="next-text",
        )
        with gr.Row(elem_id="next-keys", elem_classes="mc-examples"):
            step = gr.Button("Step", variant="primary", min_width=0, elem_id="next-step")
            run = gr.Button("Run", min_width=0, elem_id="next-run")
            stop = gr.Button("Stop", min_width=0, elem_id="next-stop")
            throw = gr.Button("Another dart", min_width=0, elem_id="next-throw")
        with gr.Row(elem_classes="mc-examples"):
            examples = [gr.Button(" ".join(line.split()) + " …", size="sm", min_width=0) for line in EXAMPLES]
        self.rung = rung_chooser(service.catalogue, "next-rung")
        self.choosers = [self.rung]
        with gr.Row(elem_id="next-dials"):
            dials = [
                _slider("Temperature", "0 always the likeliest, 1 the model's odds", MAX_TEMPERATURE, 1.0, 0.05),
                _slider("Top-k", "only the k likeliest; 0: all", 65, 0, 1),
                _slider("Top-p", "the fewest that hold this share; 1: all", 1, 1.0, 0.01),
                _slider("Min-p", "at least this share of the likeliest; 0: all", 1, 0.0, 0.01),
            ]
        self.inputs = inputs = [self.text, self.rung, *dials]
        seen = [self.view, *dials]
        tab.select(self.open, [self.view, *inputs], self.view, preprocess=False, **QUIET)
        typed = [self.view, *inputs]
        self.text.change(self.type, typed, self.view, preprocess=False, trigger_mode="always_last", **QUIET)
        self.rung.input(self.look, inputs, self.view, preprocess=False, **QUIET)
        for dial in dials:
            dial.change(self.redraw, seen, self.view, preprocess=False, trigger_mode="always_last", **QUIET)
        throw.click(self.throw, seen, self.view, preprocess=False, **QUIET)
        step.click(self.step, seen, [self.view, self.text], preprocess=False, **QUIET)
        running = run.click(self.run, seen, [self.view, self.text], preprocess=False, **QUIET)
        stop.click(None, None, None, cancels=[running], **QUIET)
        for button, example in zip(examples, EXAMPLES, strict=True):
            button.click(lambda example=example: example, None, self.text, **QUIET)

    @told
    async def open(self, shown: Any, *inputs: Any) -> Any:
        """Look at the text when the tab first opens."""
        return gr.skip() if shown else await self.look(*inputs)

    @told
    async def type(self, shown: Any, text: Any, *others: Any) -> Any:
        """Look at typed text; what Step appended is already on the page."""
        if not text or (isinstance(shown, dict) and shown.get("text") == text):
            return gr.skip()
        return await self.look(text, *others)

    @told
    async def look(self, text: Any, rung: Any, *dials: Any) -> dict[str, Any]:
        """Return the page of a text: one forward pass, and a new dart."""
        return await self.page(check_text("The text", text, MAX_TEXT), rung, check_dials(*dials))

    async def page(self, text: str, rung: Any, params: SamplingParams) -> dict[str, Any]:
        """Return the page of a checked text; raises ConfigError if it is empty or the rung knows none of it."""
        entry = await self.service.get(rung)
        read = entry.tokenizer.normalize(text)
        if not read.text:
            raise ConfigError("Write a text first, of characters that the model knows.")
        logits = await self.service.look(next_logits, entry, read.text)
        stored = [round(one, 5) for one in logits.tolist()]
        return page(entry, text, stored, random.random(), params, read.report())

    @told
    async def redraw(self, shown: Any, *dials: Any) -> Any:
        """Sample the stored logits again with the same dart: no forward pass."""
        return await self._again(shown, dials, None)

    @told
    async def throw(self, shown: Any, *dials: Any) -> Any:
        """Throw another dart at the shown odds."""
        return await self._again(shown, dials, random.random())

    @told
    async def _again(self, shown: Any, dials: tuple[Any, ...], dart: float | None) -> Any:
        if not shown:
            return gr.skip()
        entry, text, logits, thrown = await self._read(shown)
        notice = check_text("notice", shown.get("notice"), 10_000)
        return page(entry, text, logits, thrown if dart is None else dart, check_dials(*dials), notice)

    @told
    async def step(self, shown: Any, *dials: Any) -> tuple[dict[str, Any], str]:
        """Append the character that the dart landed on, and look again."""
        after = await self._append(shown, check_dials(*dials))
        return after, after["text"]

    @told
    async def run(self, shown: Any, *dials: Any) -> AsyncIterator[tuple[dict[str, Any], str]]:
        """Append characters one by one, slowly enough to watch."""
        params = check_dials(*dials)
        with self.service.streams.hold(current_client()):
            async with aclosing(as_read(self._run(shown, params), unread_events())) as pages:
                async for one in pages:
                    yield one, one["text"]

    async def _run(self, shown: Any, params: SamplingParams) -> AsyncGenerator[dict[str, Any], None]:
        for _ in range(RUN):
            shown = await self._append(shown, params)
            yield shown
            await asyncio.sleep(RUN_TICK_S)

    async def _append(self, shown: Any, params: SamplingParams) -> dict[str, Any]:
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


def check_dials(temperature: Any, top_k: Any, top_p: Any, min_p: Any) -> SamplingParams:
    """Turn a client's settings into SamplingParams; raises ConfigError with one sentence."""
    check_number("temperature", temperature, 0, MAX_TEMPERATURE)
    return SamplingParams(
        temperature=temperature, top_k=check_whole("top_k", top_k, 0, 1_000), top_p=top_p, min_p=min_p
    )


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


def _slider(label: str, info: str, most: float, value: float, step: float) -> gr.Slider:
    elem_id = f"next-{label.lower().replace('-', '_')}"
    return gr.Slider(0, most, value, step=step, label=label, info=info, min_width=220, elem_id=elem_id)
