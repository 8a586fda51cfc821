"""What every error promises: one sentence of bounded length, and another one for visitors where it is the owner's."""

import asyncio
import shutil
import sys
from pathlib import Path

import gradio as gr
import pytest
from helpers import assert_one_sentence

import modelcraft
from modelcraft.data import Corpus, load_corpus
from modelcraft.evaluate import evaluate
from modelcraft.generate import generate
from modelcraft.serving.catalogue import Catalogue
from modelcraft.serving.service import Service
from modelcraft.support import errors
from modelcraft.support.cli import run
from modelcraft.support.errors import MAX_SENTENCE, CheckpointError, ConfigError, CorpusError, ModelCraftError
from modelcraft.tokenizer import CharTokenizer
from modelcraft.train import train
from modelcraft.ui.script import Lane
from modelcraft.ui.tabs.chat import Chat
from modelcraft.ui.tabs.race import guarded
from modelcraft.ui.widgets import told

LONG = f"The text {'x' * 300_000} is too long; take a shorter one."
FAMILY = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, ModelCraftError)
    and kind not in (errors.BusyError, errors.UnreadError)
]


@pytest.mark.cases
@pytest.mark.parametrize("kind", FAMILY)
def test_a_sentence_keeps_its_beginning_and_its_end(kind):
    for sentence in (str(kind(LONG)), kind("Short.", LONG).for_visitors):
        assert len(sentence) == MAX_SENTENCE
        assert sentence.startswith("The text xxx")
        assert sentence.endswith("xxx is too long; take a shorter one.")
    assert_one_sentence(kind(LONG))
    exact = "x" * (MAX_SENTENCE - 1) + "."
    assert str(kind(exact)) == exact


@pytest.mark.cases
@pytest.mark.parametrize(
    "cause",
    [
        lambda: CharTokenizer("a").encode("".join(map(chr, range(0x4E00, 0x9000)))),
        lambda: Corpus("x.txt", "".join(map(chr, range(0x4E00, 0x9000)))).splits(CharTokenizer("a"), 8),
        lambda: load_corpus("x" * 100_000),
        lambda: modelcraft.load("x" * 100_000),
        lambda: modelcraft.load(Path("x" * 100_000)),
        lambda: modelcraft.load("x" * 50_000 + "/" + "x" * 50_000),
    ],
    ids=["characters", "corpus", "path", "name", "folder", "repository"],
)
def test_no_sentence_is_long(cause):
    with pytest.raises(ModelCraftError) as caught:
        cause()
    assert_one_sentence(caught.value)
    assert len(str(caught.value)) <= MAX_SENTENCE


@pytest.mark.cases
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (train, ["--steps", "x" * 100_000]),
        (train, ["--model", "x" * 100_000]),
        (train, ["--set", "x" * 100_000]),
        (train, ["--" + "x" * 100_000]),
        (train, ["--precision", "x" * 100_000]),
        (train, ["--out", "x" * 100_000]),
        (evaluate, ["x" * 100_000]),
        (generate, ["--model", "bigram", "--device", "x" * 100_000]),
    ],
    ids=lambda value: value[0][:9] if isinstance(value, list) else value.__name__,
)
def test_no_command_answers_at_length(monkeypatch, capsys, tmp_path, command, arguments):
    text = tmp_path / "text.txt"
    text.write_text("abc " * 100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELCRAFT_CORPUS", str(text))
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as left:
        run(command)
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert len(said.splitlines()) == 1
    assert len(said) <= MAX_SENTENCE + 1


@pytest.mark.cases
def test_visitors_read_the_same_sentence_unless_it_is_the_owners():
    assert ConfigError("steps must be 1.").for_visitors == "steps must be 1."
    assert CheckpointError("'/srv/x' is damaged.").for_visitors == CheckpointError.visitors
    assert CorpusError("'/srv/x' is missing.", "There is no text.").for_visitors == "There is no text."


@pytest.mark.cases
@pytest.mark.parametrize("name", ["nowhere.txt", ".", "broken.txt", "~no-such-user-here/x"])
def test_visitors_do_not_read_where_the_corpus_of_the_machine_is(tmp_path, monkeypatch, name):
    (tmp_path / "broken.txt").write_bytes(b"abc\0")
    monkeypatch.setenv("MODELCRAFT_CORPUS", name if name.startswith("~") else str(tmp_path / name))
    with pytest.raises(CorpusError) as caught:
        load_corpus()
    assert (name if name.startswith("~") else str(tmp_path)) in str(caught.value)
    assert caught.value.for_visitors == "The text is not to be had here at the moment; train on one of your own."


@pytest.mark.cases
def test_nothing_that_a_visitor_reads_of_a_damaged_model_names_its_place(tmp_path, model_folder):
    weights = tmp_path / "srv"
    shutil.copytree(model_folder, weights / "bigram")
    (weights / "bigram" / "model.safetensors").write_bytes(b"cut short")
    service = Service(Catalogue("cpu", weights))
    with gr.Blocks():
        chat = Chat(service)
    lane: Lane = {"note": "", "writing": True}
    asyncio.run(guarded(lane, service.get("bigram")))
    with pytest.raises(CheckpointError, match=str(weights)):
        service.catalogue.get("bigram")
    with pytest.raises(gr.Error) as refused:
        told(service.catalogue.get)("bigram")
    for said in (
        asyncio.run(chat.describe("bigram")),
        lane["note"],
        refused.value.message,
        service.catalogue.describe()["models"][0]["problem"],
    ):
        assert said == "This model cannot be loaded here at the moment; choose another."
    service.trainings.close()
