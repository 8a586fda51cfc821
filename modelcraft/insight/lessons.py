"""What a reader can see of a rung: its lesson, a question, its code, and the lines that the rung below does not have.

All of it comes from the rung's own file: the lesson and the question are its docstring, and the code is the rest, as
far as it is the lesson.
"""

import ast
import difflib
import inspect
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcraft.ladder import Rung, rung_named
from modelcraft.model import LanguageModel
from modelcraft.store.folder import CARD_FILE
from modelcraft.support.files import HOME

ASKS = "Before you run it: "
BUDGET = "benchmarks/ladder.py"  # where an answer comes from that `ablations` bear out
ABLATIONS = HOME / "docs" / "ladder.jsonl"


@dataclass(frozen=True)
class Line:
    """A line of code; `new` means that the rung below does not have it in this place."""

    text: str
    new: bool


@dataclass(frozen=True)
class Lesson:
    """Everything to read about a rung; `below` is the rung that it is compared with, if any.

    `text` is the lesson without its `question`, which is there to be guessed at before the `answer` is read.
    """

    name: str
    text: str
    question: str
    answer: str
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
    text, question, answer = asked(inspect.getdoc(inspect.getmodule(rung.model_class)) or "")
    return Lesson(
        name=name,
        text=text,
        question=question,
        answer=answer,
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
            found.append((textwrap.dedent(point) if as_it_stands else " ".join(point.split()), as_it_stands))
    return found


def asked(text: str) -> tuple[str, str, str]:
    """Divide a docstring into the lesson, the question at its end, and the answer, which stands in brackets there."""
    lesson, _, rest = text.removeprefix("Rung: ").partition(ASKS)
    question, _, answer = " ".join(rest.split()).rpartition("? (")
    first = question.split(" ", 1)[0]
    question = question if "_" in first else question[:1].upper() + question[1:]  # a name in the code stays as it is
    lesson = lesson.strip()
    return lesson[:1].upper() + lesson[1:], f"{question}?" if question else "", answer.removesuffix(")")


def code(rung: Rung) -> list[str]:
    """Return the lines of a rung's file that are its lesson.

    The docstring is left out, and so is what a reader need not know to understand the rung: imports, checks, and the
    methods and functions that only fit it into the rest of the package.
    """
    source = inspect.getsource(inspect.getmodule(rung.model_class) or rung.model_class)
    lines, left_out = re.sub(r"  # type: ignore\S*$", "", source, flags=re.MULTILINE).split("\n"), set[int]()
    tree = ast.parse(source)
    for part in (tree.body[0], *filter(_fits_in, ast.walk(tree))):
        if isinstance(part, ast.stmt):
            left_out |= set(range(_first_line(part) - 1, part.end_lineno or 0))
    text = "\n".join(line for number, line in enumerate(lines) if number not in left_out)
    text = re.sub(r"\n{2,}(?= )", "\n\n", text.strip("\n"))  # one blank line within a class is enough,
    return re.sub(r"\n{3,}", "\n\n\n", text).split("\n")  # and two elsewhere


def _fits_in(part: ast.AST) -> bool:
    """Say whether a part of the code only fits a rung into the package: an import, a check, what every model has."""
    match part:
        case ast.FunctionDef(name=name):
            return name not in ("__init__", "forward") and (name.startswith("_") or hasattr(LanguageModel, name))
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(body=[ast.Raise()], orelse=[]):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))):
            return name.endswith("_hook")
    return False


def _first_line(part: ast.stmt) -> int:
    decorators = part.decorator_list if isinstance(part, ast.FunctionDef | ast.ClassDef) else []
    return min([part.lineno, *(one.lineno for one in decorators)])


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
