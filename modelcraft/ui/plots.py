"""Plots: matplotlib draws them as SVG in the page's own colours, so that they are legible in light and dark mode.

The page shows one as {"title", "svg", "alt"}, with `drawnPicture` of shared.js.
"""

import io
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from modelcraft.training.plots import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Placeholders for the page's colours, which the style sheet defines.
INK, RUBRIC, MUTED = "#010203", "#040506", "#070809"
_STYLE = {INK: "currentColor", RUBRIC: "var(--mc-rubric)", MUTED: "var(--mc-muted)"}
HEAT, COLD = (200 / 255, 85 / 255, 58 / 255), (58 / 255, 120 / 255, 170 / 255)
_SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def sign(character: str) -> str:
    """Return a visible sign for a character that is invisible or would change the direction of text beside it."""
    if character in _SIGNS:
        return _SIGNS[character]
    if character < " ":
        return chr(0x2400 + ord(character))  # Unicode's pictures of control characters
    if unicodedata.category(character) in _UNSEEN:
        return f"U+{ord(character):04X}"
    return f"◌{character}" if unicodedata.combining(character) else character


def plot(
    title: str, alt: str, draw: Callable[["Axes"], None], width: float = 4.2, height: float = 4.2
) -> dict[str, str]:
    """Draw a picture of `width` × `height` inches, 72 pixels each; `alt` says what the picture shows."""
    names = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: dict[str, Any] = dict.fromkeys(names, INK) | {"axes.edgecolor": MUTED, "font.size": 9}
    settings["svg.fonttype"] = "none"  # text stays text, in the page's font, which may have what matplotlib's lacks
    with picture(width, height, settings) as (figure, axes):
        figure.patch.set_alpha(0)
        axes.patch.set_alpha(0)
        draw(axes)
        written = io.StringIO()
        figure.savefig(written, format="svg", backend="svg", metadata={"Date": None})
    svg = written.getvalue()
    for stands_for, colour in _STYLE.items():
        svg = svg.replace(stands_for, colour)
    return {"title": title, "svg": svg[svg.index("<svg") :], "alt": alt}


def heat(axes: "Axes", values: Any, most: float, **options: Any) -> None:
    """Draw a matrix; cells are redder towards `most`, bluer towards -`most`, and show the paper at 0."""
    import numpy as np

    values = np.nan_to_num(np.asarray(values, dtype=float), posinf=0, neginf=0)  # (N, M)
    share = np.clip(values / max(most, 1e-12), -1, 1)
    colours = np.where((share >= 0)[..., None], HEAT, COLD)  # (N, M, 3)
    axes.imshow(np.concatenate((colours, np.abs(share)[..., None]), -1), interpolation="nearest", **options)


def name_ticks(axes: "Axes", rows: Sequence[str], columns: Sequence[str], most: int = 70) -> None:
    """Write the characters along both sides; only some if there are more than `most`."""
    for axis, characters in ((axes.yaxis, rows), (axes.xaxis, columns)):
        step = -(-len(characters) // most)
        places = range(0, len(characters), max(1, step))
        axis.set_ticks(list(places), [sign(characters[place]) for place in places])
        axis.set_tick_params(length=0, pad=1)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
