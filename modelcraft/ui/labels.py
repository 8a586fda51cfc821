"""A model's figures in words, which the choosers and column headings show before any model is loaded."""

import math
from collections.abc import Callable, Sequence

from modelcraft.serving.catalogue import Catalogue, Entry, Figures
from modelcraft.serving.training_job import Job
from modelcraft.tokenizer import Normalized

GUESSING = math.log(65)  # nats per character, on tiny Shakespeare: the full length of a bar


def choices(
    catalogue: Catalogue, mine: Sequence[Job] = (), able: Callable[[str], bool] = lambda _: True
) -> list[tuple[str, str]]:
    """Return (label, name) for every rung that is `able`, in the order of the ladder, then for the visitor's own."""
    rungs = [(label(catalogue.figures(name)), name) for name in catalogue.names if able(name)]
    return [*rungs, *(label_of(job) for job in mine if able(job.order.rung))]


def label(figures: Figures) -> str:
    """Describe a model in one line, such as "gpt · 4.7 M parameters · loss 1.412"."""
    return " · ".join(part for part in (figures.name, parameters(figures), loss(figures)) if part)


def label_of(job: Job) -> tuple[str, str]:
    """Return the label of a visitor's own model in a list, and the name that requests use."""
    loss = job.info.validation_loss
    return job.title + (f" · loss {loss:.3f}" if loss is not None else ""), job.name


def parameters(figures: Figures) -> str:
    """Say how many parameters a model has; return nothing for an unreadable folder."""
    return "" if figures.parameters is None else counted(figures.parameters)


def counted(count: int) -> str:
    """Say a number of parameters."""
    return f"{count:,} parameters" if count < 1_000_000 else f"{count / 1e6:.1f} M parameters"


def loss(figures: Figures) -> str:
    """Say the exact loss, in nats per character; return nothing for an unreadable folder."""
    if figures.loss is not None:
        return f"loss {figures.loss:.3f}"
    return "" if figures.parameters is None else "loss not measured"


def share(figures: Figures) -> float:
    """Return the length of the loss bar, from 0 (loss not measured) to 1 (no better than guessing)."""
    return round(min(1.0, (figures.loss or 0.0) / GUESSING), 4)


def left_out(entry: Entry, read: Normalized) -> str:
    """Say what was changed in a text, and what of it is too long ago for the model."""
    most = entry.model.block_size
    report = read.report()
    return f"{entry.title} sees the last {most} characters only. {report}".strip() if len(read.text) > most else report


def nothing_to_read(entry: Entry, text: str, read: Normalized) -> str:
    """Say why there is nothing to look at, for a text of which nothing is known."""
    return f"{entry.title} knows none of these characters. {read.report()}" if text else "Write a text first."
