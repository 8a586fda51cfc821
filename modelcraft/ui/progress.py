"""The progress of a training: its state, its losses over the steps, and what the model writes so far."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from modelcraft.ladder import RUNGS
from modelcraft.serving.training_job import Job, Status
from modelcraft.store.card import write_sample
from modelcraft.training.fit import FITS
from modelcraft.ui.plots import MUTED, RUBRIC, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def may(job: Job | None) -> list[Any]:
    """Return updates for the buttons Train, Pause, Resume, Stop, Play it, Race it, Train on and Download."""
    state = job.status if job is not None and not job.wanted else None
    over = job is None or job.status in (Status.DONE, Status.FAILED)
    running = state in (Status.WAITING, Status.TRAINING)
    able = (
        over,
        running,
        state == Status.PAUSED,
        running or state == Status.PAUSED,
        state == Status.DONE,
        state == Status.DONE and job is not None and RUNGS[job.order.rung].model_class.continues,
        state == Status.DONE and job is not None and job.order.rung not in FITS,
        state == Status.DONE,
    )
    return [gr.update(interactive=one) for one in able]


def sheet(
    job: Job, records: Sequence[dict[str, float]], place: int, wait: float = 0.0, left: float = 0.0
) -> dict[str, Any]:
    """Lay out a training's state, its losses over the steps, and what the model writes so far.

    `place` is how many trainings are before it, for some `wait` seconds; it takes some `left` seconds more.
    """
    page: dict[str, Any] = {
        "heading": heading(job),
        "now": now(job, records, place, wait, left),
        "share": 1.0 if job.status == Status.DONE else _share(job, records),
        "status": str(job.status),
        "note": note(job),
    }
    if records:
        last = records[-1]
        page["plots"] = [
            plot(
                "loss, nats per character",
                f"After {last['step']:,.0f} steps: training loss {last['train_loss']:.3f}, validation loss "
                f"{last['val_loss']:.3f}; at the beginning it was {records[0]['val_loss']:.3f}.",
                lambda axes: curves(axes, records, job.order.steps),
                width=4.4,
                height=3.9,
            )
        ]
        sample = job.sample
        page["texts"] = [{"title": f"what it writes after {last['step']:,.0f} steps", "text": sample}]
    elif job.status == Status.DONE:
        page["texts"] = [{"title": "what it writes", "text": write_sample(job.entry.model, job.entry.tokenizer)}]
    return page


def _share(job: Job, records: Sequence[dict[str, float]]) -> float:
    return min(1.0, records[-1]["step"] / job.order.steps) if records else 0.0


def curves(axes: "Axes", records: Sequence[dict[str, float]], steps: int) -> None:
    """Draw both losses over the steps."""
    at = [record["step"] for record in records]
    for key, label, colour, style in (("train_loss", "training", MUTED, "--"), ("val_loss", "validation", RUBRIC, "-")):
        losses = [record[key] for record in records]
        axes.plot(at, losses, style, color=colour, marker="o", markersize=2.5, label=f"{label} {losses[-1]:.3f}")
    axes.set(xlabel="steps", xlim=(0, max(steps, 1)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def heading(job: Job) -> str:
    """Say what is trained, or what became of it."""
    if job.status == Status.DONE:
        loss = job.entry.info.validation_loss
        if job.problem:
            return "It is what it was"
        return "Done" if loss is None else f"Done: exact validation loss {loss:.4f}"
    start = ", from the bundled model" if job.order.from_bundled else ""
    start = ", trained on" if job.first_step else start
    return f"{job.order.rung} on {job.order.title}{start}"


def now(job: Job, records: Sequence[dict[str, float]], place: int, wait: float = 0.0, left: float = 0.0) -> str:
    """Say in one sentence what a training is doing."""
    order, counted = job.order, job.order.rung in FITS
    step = f"step {records[-1]['step']:,.0f} of {order.steps:,}" if records else ""
    measuring = "measuring its exact loss …"
    trained = bool(records) and records[-1]["step"] >= order.steps
    queue = f"waiting, {place} training{'s' if place > 1 else ''} before it, {about(wait)}"
    said = {
        Status.WAITING: queue if place else "it begins now",
        Status.TRAINING: measuring if trained else step or ("counting …" if counted else "getting ready …"),
        Status.PAUSED: f"paused at {step}" if records else "paused before it began",
        Status.FINISHING: measuring,
        Status.FAILED: job.problem,
        Status.DONE: "",
    }[job.status]
    if job.status == Status.TRAINING and job.wanted:
        said = f"{'pausing' if job.wanted == Status.PAUSED else 'stopping'} after the step at hand …"
    elif job.status == Status.TRAINING and records and not trained:
        said += f"{speed(records)} · {about(left)} left"
    elif job.status == Status.DONE:
        loss = job.entry.info.validation_loss
        start = ", from the bundled model" if order.from_bundled else ""
        said = job.problem or f"{job.title}{start}, in {job.worked:,.0f} seconds."
        if loss is not None:
            said += f" It is as unsure as a choice among {math.exp(loss):.1f} characters, all equally likely."
    return said


def speed(records: Sequence[dict[str, float]]) -> str:
    """Say how many steps a second the last ones took, if that is known."""
    if len(records) < 2 or (seconds := records[-1]["seconds"] - records[-2]["seconds"]) <= 0:
        return ""
    rate = (records[-1]["step"] - records[-2]["step"]) / seconds
    return f" · {rate:,.0f} steps a second" if rate >= 10 else f" · {rate:.1f} steps a second"


def about(seconds: float) -> str:
    """Say roughly how long a wait is."""
    minutes = round(seconds / 60)
    return "less than a minute" if seconds < 50 else f"about {max(1, minutes)} minute{'s' if minutes > 1 else ''}"


def note(job: Job) -> str:
    """Say what a visitor can do while a training runs and when it is done."""
    if job.status != Status.DONE:
        return "You may close this page: the training goes on, and is here when you come back with this browser."
    return (
        f"Play it in the chat, race it, look into it in the other tabs: their lists have it as “{job.title}”. To train "
        "on, choose how many more steps. Your newest three models stay some two hours, less where many train: download "
        "what you want to keep."
    )
