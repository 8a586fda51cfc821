"""Pictures, drawn with matplotlib, which is imported when the first one is asked for."""

from collections.abc import Sequence
from pathlib import Path

from modelcraft.files import replacing


def loss_curve(records: Sequence[dict[str, float]], path: Path, title: str) -> None:
    """Draw the training and the validation loss of `records` over the characters seen, as a PNG at `path`."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no window system

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    seen = [record["characters"] / 1e6 for record in records]
    for key, label, color, style in (
        ("train_loss", "training", "#8a8578", "--"),
        ("val_loss", "validation", "#8c2f1b", "-"),
    ):
        losses = [record[key] for record in records]
        axes.plot(seen, losses, style, color=color, marker="o", markersize=3, label=f"{label} {losses[-1]:.3f}")
    axes.set(title=title, xlabel="characters seen (millions)", ylabel="loss (nats per character, estimated)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with replacing(path) as aside:
        figure.savefig(aside, format="png")
