"""Attention: what each character of a text looks at, from the scores to the shares, head by head.

The server sends the scores of one head and small pictures of all heads. The page itself scales, hides and normalises
them, so that a step costs no request; the sentences about the steps come along.
"""

import base64
from typing import Any

import gradio as gr
import torch
from torch import Tensor, nn

from modelcraft.bigram import BigramLanguageModel
from modelcraft.counting import CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder
from modelcraft.insight.attention import AttentionTrace, HeadView, trace_attention
from modelcraft.insight.reading import line_and_source
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

MAX_SEEN = 64  # characters of a text: the most rows that a screen shows clearly
THUMBNAIL = 32  # pixels along a side of a head's small picture, at most
EXAMPLES = ("First Citizen:\nBefore we proceed any further, hear me", "ROMEO:\nO, she doth teach the torches to b")
NAMES = ("the first line", "the torches")
STAGES = ("scores", "scaled", "masked", "softmax")
KIND_NAMES = {"self": "self-attention", "encoder": "encoder", "decoder": "decoder", "cross": "cross-attention"}
QUESTION = "Before you switch the mask off: how could a model cheat that sees what comes after a character?"
GUESSES = ("By copying it", "By memory", "By looking back")
ANSWER = (
    "By copying: what it has to predict stands right there. But when it writes, nothing comes after the last "
    "character. Switch the mask off, and see the upper half of the map fill."
)


class AttentionView:
    """The tab: a text, the heads of a rung, and what one of them does with the text, in four steps."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("attention-guess", QUESTION, GUESSES, 0, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("attention", {}, "attention")
            with gr.Column():
                self.text = text_field(
                    "attention-say", EXAMPLES[0], f"A text; its last {MAX_SEEN} characters are looked at …", MAX_SEEN
                )
                examples = Examples(NAMES, EXAMPLES)
                self.told = component("line", "", "attention-told")
                self.rung = rung_chooser(service.catalogue, "attention-rung")
                self.heads = component("attention_steps", {}, "attention-heads", elem_classes="mc-stays")
        self.choosers = [self.rung]
        self.inputs = inputs = [self.text, self.rung, self.heads]
        self.outputs = outputs = [self.view, self.heads, self.told]
        options: dict[str, Any] = {"preprocess": False, **QUIET}
        on_opening(tab, self.open, inputs, self.text, self.rung, outputs)
        self.text.change(self.show, inputs, outputs, trigger_mode="always_last", **options)
        self.rung.input(self.show, inputs, outputs, trigger_mode="always_last", **options)
        self.heads.input(self.choose, inputs, self.view, trigger_mode="always_last", **options)
        examples.offer(service, self.rung, self.text)

    @told
    async def open(self, text: Any, rung: Any, heads: Any, along: Any = None) -> Any:
        """Look at the example when the tab first opens, and at what comes along from another tab."""
        text, rung, anew = await taken(self.service, along, text, rung, has_heads)
        if isinstance(heads, dict) and heads.get("chosen") and not anew:
            return (gr.skip(),) * 5
        return text, rung, *await self.show(text, rung, heads)

    @told
    async def show(self, text: Any, rung: Any, heads: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Return the shown head, the small pictures of all heads, and what to say about the text."""
        check_text("The text", text, MAX_SEEN)
        entry = await self.service.get(rung)
        wanted = heads.get("head") or heads.get("chosen") if isinstance(heads, dict) else None
        shown, small = await self.service.look(page, entry, text, wanted)
        return shown, small, shown.get("refused") or shown["note"]

    @told
    async def choose(self, text: Any, rung: Any, heads: Any) -> dict[str, Any]:
        """Return another head of the same text."""
        return (await self.show(text, rung, heads))[0]


def has_heads(model: LanguageModel) -> bool:
    """Say whether there is anything to see of a model here."""
    return not isinstance(model, CountingLanguageModel | BigramLanguageModel)


