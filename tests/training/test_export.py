"""The model comes first: whatever else cannot be made, it is written."""

import random
import sys
from pathlib import Path

import pytest

import modelcraft
from modelcraft.store.folder import CARD_FILE, PICTURE_FILE
from modelcraft.support.cli import run
from modelcraft.support.errors import ModelCraftWarning
from modelcraft.train import train
from modelcraft.training import export

TEXT = "".join(random.Random(1).choices("abcde \n", weights=[9, 1, 4, 2, 6, 5, 1], k=2000))


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run `python -m modelcraft.train` in this process, into `tmp_path / "run"`; return its exit code."""
    corpus = tmp_path / "price$5_and_$6.txt"
    corpus.write_text(TEXT, encoding="utf-8")

    def call(*options: str) -> int:
        common = ["--model", "bigram", "--corpus", str(corpus), "--out", str(tmp_path / "run")]
        monkeypatch.setattr(sys, "argv", ["train", *common, *options])
        with pytest.raises(SystemExit) as left:
            run(train)
        return left.value.code

    return call


@pytest.mark.cases
def test_a_text_whose_name_is_a_formula_has_its_picture(tmp_path, command):
    assert command("--steps", "3", "--batch-size", "4") == 0
    assert (tmp_path / "run" / PICTURE_FILE).is_file()
    assert "price$5_and_$6.txt" in (tmp_path / "run" / CARD_FILE).read_text(encoding="utf-8")


@pytest.mark.cases
@pytest.mark.parametrize(
    ("part", "lacking", "says"),
    [
        ("loss_curve", PICTURE_FILE, "The picture could not be made (no ink)"),
        ("write_sample", None, "The sample could not be made (no ink)"),
        ("model_card", CARD_FILE, "The model card could not be made (no ink)"),
    ],
)
def test_what_cannot_be_made_costs_no_model(tmp_path, command, monkeypatch, part, lacking, says):
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no\nink")

    folder: Path = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.warns(ModelCraftWarning) as warned:
        patch.setattr(export, part, broken)
        assert command("--steps", "3", "--batch-size", "4") == 0
    assert [str(warning.message).split(";")[0] for warning in warned] == [says]
    modelcraft.load(folder, device="cpu")
    assert {PICTURE_FILE, CARD_FILE} - {path.name for path in folder.iterdir()} == {lacking} - {None}
    assert command("--finish") == 0  # which makes up for it
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    assert "## What it writes" in card and PICTURE_FILE in card
    assert (folder / PICTURE_FILE).is_file()
