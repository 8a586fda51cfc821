"""A training that starts from trained weights: nothing is lost, its origin is known, and a mismatch is a sentence."""

import json
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import spread
from safetensors.torch import load_file

import modelcraft
from modelcraft.ladder import RUNGS
from modelcraft.model import ModelConfig, evaluating
from modelcraft.store.folder import ModelInfo, save_folder
from modelcraft.support.cli import run
from modelcraft.support.errors import ConfigError
from modelcraft.tokenizer import CharTokenizer
from modelcraft.train import train
from modelcraft.training.fit import FITS
from modelcraft.training.recipes import RECIPES, adjusted, gentler
from modelcraft.training.start import Start, load_start
from modelcraft.training.state import read_state
from modelcraft.training.trainer import Trainer

OLD = "".join(sorted("\n abcdeiou"))
TEXT = "".join(random.Random(1).choices("äabxe\n ", weights=[9, 1, 4, 2, 6, 1, 5], k=3000))
NEW = "".join(sorted(set(OLD + TEXT)))
TRAINED = [name for name in RUNGS if name not in FITS]
SMALL = {"block_size": 16, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_kv_head": 1}


def config_of(name: str, vocabulary: str, **settings) -> ModelConfig:
    rung = RUNGS[name]
    small = {name: size for name, size in SMALL.items() if name in vars(rung.config)}
    return rung.configure({**vars(rung.config), **small, **settings, **rung.model_class.settings_for(vocabulary)})


@pytest.fixture
def trained(tmp_path):
    """A function that writes a trained model of a rung to a folder, and returns the folder."""

    def write(name: str, **settings) -> Path:
        config = config_of(name, OLD, **settings)
        folder = tmp_path / f"trained-{name}"
        save_folder(folder, spread(RUNGS[name].build(config)), ModelInfo(name, config, OLD), "# A card\n")
        return folder

    return write


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run `train` in this process on a text with new characters; return its exit code and what it wrote."""
    (tmp_path / "text.txt").write_text(TEXT)

    def call(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["train", "--corpus", str(tmp_path / "text.txt"), *options])
        with pytest.raises(SystemExit) as left:
            run(train)
        out, err = capsys.readouterr()
        return left.value.code, out + err

    return call


@pytest.mark.parametrize("name", TRAINED)
def test_nothing_is_lost(trained, name):
    """With more characters, the model says of its old ones what it said before."""
    start = load_start(str(trained(name)), RUNGS[name])
    assert start.origin["vocabulary"] == OLD
    grown = spread(RUNGS[name].build(config_of(name, NEW)))
    start.copy_to(grown, NEW)
    text = "a bead\nice"
    before, after = CharTokenizer(OLD).encode(text), CharTokenizer(NEW).encode(text)
    known = CharTokenizer(NEW).encode(OLD)
    T = min(grown.block_size, len(text))
    with evaluating(start.model), evaluating(grown):
        said, _ = start.model(torch.tensor([before])[:, :T])
        says, _ = grown(torch.tensor([after])[:, :T])
    assert torch.allclose(says[..., known], said, atol=1e-5)


@pytest.mark.parametrize("name", ["bigram", "gpt"])
def test_new_characters_start_small(trained, name):
    grown = spread(RUNGS[name].build(config_of(name, NEW)))
    first = {k: v.clone() for k, v in grown.state_dict().items()}
    load_start(str(trained(name)), RUNGS[name]).copy_to(grown, NEW)
    new = CharTokenizer(NEW).encode("äx")
    for part in ("token_embedding_table.weight", "lm_head.weight"):
        assert torch.allclose(grown.state_dict()[part][new], 0.02 * first[part][new])


def test_the_same_vocabulary_is_the_same_model(trained):
    start = load_start(str(trained("gpt")), RUNGS["gpt"])
    model = RUNGS["gpt"].build(config_of("gpt", OLD))
    start.copy_to(model, OLD)
    assert all(torch.equal(model.state_dict()[name], old) for name, old in start.model.state_dict().items())


def test_it_resumes_to_the_same_bits_and_needs_the_trained_model_no_more(tmp_path, trained, command):
    folder = trained("gpt")
    options = ["--steps", "6", "--batch-size", "4", "--eval-interval", "2", "--save-interval", "2", "--no-compile"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("--init-from", str(folder), "--out", str(whole), *options)[0] == 0
    step = Trainer._train_step

    def interrupted(self):
        step(self)
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", interrupted)
        assert command("--init-from", str(folder), "--out", str(parts), *options)[0] == 130
    for file in folder.iterdir():
        file.unlink()
    assert command("--resume", "--out", str(parts))[0] == 0
    (described, tensors), (described_too, tensors_too) = read_state(whole), read_state(parts)
    assert described["about"] == described_too["about"] and described["step"] == described_too["step"] == 6
    assert tensors.keys() == tensors_too.keys()
    assert all(torch.equal(tensor, tensors_too[name]) for name, tensor in tensors.items())
    weights = "model.safetensors"
    assert all(torch.equal(w, load_file(parts / weights)[name]) for name, w in load_file(whole / weights).items())
    assert modelcraft.load(parts, "cpu")[1].vocabulary == NEW


def test_the_model_says_where_it_started(tmp_path, trained, command):
    folder = trained("bigram")
    code, said = command("--init-from", str(folder), "--out", str(tmp_path / "run"), "--steps", "2")
    assert code == 0, said
    training = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    name, _, version = training["init_from"].partition("@sha256:")
    assert name == "trained-bigram" and len(version) == 64
    assert str(tmp_path) not in (tmp_path / "run" / "config.json").read_text()
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"| `init_from` | `{training['init_from']}` |" in card and "base_model" not in card


def test_the_rung_and_the_recipe_follow_and_can_be_set(tmp_path, trained, command):
    folder = trained("head", block_size=12)
    options = ["--out", str(tmp_path / "run"), "--no-exact-loss", "--steps", "20", "--eval-batches", "1"]
    code, said = command("--init-from", str(folder), *options)
    assert code == 0, said
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["rung"] == "head" and config["config"]["block_size"] == 12
    gentle = gentler(RECIPES["head"], 20)
    assert (config["training"]["steps"], config["training"]["eval_interval"]) == (20, 2)
    assert config["training"]["learning_rate"] == gentle.learning_rate == RECIPES["head"].learning_rate / 3
    assert config["training"]["warmup_steps"] == gentle.warmup_steps == 20
    gentle, gpt = gentler(RECIPES["head"]), gentler(RECIPES["gpt"])
    assert (gentle.steps, gentle.eval_interval) == (500, 50) and gentler(RECIPES["gpt-mini"]).steps == 300
    assert gpt.held_out == 0.0  # the trained model may have learned from it
    # Another learning rate is another one for all weights.
    assert adjusted(gpt, {"learning_rate": gpt.learning_rate * 2}).muon_learning_rate == gpt.muon_learning_rate * 2
    assert adjusted(gpt, {"steps": 7}) == replace(gpt, steps=7)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "gpt", "--init-from", "{bigram}"], "is of the rung bigram, so gpt cannot start from it"),
        (["--init-from", "{bigram}", "--set", "n_embd=8"], "has n_embd 16, not 8"),
        (["--init-from", "{bigram}", "--set", "width=8"], "no setting 'width'"),
        (
            ["--model", "counting", "--init-from", "counting"],
            "not trained by gradient, step by step; leave --init-from",
        ),
        (["--init-from", "nowhere"], "no model 'nowhere'"),
        (["--init-from", "{bigram}", "--resume"], "leave --init-from out"),
    ],
)
def test_a_mismatch_is_one_sentence(tmp_path, trained, command, options, says):
    folder, out = str(trained("bigram")), tmp_path / "run"
    if "--resume" in options:
        assert command("--model", "bigram", "--steps", "1", "--out", str(out), "--no-exact-loss")[0] == 0
    before = sorted(out.iterdir()) if out.exists() else None
    code, said = command("--out", str(out), *(option.replace("{bigram}", folder) for option in options))
    assert code == 1 and says in said and len(said.strip().splitlines()) == 1, said
    assert (sorted(out.iterdir()) if out.exists() else None) == before


def test_settings_that_the_weights_do_not_depend_on_may_differ():
    config = config_of("gpt", OLD)
    start = Start(RUNGS["gpt"].build(config), {"init_from": "it@sha256:0", "vocabulary": OLD})
    start.check_settings({"dropout": 0.5, "noise": 0.0, "n_head": 2, "block_size": 8})
    with pytest.raises(ConfigError, match="it has logit_cap 15, not 30; leave logit_cap out"):
        start.check_settings({"logit_cap": 30})


def test_a_table_of_positions_fixes_the_context():
    config = config_of("block", OLD)
    start = Start(RUNGS["block"].build(config), {"init_from": "it@sha256:0", "vocabulary": OLD})
    with pytest.raises(ConfigError, match="it has block_size 16, not 8; leave block_size out"):
        start.check_settings({"block_size": 8})
