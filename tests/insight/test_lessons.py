"""What there is to read of a rung: its own words and code, and which lines are new."""

import ast
import json

import pytest

from modelcraft.insight import lessons
from modelcraft.ladder import RUNGS
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.support.errors import ConfigError
from modelcraft.support.files import HOME


@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_has_a_lesson_and_its_own_code(name):
    read = lessons.lesson(name)
    assert "Before you run it" not in read.text
    assert read.question.endswith("?") and read.question.count("(") == read.question.count(")")
    assert len(read.answer) > 40 and read.answer.endswith(".")
    assert read.answer not in " ".join(read.text.split())
    assert len(read.code) > 10
    code = "\n".join(line.text for line in read.code)
    assert f"class {RUNGS[name].model_class.__name__}(" in code or name == "gpt-video"  # which is `block`, larger
    assert "Before you run it" not in code
    assert (read.below is None) is (name in ("counting", "bigram"))
    assert set(read.settings) == set(RUNGS[name].config.__dataclass_fields__)


def test_the_code_is_what_follows_the_lesson_and_the_imports():
    read = lessons.lesson("head")
    code = "\n".join(line.text for line in read.code)
    assert read.file == "modelcraft/head.py"
    file = (HOME / read.file).read_text(encoding="utf-8")
    assert file.endswith(f"start_even\n\n\n{code}\n")
    assert " ".join(file.removeprefix('"""Rung: head.').split()).startswith(
        " ".join(f"{read.text.removeprefix('Head.')} {lessons.ASKS}".split()) + " without the division"
    )


@pytest.mark.parametrize("name", RUNGS)
def test_what_is_no_lesson_is_left_out_and_the_rest_is_whole(name):
    code = "\n".join(line.text for line in lessons.lesson(name).code)
    tree = ast.parse(code)
    named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {"__init__", "forward"} <= named
    assert not named & {"__post_init__", "max_length", "num_parameters", "dataset", "_load_from_state_dict"}
    for nothing in ("import ", "__all__", "type: ignore", "raise ", "_hook(", "\n\n\n\n"):
        assert nothing not in code, nothing
    source = (HOME / lessons.lesson(name).file).read_text(encoding="utf-8")
    for line in code.split("\n"):
        assert line in source


def test_the_question_keeps_the_names_of_the_code():
    assert lessons.lesson("multihead").question.startswith("n_embd is 32")
    assert lessons.lesson("bigram").question.startswith("Which loss")
    assert lessons.asked("Rung: a thing.\n\nBefore you run it: why (now)? (So that\nit is.)") == (
        "A thing.",
        "Why (now)?",
        "So that it is.",
    )
    assert lessons.asked("no question") == ("No question", "", "")


@pytest.mark.parametrize(
    ("name", "new"),
    [("averaging", 35), ("head", 35), ("multihead", 25), ("feedforward", 20), ("residual", 25), ("block", 15)],
)
def test_two_neighbours_differ_by_the_idea_and_little_else(name, new):
    read = lessons.lesson(name)
    assert sum(line.new for line in read.code) <= new < 0.7 * len(read.code)


def test_new_is_what_the_rung_below_does_not_have():
    read = lessons.lesson("block")
    new = [line.text.strip() for line in read.code if line.new]
    assert "x = x + self.sa(self.ln1(x))" in new
    assert "self.ln_f = nn.LayerNorm(config.n_embd)" in new
    old = [line.text.strip() for line in read.code if not line.new]
    assert "def forward(self, x: Tensor) -> Tensor:" in old
    assert not read.same_code


def test_the_same_code_at_other_sizes():
    read = lessons.lesson("gpt")
    assert read.same_code
    assert read.settings["n_layer"] == (6, True)
    assert read.settings["vocab_size"] == (65, False)


def test_compared_does_not_mind_indentation_and_order_counts():
    marked = lessons.compared(["a", "", "    b", "c"], ["b", "c", "a"])
    assert [(line.text, line.new) for line in marked] == [("a", True), ("", False), ("    b", False), ("c", False)]


def test_paragraphs_are_one_line_and_formulas_stay():
    text = "one\ntwo\n\n    x = 1\n    y = 2\n\nlist:\n- first\n  more\n- second"
    assert lessons.paragraphs(text) == [
        ("one two", False),
        ("x = 1\ny = 2", True),
        ("list:", False),
        ("- first more", False),
        ("- second", False),
    ]


def test_the_sample_is_the_cards():
    text = lessons.sample(WEIGHTS_DIR / "block")
    assert len(text) > 200
    assert text in (WEIGHTS_DIR / "block" / "README.md").read_text(encoding="utf-8")
    assert lessons.sample(WEIGHTS_DIR / "nowhere") == ""


def test_ablations_are_grouped_by_what_was_trained(tmp_path):
    path = tmp_path / "ladder.jsonl"
    records = [("head", 1.0), ("block", 2.0), ("head", 3.0)]
    path.write_text("".join(json.dumps({"rung": rung, "val_loss": loss}) + "\n" for rung, loss in records))
    assert lessons.ablations(path) == [("head", [1.0, 3.0]), ("block", [2.0])]
    path.write_text("nonsense")
    assert lessons.ablations(path) == []
    assert lessons.ablations(tmp_path / "nowhere") == []
    assert len(lessons.ablations()) == 10


def test_an_unknown_rung_is_refused():
    with pytest.raises(ConfigError, match="There is no rung"):
        lessons.lesson("gpt-5")
