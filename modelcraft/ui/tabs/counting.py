"""Counting and learning: the counted pairs of characters, what the bigram model learned, and the difference."""

import base64
from typing import Any

import gradio as gr
from torch import Tensor

from modelcraft.bigram import BigramLanguageModel
from modelcraft.counting import CountingLanguageModel
from modelcraft.insight.tables import counted_pairs, learned_pairs
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui.component import component
from modelcraft.ui.plots import sign
from modelcraft.ui.widgets import QUIET, guess, told

SHOWN = 10
MOST_LETTERS = 300  # on the plate: with more, nobody could tell one row from the next
COUNTED, LEARNED = "counting", "bigram"
QUESTION = "Before you choose q: of all the q's in tiny Shakespeare, how many are followed by u?"
GUESSES = ("Nine of ten", "All but a few", "All")
ANSWER = (
    "All 563 of them. So counting is certain, and gives any other character no chance at all; the bigram model, which "
    "gradient descent moves towards the same shares step by step, has come to 99.99 %. Choose q and see."
)


class CountingView:
    """The tab: a plate with a row and a column for each character, and the row of the chosen character as a table."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("counting-guess", QUESTION, GUESSES, 2, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("counting", {}, "counting")
            with gr.Column():
                self.first = gr.Textbox(
                    "t",
                    label="After the character",
                    info="one character (or click in a row); leave it empty for the newline",
                    max_lines=1,
                    max_length=1,
                    elem_id="counting-first",
                )
                self.row = component("row", {}, "counting-row")
        outputs = [self.view, self.row]
        tab.select(self.open, [self.view, self.first], outputs, preprocess=False, **QUIET)
        self.first.change(self.show, self.first, outputs, preprocess=False, trigger_mode="always_last", **QUIET)
        self.view.input(self.click, self.view, self.first, preprocess=False, trigger_mode="always_last", **QUIET)

    @told
    async def open(self, shown: Any, first: Any) -> Any:
        """Draw the plate when the tab first opens."""
        return (gr.skip(),) * 2 if shown else await self.show(first)

    @told
    async def show(self, first: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the plate with the row of one character marked, and that row; raises gr.Error with one sentence."""
        first = check_text("The character", first, 1) or "\n"
        counting, bigram = await self.service.get(COUNTED), await self.service.get(LEARNED)
        return await self.service.look(page, counting, bigram, first)

    @told
    async def click(self, shown: Any) -> Any:
        """Return the character whose row was clicked."""
        at = shown.get("chosen") if isinstance(shown, dict) else None
        letters = (await self.service.get(COUNTED)).tokenizer.vocabulary
        return letters[at].strip("\n") if type(at) is int and 0 <= at < len(letters) else gr.skip()


def page(counting: Entry, bigram: Entry, first: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay out the plate and the row; raises ConfigError if the two do not know the same characters, or not `first`.

    The plate has the most frequent characters, at the places `at` of the vocabulary; its `times`, `counted` and
    `learned` are tables of float32, row by row, in base64.
    """
    vocabulary = counting.tokenizer.vocabulary
    if not isinstance(counting.model, CountingLanguageModel) or not isinstance(bigram.model, BigramLanguageModel):
        raise ConfigError("This tab compares the rungs counting and bigram, and one of them is another model here.")
    if bigram.tokenizer.vocabulary != vocabulary:
        raise ConfigError("The counts and the bigram model were made of texts with different characters.")
    if first not in vocabulary:
        raise ConfigError("The text that was counted has no such character; choose another.")
    counts = counted_pairs(counting.model)  # (V, V)
    counted = counts / counts.sum(-1, keepdim=True).clamp(min=1)  # (V, V)
    learned = learned_pairs(bigram.model)  # (V, V)
    row = vocabulary.index(first)
    seen = counts.sum(-1).double()
    # Weighted by how often the text has each character: the difference that a reader would meet.
    apart = float(((learned - counted).abs().sum(-1) / 2 * seen).sum() / seen.sum())
    known = max(1, int((counts[row] > 0).sum()))
    order = counted[row].argsort(descending=True, stable=True)[: min(SHOWN, known)].tolist()
    kept = sorted({row, *seen.argsort(descending=True)[:MOST_LETTERS].tolist()})
    plate = {
        "letters": [sign(vocabulary[i]) for i in kept],
        "at": kept,
        "row": kept.index(row),
        "likeliest": int(counts[row, kept].argmax()),
    }
    tables = {"times": counts, "counted": counted, "learned": learned}
    return plate | {name: _encoded(table[kept][:, kept]) for name, table in tables.items()}, {
        "caption": f"What comes after “{sign(first)}”, which is there {counts[row].sum():,} times",
        "head": ["next", "times", "counted", "learned", "difference"],
        "rows": [
            [
                sign(vocabulary[i]),
                f"{counts[row, i]:,}",
                f"{counted[row, i]:.2%}",
                f"{learned[row, i]:.2%}",
                f"{100 * (learned[row, i] - counted[row, i]):+.2f}".replace("-", "−"),
            ]
            for i in order
        ],
        "note": f"Counted and learned differ by {apart:.1%} of probability at a character of the text, on average. On "
        "the plate: the redder the likelier, by the square root, so that rare pairs are seen; of the difference, five "
        "times as strong, blue is less than counted.",
    }


def _encoded(table: Tensor) -> str:
    return base64.b64encode(table.float().contiguous().numpy().tobytes()).decode()
