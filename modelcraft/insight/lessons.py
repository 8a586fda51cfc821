"""What a reader can see of a rung: its lesson, its code, and the lines that the rung below does not have.

All of it comes from the rung's own file: the lesson is its docstring, and the code is the rest.
"""

import difflib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcraft.ladder import Rung, rung_named
from modelcraft.store.folder import CARD_FILE
from modelcraft.support.files import HOME

ABLATIONS = HOME / "docs" / "ladder.jsonl"


@dataclass(frozen=True)
class Line:
    """A line of code; `new` means that the rung below does not have it in this place."""

    text: str
    new: bool


@dataclass(frozen=True)
class Lesson:
    """Everything to read about a rung; `below` is the rung that it is compared with, if any."""

    name: str
    text: str
    file: str
    code: Sequence[Line]
    settings: Mapping[str, tuple[Any, bool]]  # its config: each value, and whether it is new
    below: str | None

    @property
    def same_code(self) -> bool:
        """Whether no line of code is new, and only the settings differ."""
        return self.below is not None and not any(line.new for line in self.code)


def lesson(name: str) -> Lesson:
    """Collect the lesson of the rung `name`; raise ConfigError for an unknown one."""
    rung = rung_named(name)
    path = Path(inspect.getsourcefile(rung.model_class) or "")
    below = rung.below
    lines = code(rung)
    fields = vars(rung.config)
    theirs = vars(rung_named(below).config) if below else fields
    return Lesson(
        name=name,
        text=inspect.getdoc(inspect.getmodule(rung.model_class)) or "",
        file=f"modelcraft/{path.name}",
        code=compared(lines, code(rung_named(below))) if below else [Line(line, False) for line in lines],
        settings={key: (value, key not in theirs or theirs[key] != value) for key, value in fields.items()},
        below=below,
    )


def paragraphs(text: str) -> list[tuple[str, bool]]:
    """Split a lesson into paragraphs, each joined into one line, and formulas and tables (True), unchanged."""
    found: list[tuple[str, bool]] = []
    for part in text.split("\n\n"):
        for point in re.split(r"\n(?=- )", part):
            as_it_stands = point.startswith(" ")
            found.append((point if as_it_stands else " ".join(point.split()), as_it_stands))
    return found


def code(rung: Rung) -> list[str]:
    """Return the lines of a rung's file without its lesson."""
    source = inspect.getsource(inspect.getmodule(rung.model_class) or rung.model_class)
    return source.partition('"""\n')[2].strip("\n").split("\n")


def compared(lines: Sequence[str], below: Sequence[str]) -> list[Line]:
    """Mark the lines that `below` does not have in the same order; ignore blank lines and indentation."""
    theirs, ours = [line.strip() for line in below], [line.strip() for line in lines]
    matches = difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks()
    old = {number for _, start, size in matches for number in range(start, start + size)}
    return [Line(line, number not in old and bool(line.strip())) for number, line in enumerate(lines)]


def sample(folder: Path) -> str:
    """Return the sample text in the model card in `folder`, or "" if there is none."""
    try:
        card = (folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.findall(r"^(`{3,})text\n(.*?)\n\1$", card, flags=re.MULTILINE | re.DOTALL)
    return str(found[-1][1]) if found else ""


def ablations(path: Path = ABLATIONS) -> list[tuple[str, list[float]]]:
    """Return (what was trained, its exact loss per seed), as benchmarks/ladder.py wrote them; [] without that file."""
    found: dict[str, list[float]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            found.setdefault(str(record["rung"]), []).append(float(record["val_loss"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return list(found.items())
