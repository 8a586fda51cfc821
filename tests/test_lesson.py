"""The notebook docs/lesson.ipynb: every cell runs, what it teaches comes true, and what is committed is clean."""

import ast
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from modelcraft.store.folder import WEIGHTS_DIR, read_info

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "lesson.ipynb"
STEPS = 30
NETWORKS = ["bigram", "averaging", "head", "multihead", "feedforward", "residual", "block", "gpt"]
TOLD = """
import json

print(json.dumps({"losses": losses, "curves": curves, "triangle": average_softmax(torch.eye(5)[None])[0].tolist()}))
"""
PLACES = re.compile(
    r"(?<![\w.])/(home|root|tmp|work|usr|opt|var|mnt|content|Users|private)\b|[A-Z]:\\\\|https?://|localhost"
)


@pytest.fixture(scope="module")
def lesson():
    """The notebook as it is committed."""
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.fixture(scope="module")
def taught(chain, chain_text, tmp_path_factory):
    """A run on a small budget, of a text whose entropy is known: the notebook, and what its variables then hold."""
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "text.txt").write_text(chain_text, encoding="utf-8")
    surroundings = {
        **os.environ,
        "MODELCRAFT_CORPUS": str(folder / "text.txt"),
        "MODELCRAFT_LESSON_STEPS": str(STEPS),
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder),
    }
    surroundings.pop("MPLBACKEND", None)
    notebook = nbformat.read(FILE, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(TOLD))
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=150, coalesce_streams=True, resources=where).execute(env=surroundings)
    return notebook, json.loads(printed(notebook.cells.pop()))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def cell_named(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def test_every_cell_runs_in_order_and_says_nothing_unasked(taught):
    notebook, _ = taught
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data"), (cell.id, output)
            assert output.get("name", "stdout") == "stdout", (cell.id, output.text)


def test_every_rung_starts_at_an_even_guess_and_learns(taught, chain):
    _, told = taught
    assert list(told["losses"]) == ["counting", *NETWORKS]
    even = math.log(len(chain.alphabet))
    for rung, (before, after) in told["losses"].items():
        assert before == pytest.approx(even, abs=0.1), rung
        # What is lower than the entropy has seen the character that it predicts.
        assert chain.entropy - 0.03 < after < min(before, even) - 0.02, rung
    learned = {rung: after for rung, (_, after) in told["losses"].items()}
    assert learned["averaging"] > learned["bigram"] > learned["head"] > learned["gpt"]


def test_the_curves_are_of_the_budget_that_was_asked_for(taught):
    _, told = taught
    assert list(told["curves"]) == NETWORKS
    for rung, records in told["curves"].items():
        assert [record["step"] for record in records] == [0, 20, STEPS], rung
        assert records[-1]["val_loss"] < records[0]["val_loss"], rung


def test_what_it_shows_on_the_way(taught, chain):
    notebook, told = taught
    assert told["triangle"] == [pytest.approx([1 / (t + 1)] * (t + 1) + [0] * (4 - t)) for t in range(5)]
    assert printed(cell_named(notebook, "averaging-source")).count("True") == 2
    *before, last = ast.literal_eval(printed(cell_named(notebook, "head-mask")))
    assert before == [0] * 7 and last > 0.1
    pairs = float(re.search(r"pairs counted +([\d.]+)", printed(cell_named(notebook, "counting-pairs-loss")))[1])
    assert pairs == pytest.approx(chain.entropy, abs=0.02)
    assert "(4, 8, 5)" in printed(cell_named(notebook, "bigram-shapes"))
    for rung in NETWORKS:  # after its losses come the prompt, what it wrote, and the end of print
        _, wrote = re.split(r"after .*\n", printed(cell_named(notebook, f"{rung}-learn")))
        assert len(wrote) == 202 and set(wrote) <= set(chain.alphabet), rung
    for picture in ("head-picture", "multihead-picture", "ladder-plot"):
        assert "image/png" in cell_named(notebook, picture).outputs[0].data
    assert printed(cell_named(notebook, "bundled-gpt")).startswith("ROMEO:")


def test_the_committed_run_is_whole_and_of_the_budget_that_the_code_names(lesson):
    cells = code_cells(lesson)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        ast.parse(cell.source)
        assert all(output.output_type in ("stream", "display_data") for output in cell.outputs), cell.id
    steps = re.search(r'_STEPS", "(\d+)"', cell_named(lesson, "budget").source)[1]
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+)", printed(cell_named(lesson, "ladder-table")), re.MULTILINE)
    losses = {rung: (float(before), float(after)) for rung, before, after in rows}
    assert list(losses) == ["counting", *NETWORKS]
    for rung, (before, after) in losses.items():
        assert before == pytest.approx(math.log(65), abs=0.05) and after < 3.5, rung
        if rung in NETWORKS:
            said = printed(cell_named(lesson, f"{rung}-learn"))
            assert f"after {steps} steps       {after:.3f}" in said and f"before training  {before:.3f}" in said
    # What the prose says of them.
    learned = {rung: after for rung, (_, after) in losses.items()}
    assert learned["counting"] == pytest.approx(read_info(WEIGHTS_DIR / "counting").validation_loss, abs=1e-3)
    assert learned["averaging"] > learned["bigram"] > learned["head"] > learned["multihead"] > learned["feedforward"]
    assert learned["feedforward"] > learned["block"] > learned["residual"] > learned["gpt"] > learned["counting"]


