"""Counting and learning: the counted pairs of characters, what the bigram model learned, and the difference."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from modelcraft.bigram import BigramLanguageModel
from modelcraft.counting import CountingLanguageModel, count_pairs
from modelcraft.data import TRAIN_SHARE, corpus_title, load_corpus
from modelcraft.insight.tables import counted_pairs, learned_pairs
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.serving.training_job import Job
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui.component import component
from modelcraft.ui.plots import sign
from modelcraft.ui.widgets import QUIET, guess, told

SHOWN = 10
MOST_LETTERS = 300  # on the plate: with more, nobody could tell one row from the next
COUNTED, LEARNED = "counting", "bigram"
FIRST = "t"
QUESTION = "Before you choose q: of all the q's in tiny Shakespeare, how many are followed by u?"
GUESSES = ("Nine of ten", "All but a few", "All")
ANSWER = (
    "All 563 of them. So counting is certain, and gives any other character no chance at all; the bigram model, which "
    "gradient descent moves towards the same shares step by step, has come to 99.99 %. Choose q and see."
)
PLATE_NOTE = "On the plate: the redder the likelier, by the square root, so that rare pairs are seen."


@dataclass(frozen=True)
class Pairs:
    """What the tab shows: how often each character followed each other one, and the model that learned it, if any."""

    vocabulary: str
    counts: Tensor  # (V, V), first × second
    bigram: BigramLanguageModel | None


class CountingView:
    """The tab: a plate with a row and a column for each character, and the row of the chosen character as a table."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        guess("counting-guess", QUESTION, GUESSES, 2, ANSWER)
        with gr.Row(elem_classes="mc-beside"):
            with gr.Column():
                self.view = component("counting", {}, "counting")
            with gr.Column():
                self.of = gr.Dropdown(
                    [(corpus_title(), "")], value="", label="Of", visible=False, filterable=False, elem_id="counting-of"
                )
                self.first = gr.Textbox(
                    FIRST,
                    label="After the character",
                    info="one character (or click in a row); leave it empty for the newline",
                    max_lines=1,
                    max_length=1,
                    elem_id="counting-first",
                )
                self.row = component("row", {}, "counting-row")
        outputs = [self.view, self.row]
        options: dict[str, Any] = {"preprocess": False, "trigger_mode": "always_last", **QUIET}
        asked = [self.of, self.first]
        tab.select(self.open, [self.view, *asked], outputs, **options)
        self.first.change(self.show, asked, outputs, **options)
        self.of.input(self.choose, self.of, self.first, **options).then(self.show, asked, outputs, **options)
        self.view.input(self.click, [self.view, self.of], self.first, **options)

    @told
    async def open(self, shown: Any, of: Any, first: Any) -> Any:
        """Draw the plate when the tab first opens."""
        return (gr.skip(),) * 2 if shown else await self.show(of, first)

    @told
    async def show(self, of: Any, first: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the plate with the row of one character marked, and that row; raises gr.Error with one sentence."""
        first = check_text("The character", first, 1) or "\n"
        return await self.service.look(page, await self.pairs(of), first)

    @told
    async def choose(self, of: Any) -> Any:
        """Return the character to begin with: t, or the most frequent one of a text without it."""
        pairs = await self.pairs(of)
        common = pairs.vocabulary[int(pairs.counts.sum(-1).argmax())]
        return FIRST if FIRST in pairs.vocabulary else common.strip("\n")

    @told
    async def click(self, shown: Any, of: Any) -> Any:
        """Return the character whose row was clicked."""
        at = shown.get("chosen") if isinstance(shown, dict) else None
        letters = (await self.service.get(of or COUNTED)).tokenizer.vocabulary if type(at) is int else ""
        return letters[at].strip("\n") if type(at) is int and 0 <= at < len(letters) else gr.skip()

    async def pairs(self, of: Any) -> Pairs:
        """Return the pairs of the bundled models, or those of a visitor's own model `of`."""
        if not of:
            return bundled_pairs(await self.service.get(COUNTED), await self.service.get(LEARNED))
        return await self.service.look(self.own_pairs, await self.service.get(of))

    def own_pairs(self, own: Entry) -> Pairs:
        """Return the pairs of a visitor's own model: counted from its text, and what the bigram model learned."""
        if not isinstance(own.model, CountingLanguageModel | BigramLanguageModel):
            raise ConfigError("This tab shows the rungs counting and bigram; choose one of them.")
        vocabulary = own.tokenizer.vocabulary
        if isinstance(own.model, CountingLanguageModel):
            return Pairs(vocabulary, counted_pairs(own.model), None)
        text = self.service.trainings.job(own.own).order.text
        text = load_corpus().text if text is None else text
        data = torch.tensor(own.tokenizer.encode(text[: int(TRAIN_SHARE * len(text))]))
        return Pairs(vocabulary, count_pairs(data, len(vocabulary)), own.model)

    @property
    def lists(self) -> list[Any]:
        """The components that change with a visitor's own models."""
        return [self.of]

    def with_own(self, mine: Sequence[Job]) -> list[Any]:
        """Return the updates of `lists` for a visitor with the models `mine`."""
        own = [(job.title, job.name) for job in mine if job.order.rung in (COUNTED, LEARNED)]
        return [gr.update(choices=[(corpus_title(), ""), *own], visible=bool(own))]


def bundled_pairs(counting: Entry, bigram: Entry) -> Pairs:
    """Return the pairs of the rungs counting and bigram; raise ConfigError if they do not know the same characters."""
    vocabulary = counting.tokenizer.vocabulary
    if not isinstance(counting.model, CountingLanguageModel) or not isinstance(bigram.model, BigramLanguageModel):
        raise ConfigError("This tab compares the rungs counting and bigram, and one of them is another model here.")
    if bigram.tokenizer.vocabulary != vocabulary:
        raise ConfigError("The counts and the bigram model were made of texts with different characters.")
    return Pairs(vocabulary, counted_pairs(counting.model), bigram.model)


def page(pairs: Pairs, first: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Lay out the plate and the row; raises ConfigError if no such character as `first` is known.

    The plate has the most frequent characters, at the places `at` of the vocabulary; its `times`, `counted` and
    `learned` are tables of float32, row by row, in base64. `learned` is empty where there is only counting.
    """
    vocabulary = pairs.vocabulary
    if first not in vocabulary:
        raise ConfigError("The text that was counted has no such character; choose another.")
    seen = pairs.counts.sum(-1).double()  # (V,)
    of_first = vocabulary.index(first)
    kept = torch.tensor(sorted({of_first, *seen.argsort(descending=True)[:MOST_LETTERS].tolist()}))  # (K,)
    row = int((kept == of_first).nonzero())
    counts = pairs.counts[kept]  # (K, V)
    counted = counts / counts.sum(-1, keepdim=True).clamp(min=1)  # (K, V)
    learned = counted[:, :0] if pairs.bigram is None else learned_pairs(pairs.bigram, kept)  # (K, V)
    known = max(1, int((counts[row] > 0).sum()))
    order = counted[row].argsort(descending=True, stable=True)[: min(SHOWN, known)].tolist()
    plate = {
        "letters": [sign(vocabulary[i]) for i in kept],
        "at": kept.tolist(),
        "row": row,
        "likeliest": int(counts[row, kept].argmax()),
    }
    tables = {"times": counts[:, kept], "counted": counted[:, kept]}
    head, note = ["next", "times", "counted"], PLATE_NOTE
    if pairs.bigram is not None:
        tables["learned"] = learned[:, kept]
        head += ["learned", "difference"]
        # Weighted by how often the text has each character: the difference that a reader would meet.
        weights = seen[kept]
        apart = float(((learned - counted).abs().sum(-1) / 2 * weights).sum() / weights.sum())
        note = (
            f"Counted and learned differ by {apart:.1%} of probability at a character of the text, on average. {note} "
            "Of the difference, five times as strong, blue is less than counted."
        )
    rows = []
    for i in order:
        cells = [sign(vocabulary[i]), f"{counts[row, i]:,}", f"{counted[row, i]:.2%}"]
        if pairs.bigram is not None:
            difference = f"{100 * (learned[row, i] - counted[row, i]):+.2f}".replace("-", "−")
            cells += [f"{learned[row, i]:.2%}", difference]
        rows.append(cells)
    caption = f"What comes after “{sign(first)}”, which is there {counts[row].sum():,} times"
    plate |= {"learned": ""} | {name: _encoded(table) for name, table in tables.items()}
    return plate, {"caption": caption, "head": head, "rows": rows, "note": note}


def _encoded(table: Tensor) -> str:
    return base64.b64encode(table.float().contiguous().numpy().tobytes()).decode()
