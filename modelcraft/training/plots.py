"""Pictures, drawn with matplotlib, which is imported when the first one is asked for.

They are the same whatever the environment and a `matplotlibrc` say: no window system, no notebook, no TeX.
"""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcraft.support.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DRAWING = threading.Lock()  # matplotlib's settings are one for all threads


@contextlib.contextmanager
def picture(
    width: float, height: float, settings: Mapping[str, Any] | None = None
) -> Iterator[tuple["Figure", "Axes"]]:
    """Give a figure, `width` × `height` inches, to draw in and to save within the block; text in it is text.

    `settings` are matplotlib's, in place of its own defaults.
    """
    with _DRAWING:
        _import_matplotlib()
        import matplotlib
        from matplotlib.figure import Figure  # not pyplot: no global state, no window system

        default = matplotlib.rcParamsDefault
        plain: Any = {name: default[name] for name in default if not name.startswith("backend")}
        plain |= {"text.parse_math": False, **(settings or {})}  # a name with two dollar signs is no formula
        with matplotlib.rc_context(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that matplotlib's own font lacks a sign
            figure = Figure(figsize=(width, height), layout="constrained")
            yield figure, figure.add_subplot()


def _import_matplotlib() -> None:
    """Import matplotlib, whatever backend MPLBACKEND names: one that is not installed here would forbid the import."""
    if "matplotlib" in sys.modules:
        return
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):  # whoever draws beside us, as in a notebook, has it as it was named
            matplotlib.rcParams["backend"] = named


def loss_curve(records: Sequence[dict[str, float]], path: Path, title: str) -> None:
    """Draw the training and the validation loss of `records` over the characters seen, as a PNG at `path`."""
    with picture(7, 4) as (figure, axes):
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
            figure.savefig(aside, format="png", dpi=110, backend="agg")
