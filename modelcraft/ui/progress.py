"""The progress of a training: its state, its losses over the steps, and what the model writes so far."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from modelcraft.serving.training_job import Job, Status
from modelcraft.store.card import write_sample
from modelcraft.training.fit import FITS
from modelcraft.ui.plots import MUTED, RUBRIC, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def may(job: Job | None) -> list[Any]:
    """Return updates that enable or disable the buttons Train, Pause, Resume, Stop, Play it and Download."""
    state = job.status if job is not None and not job.wanted else None
    over = job is None or job.status in (Status.DONE, Status.FAILED)
    running = state in (Status.WAITING, Status.TRAINING)
    able = (
        over,
        running,
        state == Status.PAUSED,
        running or state == Status.PAUSED,
        state == Status.DONE,
        state == Status.DONE,
    )
    return [gr.update(interactive=one) for one in able]


def sheet(job: Job, records: Sequence[dict[str, float]], place: int, wait: float = 0.0) -> dict[str, Any]:
    """Lay out a training's state, its losses over the steps, and what the model writes so far."""
    page: dict[str, Any] = {"said": said(job, records, place, wait), "note": note(job)}
    if records:
        last = records[-1]
        page["plots"] = [
            plot(
                "loss, nats per character",
                f"After {last['step']:,.0f} steps: training loss {last['train_loss']:.3f}, validation loss "
                f"{last['val_loss']:.3f}; at the beginning it was {records[0]['val_loss']:.3f}.",
                lambda axes: curves(axes, records, job.order.steps),
                width=4.4,
                height=3.1,
            )
        ]
        sample = job.sample
        page["texts"] = [{"title": f"what it writes after {last['step']:,.0f} steps", "text": sample}]
    elif job.status == Status.DONE:
        page["texts"] = [{"title": "what it writes", "text": write_sample(job.entry.model, job.entry.tokenizer)}]
    return page


def curves(axes: "Axes", records: Sequence[dict[str, float]], steps: int) -> None:
    """Draw both losses over the steps."""
    at = [record["step"] for record in records]
    for key, label, colour, style in (("train_loss", "training", MUTED, "--"), ("val_loss", "validation", RUBRIC, "-")):
        losses = [record[key] for record in records]
        axes.plot(at, losses, style, color=colour, marker="o", markersize=2.5, label=f"{label} {losses[-1]:.3f}")
    axes.set(xlabel="steps", xlim=(0, max(steps, 1)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def said(job: Job, records: Sequence[dict[str, float]], place: int, wait: float = 0.0) -> str:
    """Say in one sentence what a training is doing."""
    order, counted = job.order, job.order.rung in FITS
    step = f"step {records[-1]['step']:,.0f} of {order.steps:,}" if records else ""
    measuring = "measuring its exact loss …"
    trained = bool(records) and records[-1]["step"] >= order.steps
    queue = f"waiting, {place} training{'s' if place > 1 else ''} before it, {about(wait)}"
    now = {
        Status.WAITING: queue if place else "it begins now",
        Status.TRAINING: measuring if trained else step or ("counting …" if counted else "getting ready …"),
        Status.PAUSED: f"paused at {step}" if records else "paused before it began",
        Status.FINISHING: measuring,
        Status.FAILED: job.problem,
        Status.DONE: f"done in {job.worked:,.0f} seconds",
    }[job.status]
    if job.status == Status.TRAINING and job.wanted:
        now = f"{'pausing' if job.wanted == Status.PAUSED else 'stopping'} after the step at hand …"
    if job.status == Status.DONE and (loss := job.entry.info.validation_loss) is not None:
        now += f"; exact validation loss {loss:.4f} nats per character"
    start = ", from the bundled model" if order.from_bundled else ""
    return f"{order.rung} on {order.title}{start}: {now}"


def about(seconds: float) -> str:
    """Say roughly how long a wait is."""
    minutes = round(seconds / 60)
    return "less than a minute" if seconds < 50 else f"about {max(1, minutes)} minute{'s' if minutes > 1 else ''}"


def note(job: Job) -> str:
    """Say what a visitor can do while a training runs and when it is done."""
    if job.status != Status.DONE:
        return "You may close this page: the training goes on, and is here when you come back with this browser."
    return (
        "Play it in the chat, and look into it in the other tabs: their lists have it as yours. It stays some two "
        "hours; what you want to keep, download. The next training takes its place."
    )
