"""Attention: what each character of a text looks at, from the scores to the shares, head by head."""

import itertools
from typing import TYPE_CHECKING, Any

import gradio as gr
import torch
from torch import Tensor

from modelcraft.counting import CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.inference.stream import stream
from modelcraft.insight.attention import AttentionTrace, HeadView, trace_attention
from modelcraft.sampling import SamplingParams
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui.component import component
from modelcraft.ui.plots import heat, name_ticks, plot, plots_view, sign
from modelcraft.ui.widgets import QUIET, question, rung_chooser, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SEEN = 64  # characters of a text: the most rows that a screen shows clearly
EXAMPLES = ("First Citizen:\nBefore we proceed any further, hear me", "ROMEO:\nO, she doth teach the torches to b")
NAMES = ("the first line", "the torches")
STAGES = ("scores", "scaled", "masked", "softmax")
KIND_NAMES = {"self": "self-attention", "encoder": "encoder", "decoder": "decoder", "cross": "cross-attention"}
QUESTION = "Before you switch the mask off: how could a model cheat that sees what comes after a character?"


class AttentionView:
    """The tab: a text, one head of a rung, and what that head does with the text."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self.read = component("attention", {}, "attention-text", min_height=120)
        self.view = plots_view("attention", 620)
        question(QUESTION)
        self.text = gr.Textbox(
            EXAMPLES[0],
            label="The text",
            show_label=False,
            placeholder=f"A text; its last {MAX_SEEN} characters are looked at …",
            lines=2,
            max_lines=4,
            max_length=MAX_SEEN,
            container=False,
            elem_id="attention-say",
        )
        with gr.Row(elem_classes="mc-examples"):
            examples = [gr.Button(name, size="sm", min_width=0) for name in NAMES]
        with gr.Row():
            self.rung = rung_chooser(service.catalogue, "attention-rung")
            self.choosers = [self.rung]
            self.head = gr.Dropdown(
                [],
                label="Layer and head",
                filterable=False,
                min_width=220,
                elem_id="attention-head",
            )
        self.stage = gr.Radio(
            list(STAGES), value=STAGES[-1], label="How far", elem_classes="mc-pills", elem_id="attention-stage"
        )
        with gr.Row(elem_id="attention-steps"):
            self.scaled = gr.Checkbox(True, label="scaled by 1/√head_size", elem_id="attention-scaled", min_width=150)
            self.masked = gr.Checkbox(True, label="masked", elem_id="attention-masked", min_width=100)
        inputs = [self.text, self.rung, self.head, self.stage, self.scaled, self.masked]
        outputs = [self.read, self.view, self.head]
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        tab.select(self.open, [self.view, *inputs], outputs, **options)
        self.text.change(self.show, inputs, outputs, trigger_mode="always_last", **options)
        for part in (self.rung, self.head, self.stage, self.scaled, self.masked):
            part.input(self.show, inputs, outputs, trigger_mode="always_last", **options)
        for button, example in zip(examples, EXAMPLES, strict=True):
            button.click(lambda example=example: example, None, self.text, **QUIET)

    @told
    async def open(self, shown: Any, *inputs: Any) -> Any:
        """Look at the example when the tab first opens."""
        return (gr.skip(),) * 3 if shown else await self.show(*inputs)

    @told
    async def show(
        self, text: Any, rung: Any, head: Any, stage: Any, scaled: Any, masked: Any
    ) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """Return the coloured text, the map, and the available heads; raises gr.Error with one sentence."""
        check_text("The text", text, MAX_SEEN)
        if stage not in STAGES:
            raise ConfigError(f"There is no such step; there are {', '.join(STAGES)}.")
        if not isinstance(scaled, bool) or not isinstance(masked, bool):
            raise ConfigError("Scaling and mask are either on or off.")
        entry = await self.service.get(rung)
        return await self.service.look(page, entry, text, head, stage, scaled, masked)


def page(
    entry: Entry, text: str, wanted: Any, stage: str, scaled: bool, masked: bool
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Read a text and lay out the `wanted` head; the one to show first if no head has that name."""
    read = entry.tokenizer.normalize(text)
    if not read.text:
        raise ConfigError("Write a text first, of characters that the model knows.")
    ids = entry.tokenizer.encode(read.text)
    if isinstance(entry.model, EncoderDecoder):
        trace = trace_attention(entry.model, *_line_and_source(entry.model, ids))
    else:
        trace = trace_attention(entry.model, ids)
    if not trace.heads:
        said = f"{entry.title} has no attention: it looks at {_sees(entry)}."
        return {}, {"said": said}, gr.update(choices=[("none", "")], value="")
    names = [f"{one.kind} {one.layer} {one.head}" for one in trace.heads]
    name = wanted if isinstance(wanted, str) and wanted in names else names[_first_to_see(trace)]
    head = trace.heads[names.index(name)]
    rows, columns = _texts(entry, trace, head)
    choices = [(_label(one), value) for one, value in zip(trace.heads, names, strict=True)]
    weights = head.weights(scaled, masked)  # (T, S)
    coloured = {
        "rows": rows,
        "columns": columns,
        "weights": [[round(share, 3) for share in row] for row in weights.tolist()],
        "at": len(rows) - 1,
    }
    return (
        coloured,
        _map(head, rows, columns, stage, scaled, masked, read.report()),
        gr.update(choices=choices, value=name),
    )