def test_the_figures_in_its_prose_are_those_of_the_bundled_weights(lesson):
    prose = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    loss = {name: read_info(WEIGHTS_DIR / name).validation_loss for name in ("gpt", "block", "residual")}
    assert f"Its validation loss is {loss['gpt']:.4f}" in prose
    assert f"{loss['block']:.2f} against {loss['residual']:.2f}" in prose
    table = (ROOT / "docs" / "ladder.md").read_text(encoding="utf-8")
    without, one = (
        float(re.search(rf"\| {row} \| [\d,]+ \| ([\d.]+)", table)[1]) for row in ("no residual path", "feedforward")
    )
    assert f"three blocks end at {without:.2f}" in prose and f"one block without them, at {one:.2f}" in prose
    told = (ROOT / "modelcraft" / "counting.py").read_text(encoding="utf-8")
    assert "order 10 (1.522)" in told and "is higher, 1.522" in prose
    assert "That costs 2.482" in told and "where counting pairs did, at 2.482" in prose
    for file in re.findall(r"`(modelcraft/\w+\.py|docs/[\w.]+)`", prose):
        assert (ROOT / file).exists(), file
    assert set(NETWORKS) <= {cell.id.split("-")[0] for cell in lesson.cells}


def test_it_is_clean(lesson):
    assert lesson.metadata.kernelspec.name == "python3"
    assert set(lesson.metadata) <= {"kernelspec", "language_info"}
    assert FILE.stat().st_size < 300_000
    for cell in lesson.cells:
        assert not cell.metadata, cell.id
        for output in cell.get("outputs", []):
            shown = json.dumps({kind: text for kind, text in output.get("data", output).items() if kind != "image/png"})
            assert not PLACES.search(shown), (cell.id, PLACES.search(shown)[0])
            assert "stderr" not in shown and "Warning" not in shown and "it/s" not in shown, cell.id


@pytest.mark.parametrize("missing", [(), ("modelcraft",), ("modelcraft", "torch")])
def test_the_first_cell_fetches_what_is_missing_and_nothing_else(lesson, missing, tmp_path, monkeypatch):
    """In Colab, where the project is not there; `modelcraft` on PyPI is another one and must not be taken."""
    asked = []
    found = importlib.util.find_spec
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command))
    exec(compile(cell_named(lesson, "setup").source, "setup", "exec"), {})
    fetched = "https://huggingface.co/spaces/USER/SPACE"
    assert [command[:2] for command in asked] == [["git", "clone"], [sys.executable, "-m"]][: len(missing)]
    if missing:
        assert asked[0][-2:] == [fetched, "modelcraft-project"]
        assert sys.path[-1] == str(tmp_path / "modelcraft-project")
    if "torch" in missing:
        assert asked[1][2:] == ["pip", "install", "--quiet", "-r", "modelcraft-project/requirements.txt"]


def test_from_its_own_folder_it_takes_the_project_around_it(lesson, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.chdir(FILE.parent)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place).resolve() != ROOT])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "modelcraft" else found(name))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("there is nothing to fetch"))
    exec(compile(cell_named(lesson, "setup").source, "setup", "exec"), {})
    assert sys.path[-1] == str(ROOT)
