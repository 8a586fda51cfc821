"""Draw pictures with matplotlib, which is imported for the first picture.

The environment and a `matplotlibrc` do not change them: no window system, no notebook, no TeX.
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

_DRAWING = threading.Lock()  # all threads share matplotlib's settings


@contextlib.contextmanager
def picture(
    width: float, height: float, settings: Mapping[str, Any] | None = None
) -> Iterator[tuple["Figure", "Axes"]]:
    """Yield a figure of `width` × `height` inches, and its axes, to draw and save in the block; text is never math.

    `settings` replace matplotlib's own defaults.
    """
    with _DRAWING:
        _import_matplotlib()
        import matplotlib
        from matplotlib.figure import Figure  # not pyplot: no global state, no window system

        default = matplotlib.rcParamsDefault
        plain: Any = {name: default[name] for name in default if not name.startswith("backend")}
        plain |= {"text.parse_math": False, **(settings or {})}  # a name with two dollar signs is not a formula
        with matplotlib.rc_context(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # matplotlib's own font may lack a character
            figure = Figure(figsize=(width, height), layout="constrained")
            yield figure, figure.add_subplot()


def _import_matplotlib() -> None:
    """Import matplotlib without MPLBACKEND: a named backend that is not installed here would fail the import."""
    if "matplotlib" in sys.modules:
        return
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):  # other code, such as a notebook, gets the backend that was named
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
