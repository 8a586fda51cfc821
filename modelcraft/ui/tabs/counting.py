"""Counting and learning: the counted pairs of characters, what the bigram model learned, and the difference."""

from typing import TYPE_CHECKING, Any

import gradio as gr
import torch
from torch import Tensor

from modelcraft.bigram import BigramLanguageModel
from modelcraft.counting import CountingLanguageModel
from modelcraft.insight.tables import counted_pairs, learned_pairs
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.service import Service
from modelcraft.support.checks import check_text
from modelcraft.support.errors import ConfigError
from modelcraft.ui.plots import INK, heat, name_ticks, plot, plots_view, sign
from modelcraft.ui.widgets import QUIET, guess, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 10
COUNTED, LEARNED = "counting", "bigram"
QUESTION = "Before you choose q: of all the q's in tiny Shakespeare, how many are followed by u?"
GUESSES = ("Nine of ten", "All but a few", "All")
ANSWER = (
    "All 563 of them. So counting is certain, and gives any other character no chance at all; the bigram model, which "
    "gradient descent moves towards the same shares step by step, has come to 99.99 %. Choose q and see."
)


class CountingView:
    """The tab: three tables with a row and a column for each character, and the row of the chosen character."""

    def __init__(self, service: Service, tab: gr.Tab) -> None:
        self.service = service
        self.view = plots_view("counting", 640)
        guess("counting-guess", QUESTION, GUESSES, 2, ANSWER)
        self.first = gr.Textbox(
            "t",
            label="After the character",
            info="one character; leave it empty for the newline",
            max_lines=1,
            max_length=1,
            elem_id="counting-first",
        )
        tab.select(self.open, [self.view, self.first], self.view, preprocess=False, **QUIET)
        self.first.change(self.show, self.first, self.view, preprocess=False, trigger_mode="always_last", **QUIET)

    @told
    async def open(self, shown: Any, first: Any) -> Any:
        """Draw the tables when the tab first opens."""
        return gr.skip() if shown else await self.show(first)

    @told
    async def show(self, first: Any) -> dict[str, Any]:
        """Return the page with the row of one character marked; raises gr.Error with one sentence."""
        first = check_text("The character", first, 1) or "\n"
        counting, bigram = await self.service.get(COUNTED), await self.service.get(LEARNED)
        return await self.service.look(page, counting, bigram, first)


def page(counting: Entry, bigram: Entry, first: str) -> dict[str, Any]:
    """Lay out the tables; raises ConfigError if the two models' characters differ, or if they do not know `first`."""
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
    difference = learned - counted
    seen = counts.sum(-1, dtype=torch.double)
    # Weighted by how often the text has each character: the difference that a reader would meet.
    apart = float((difference.abs().sum(-1) / 2 * seen).sum() / seen.sum())

    def drawing(table: Tensor, most: float) -> Any:
        def draw(axes: "Axes") -> None:
            shown = table.sign() * table.abs().sqrt()  # makes rare pairs visible, too
            heat(axes, shown, most**0.5)
            name_ticks(axes, vocabulary, vocabulary, 22)
            axes.axhline(row - 0.5, color=INK, linewidth=0.5)
            axes.axhline(row + 0.5, color=INK, linewidth=0.5)
            axes.set(xlabel="next", ylabel="after")

        return draw

    after = f"after “{sign(first)}”"
    order = (
        counted[row].argsort(descending=True, stable=True)[: min(SHOWN, max(1, int((counts[row] > 0).sum())))].tolist()
    )
    likely = ", ".join(f"{sign(vocabulary[i])} {counted[row, i]:.1%}" for i in order[:3])
    expected = ", ".join(
        f"{sign(vocabulary[i])} {learned[row, i]:.1%}" for i in learned[row].argsort(descending=True)[:3]
    )
    return {
        "said": f"The two differ by {apart:.1%} of probability at a character of the text, on average.",
        "plots": [
            plot("counted", f"Shares of what came {after} in the text: {likely}.", drawing(counted, 1)),
            plot("learned", f"What the bigram model expects {after}: {expected}.", drawing(learned, 1)),
            plot(
                "learned − counted, five times as strong",
                f"The difference; the largest of all is {difference.abs().max():.1%}. Red: learned more, blue: less.",
                drawing(difference, 0.2),
            ),
        ],
        "tables": [
            {
                "caption": f"What comes {after}, which is there {counts[row].sum():,} times",
                "head": ["next", "times", "counted", "learned", "difference"],
                "rows": [
                    [
                        sign(vocabulary[i]),
                        f"{counts[row, i]:,}",
                        f"{counted[row, i]:.2%}",
                        f"{learned[row, i]:.2%}",
                        f"{100 * difference[row, i]:+.2f} points",
                    ]
                    for i in order
                ],
            }
        ],
        "note": "The redder the likelier, by the square root, so that rare pairs are seen; blue is less than counted.",
    }