def _line_and_source(model: EncoderDecoder, ids: list[int]) -> tuple[list[int], list[int]]:
    """Return a newline with the first line of a text, and what the encoder reads of that line.

    A line that was typed without vowels is restored first. Raises VocabularyError if there is nothing to read.
    """
    newline, vowels = model.config.newline, set(model.config.vowels)
    groups = itertools.groupby(ids, lambda token: token == newline)
    lines = [list(group) for is_newline, group in groups if not is_newline]
    line = next((line for line in lines if set(line) - vowels), ids)[: model.block_size - 1]
    source = model.sources(torch.tensor(line))[0].tolist()
    if not set(line) & vowels:
        line = list(stream(model, source, SamplingParams(model.block_size, temperature=0)))
    return [newline, *line], source


def _first_to_see(trace: AttentionTrace) -> int:
    """Return the head to show first: the cross-attention head that is surest of its place, else the first head."""
    cross = [number for number, head in enumerate(trace.heads) if head.kind == "cross"]
    return max(cross, key=lambda number: float(trace.heads[number].weights().max(-1).values.mean()), default=0)


def _map(
    head: HeadView, rows: str, columns: str, stage: str, scaled: bool, masked: bool, notice: str
) -> dict[str, Any]:
    table = _at(head, stage, scaled, masked)  # (T, S)
    finite = table[table.isfinite()]
    most = 1.0 if stage == "softmax" else float(finite.abs().max()) if finite.numel() else 1.0
    weights = head.weights(scaled, masked)
    alt = f"{_label(head)}, {stage}: a row for each character, a column for each that it looks at. "
    alt += f"The last, “{sign(rows[-1])}”, takes {', '.join(_largest(weights[-1], columns))}."

    def draw(axes: "Axes") -> None:
        heat(axes, table.sqrt() if stage == "softmax" else table, most)
        name_ticks(axes, rows, columns)
        axes.set(xlabel="looks at", ylabel="this character")

    return {
        "said": _said(head, stage, scaled, masked, weights),
        "plots": [plot(_label(head), alt, draw, 7.6, 7.2)],
        "tables": [
            {
                "caption": "What each character looks at most",
                "head": ["at", "character", "its three largest shares"],
                "rows": [
                    [
                        str(place),
                        sign(character),
                        "   ".join(_largest(row, columns)),
                    ]
                    for place, (character, row) in enumerate(zip(rows, weights, strict=True))
                ],
            }
        ],
        "note": notice,
    }


def _largest(row: Tensor, columns: str) -> list[str]:
    """List the three largest shares of a row (S,) and their places, without those below half a per cent."""
    order = row.argsort(descending=True, stable=True)[:3].tolist()
    return [f"{sign(columns[i])} ({i}) {row[i]:.0%}" for i in order if row[i] >= 0.005]


def _at(head: HeadView, stage: str, scaled: bool, masked: bool) -> Tensor:
    """Return the numbers (T, S) at one of the STAGES."""
    if stage == "scores":
        return head.scores
    if stage == "scaled":
        return head.logits(scaled, masked=False)
    return head.logits(scaled, masked) if stage == "masked" else head.weights(scaled, masked)


def _said(head: HeadView, stage: str, scaled: bool, masked: bool, weights: Tensor) -> str:
    """Say in one sentence what the shown step does, or what goes wrong without it."""
    largest = f"the largest share of a row is {float(weights.max(-1).values.mean()):.0%} on average"
    if stage == "scores":
        said = f"query · key: how well each fits each, from {head.scores.min():.1f} to {head.scores.max():.1f}."
    elif not scaled:
        said = f"Without scaling {largest}: softmax all but chooses one."
    elif stage == "scaled":
        said = f"Times {head.scale:.2f}, so that softmax is not too sure of itself."
    elif bool(head.visible.all()):
        said = "Nothing is hidden here: the whole of the source may be read at once."
    elif not masked:
        later = float(weights.masked_fill(head.visible, 0).sum(-1).mean())
        said = f"Without the mask {later:.0%} of the looks go to what comes later: it would copy, not predict."
    elif stage == "masked":
        said = "What comes later is hidden: minus infinity, the empty half."
    else:
        said = f"Shares: each row sums to 1, and {largest}."
    return said


def _texts(entry: Entry, trace: AttentionTrace, head: HeadView) -> tuple[str, str]:
    """Return the characters that look, and the characters that they look at."""
    ids = entry.tokenizer.decode(trace.ids.tolist())
    source = entry.tokenizer.decode(trace.source.tolist()) if trace.source is not None else ids
    rows, columns = {"encoder": (source, source), "cross": (ids, source)}.get(head.kind, (ids, ids))
    return rows[-head.scores.shape[0] :], columns[-head.scores.shape[1] :]


def _label(head: HeadView) -> str:
    return f"{KIND_NAMES[head.kind]}, layer {head.layer + 1}, head {head.head + 1}"


def _sees(entry: Entry) -> str:
    if isinstance(entry.model, CountingLanguageModel):
        return f"the last {entry.model.block_size} characters as they stand, and counts"
    return "the newest character alone"