def page(entry: Entry, text: str, wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a text; lay out the `wanted` head, or the first to see if none has that name, and small pictures of all.

    What cannot be shown is said in the picture's place: {"refused": a sentence}.
    """
    read, nothing = entry.tokenizer.normalize(text), {"heads": [], "chosen": wanted if isinstance(wanted, str) else ""}
    try:
        trace = _trace(entry, read.text)
    except ModelCraftError as error:
        return {"refused": error.for_visitors if read.text else nothing_to_read(entry, text, read)}, nothing
    if not trace.heads:
        return {"refused": f"{entry.title} has no attention: it looks at {_sees(entry)}."}, nothing
    names = [_name(one) for one in trace.heads]
    name = nothing["chosen"] if nothing["chosen"] in names else names[_first_to_see(trace)]
    head = trace.heads[names.index(name)]
    rows, columns = _texts(entry, trace, head)
    shown = {
        "rows": rows,
        "columns": columns,
        "unread": "" if isinstance(entry.model, EncoderDecoder) else read.text[: -len(rows)],
        "scores": [[round(score, 3) for score in row] for row in head.scores.tolist()],  # (T, S)
        "scale": head.scale,
        "hides": not bool(head.visible.all()),  # each character what comes after it
        "label": _label(head),
        "said": {stage: [[_said(head, stage, *on) for on in pair] for pair in _SWITCHES] for stage in STAGES},
        "note": left_out(entry, read),
    }
    return shown, {"heads": [_small(one) for one in trace.heads], "chosen": name}


_SWITCHES = [[(scaled, masked) for masked in (False, True)] for scaled in (False, True)]


def _trace(entry: Entry, text: str) -> AttentionTrace:
    if not text:
        raise VocabularyError("There is nothing to look at.")
    return trace_attention(entry.model, *line_and_source(entry.model, entry.tokenizer.encode(text)))


def _first_to_see(trace: AttentionTrace) -> int:
    """Return the head to show first: the cross-attention head that is surest of its place, else the first head."""
    cross = [number for number, head in enumerate(trace.heads) if head.kind == "cross"]
    return max(cross, key=lambda number: float(trace.heads[number].weights().max(-1).values.mean()), default=0)


def _small(head: HeadView) -> dict[str, Any]:
    """Return a head's name and its shares as a small picture: bytes, the roots of the largest share in each part."""
    shares = head.weights()[None]  # (1, T, S)
    size = [min(length, THUMBNAIL) for length in head.scores.shape]
    pixels: Tensor = nn.functional.adaptive_max_pool2d(shares, size)[0]
    written = base64.b64encode((255 * pixels.sqrt()).round().to(torch.uint8).numpy().tobytes()).decode()
    return {
        "name": _name(head),
        "kind": KIND_NAMES[head.kind],
        "layer": head.layer,
        "label": _label(head),
        "scale": f"{head.scale:.2f}",
        "hides": not bool(head.visible.all()),
        "size": size,
        "pixels": written,
    }


def _said(head: HeadView, stage: str, scaled: bool, masked: bool) -> str:
    """Say in one sentence what the shown step does, or what goes wrong without it."""
    weights = head.weights(scaled, masked)  # (T, S)
    largest = f"the largest share of a row is {float(weights.max(-1).values.mean()):.0%} on average"
    if stage == "scores":
        least, most = (f"{float(one):.1f}".replace("-", "−") for one in (head.scores.min(), head.scores.max()))
        said = f"query · key: how well each fits each, from {least} to {most}."
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
        said = "What comes later is hidden: minus infinity, the grey half."
    else:
        said = f"Shares: each row sums to 1, and {largest}."
    return said


def _texts(entry: Entry, trace: AttentionTrace, head: HeadView) -> tuple[str, str]:
    """Return the characters that look, and the characters that they look at."""
    ids = entry.tokenizer.decode(trace.ids.tolist())
    source = entry.tokenizer.decode(trace.source.tolist()) if trace.source is not None else ids
    rows, columns = {"encoder": (source, source), "cross": (ids, source)}.get(head.kind, (ids, ids))
    return rows[-head.scores.shape[0] :], columns[-head.scores.shape[1] :]


def _name(head: HeadView) -> str:
    return f"{head.kind} {head.layer} {head.head}"


def _label(head: HeadView) -> str:
    return f"{KIND_NAMES[head.kind]}, layer {head.layer + 1}, head {head.head + 1}"


def _sees(entry: Entry) -> str:
    if isinstance(entry.model, CountingLanguageModel):
        return f"the last {entry.model.block_size} characters as they stand, and counts"
    return "the newest character alone"
