"""Distillation: the targets are what the teachers say, place by place, and a student of the truth comes near it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import CHAIN, VOCABULARY, PrefixModel, spread

from modelcraft.counting import CountingConfig, count
from modelcraft.data import Windows
from modelcraft.distill import distill
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.ladder import RUNGS
from modelcraft.loss import estimate_loss, exact_loss
from modelcraft.model import LanguageModel, ModelConfig, seeded
from modelcraft.store.folder import read_info
from modelcraft.support.cli import run
from modelcraft.tokenizer import CharTokenizer
from modelcraft.train import train
from modelcraft.training import distillation
from modelcraft.training.distillation import FOLDS, NETWORKS, TEMPERATURE, TEXT, Taught, probabilities, teach
from modelcraft.training.recipes import RECIPES, TrainConfig
from modelcraft.training.trainer import Trainer

V = len(VOCABULARY)
CPU = torch.device("cpu")
SMALL = {"n_embd": 32, "n_layer": 1, "block_size": 16, "n_head": 2, "n_kv_head": 1}


@pytest.fixture
def data():
    return torch.randint(V, (203,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def teacher():
    return spread(PrefixModel(ModelConfig(vocab_size=V, block_size=4))).eval()


def test_what_a_teacher_finds_likely_at_each_place(teacher, data):
    found = probabilities(teacher, data, temperature=1.7)
    assert found.shape == (202, V)
    assert torch.allclose(found.sum(-1), torch.ones(202))
    for place in (0, 1, 2, 3, 50, 201):  # with its whole context, or all that there is
        logits, _ = teacher(data[None, max(0, place - 3) : place + 1])
        assert torch.allclose(found[place], (logits[0, -1] / 1.7).softmax(-1), atol=1e-6), place


def test_the_teachers_are_mixed_and_counts_do_not_know_what_they_judge(teacher, data):
    other = spread(PrefixModel(ModelConfig(vocab_size=V, block_size=4)), seed=2).eval()
    taught = teach([teacher, other], data).float()
    assert taught.shape == (202, V)
    assert torch.allclose(taught.sum(-1), torch.ones(202), atol=2e-2)  # bf16
    networks = (probabilities(teacher, data, TEMPERATURE) + probabilities(other, data, TEMPERATURE)) / 2
    for place in (0, 24, 25, 100, 201):  # place k says what is likely as character k + 1
        fold = next(k for k in range(FOLDS) if place + 1 < len(data) * (k + 1) // FOLDS)
        first, end = (len(data) * k // FOLDS for k in (fold, fold + 1))
        assert first <= place + 1 < end
        counted = count(torch.cat((data[:first], data[end:])), CountingConfig(vocab_size=V))
        logits, _ = counted(data[None, : place + 1])
        expected = NETWORKS * networks[place] + (1 - NETWORKS) * logits[0, -1].exp()
        assert torch.allclose(taught[place], expected, atol=4e-3), place


def test_the_targets_stand_beside_what_is_read(teacher, data):
    dataset = Taught(data, teach([teacher], data), 4, CPU)
    for first in (7, None):  # spread over the text, and random
        batch = dataset.draw(5, torch.Generator().manual_seed(3), first=first)
        same = Windows(data, 4, 4, CPU).draw(5, torch.Generator().manual_seed(3), first=first)  # characters as targets
        assert torch.equal(batch["idx"], same["idx"])
    targets = batch["targets"]
    assert targets.shape == (5, 4, V)
    assert torch.allclose(targets.sum(-1), torch.ones(5, 4), atol=2e-2)
    start = next(s for s in range(len(data)) if torch.equal(data[s : s + 4], same["idx"][2]))
    expected = (
        TEXT * torch.nn.functional.one_hot(same["targets"][2], V)
        + (1 - TEXT) * dataset.taught[start : start + 4].float()
    )
    assert torch.allclose(targets[2], expected, atol=1e-6)
    # Noise is for what is read.
    noisy = dataset.draw(5, torch.Generator().manual_seed(3), noise=0.5)
    assert torch.equal(noisy["targets"], targets) and not torch.equal(noisy["idx"], batch["idx"])


class Truth(LanguageModel):
    """Knows the probabilities of CHAIN."""

    def __init__(self, tokenizer: CharTokenizer) -> None:
        super().__init__(ModelConfig(vocab_size=len(CHAIN.alphabet), block_size=16))
        order = [CHAIN.alphabet.index(character) for character in tokenizer.vocabulary]
        self.register_buffer("table", torch.tensor(CHAIN.transitions)[order][:, order].clamp(min=1e-6).log())

    def forward(self, idx, targets=None):
        return self.table[idx], None


def test_a_student_of_the_truth_comes_nearer_to_it(tmp_path, monkeypatch):
    """On a text so short that the characters alone say little."""
    monkeypatch.setattr(distillation, "NETWORKS", 1.0)
    monkeypatch.setattr(distillation, "TEMPERATURE", 1.0)
    text, unseen = CHAIN.text(400, seed=3), CHAIN.text(5_000, seed=4)
    tokenizer = CharTokenizer.of(unseen)
    data, held_out = (torch.tensor(tokenizer.encode(one)) for one in (text, unseen))
    recipe = TrainConfig(150, 8, 5e-3, eval_interval=150, eval_batches=1, save_interval=150)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, dropout=0.0, noise=0.0, **SMALL)
    losses = []
    for number, taught in enumerate((None, teach([Truth(tokenizer)], data))):
        with seeded(1):
            model = GPTLanguageModel(config)
        trainer = Trainer(model, data, held_out, recipe, tmp_path / str(number))
        if taught is not None:
            trainer.lessons = Taught(data, taught, 16, CPU)
        trainer.train()
        assert trainer.characters == 150 * 8 * 16
        losses.append(exact_loss(model, held_out).nats_per_character)
        # What is recorded as the training loss is the text's, whatever the steps learn from.
        assert trainer.records[-1]["train_loss"] == pytest.approx(estimate_loss(model, data, 1, 8), abs=1e-6)
    alone, taught = losses
    assert CHAIN.entropy < taught < alone - 0.05
    assert taught < CHAIN.entropy + 0.1


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command in this process, the GPT a small one; return its exit code and what it wrote."""
    rung = RUNGS["gpt"]
    monkeypatch.setitem(RUNGS, "gpt", replace(rung, config=replace(rung.config, **SMALL)))
    quick = TrainConfig(steps=4, batch_size=4, eval_interval=2, eval_batches=1, save_interval=2, held_out=0.02)
    monkeypatch.setitem(RECIPES, "gpt", quick)
    (tmp_path / "text.txt").write_text(CHAIN.text(3_000, seed=1))

    def call(program, *options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [program.__name__, "--corpus", str(tmp_path / "text.txt"), *options])
        with pytest.raises(SystemExit) as left:
            run(program)
        out, err = capsys.readouterr()
        return left.value.code, out + err

    return call


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_one_command_trains_teachers_and_their_student_and_goes_on_where_it_stopped(tmp_path, command, monkeypatch):
    options = ["--teachers", "2", "--teacher-steps", "4", "--steps", "6"]
    whole, parts = tmp_path / "whole" / "gpt", tmp_path / "parts" / "gpt"
    code, said = command(distill, "--out", str(whole), *options)
    assert code == 0, said
    training = read_info(whole).training
    assert [name.partition("@sha256:")[0] for name in training["teachers"]] == ["gpt-teacher-1", "gpt-teacher-2"]
    assert read_info(whole).config.dropout == 0.1 and training["steps"] == 6
    assert read_info(whole.with_name("gpt-teacher-2")).training["seed"] == 2
    assert weights(whole.with_name("gpt-teacher-1")) != weights(whole.with_name("gpt-teacher-2"))

    step, steps = Trainer._train_step, []

    def interrupted(self):
        steps.append(self.folder.name)
        if len(steps) in (3, 12):
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    codes = [command(distill, "--out", str(parts), *options)[0] for _ in range(4)]
    assert codes == [130, 130, 0, 0]
    assert steps[-1] == "gpt" and len(steps) == 3 + 2 + 4 + 3 + 4  # nothing that was saved was done again
    assert weights(parts) == weights(whole)


def test_a_student_learns_from_the_same_numbers_wherever_it_was_stopped(tmp_path, command, monkeypatch):
    """In bf16, too: the teachers read the text before the training, in float32."""
    monkeypatch.setitem(RECIPES, "gpt", replace(RECIPES["gpt"], precision="bf16", eval_interval=3, save_interval=1))
    assert command(train, "--model", "gpt", "--out", str(tmp_path / "teacher"))[0] == 0
    options = ["--model", "gpt", "--steps", "7", "--teacher", str(tmp_path / "teacher")]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(train, *options, "--out", str(whole))[0] == 0
    step, steps = Trainer._train_step, []

    def interrupted(self):
        steps.append(self.step)
        if len(steps) == 5:  # between two evaluations
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    assert command(train, *options, "--out", str(parts))[0] == 130
    code, said = command(train, "--resume", "--out", str(parts))
    assert code == 1 and "needs its teachers to go on; name them again with --teacher" in said
    moved = (tmp_path / "teacher").rename(tmp_path / "moved")  # it is still the same one
    assert command(train, "--resume", "--teacher", str(moved), "--out", str(parts))[0] == 0
    assert weights(parts) == weights(whole)
    for options in (["--finish"], ["--resume"]):  # nothing is left to learn, so no teacher is needed
        code, said = command(train, *options, "--out", str(parts))
        assert code == 0, said
    assert weights(parts) == weights(whole)


@pytest.mark.parametrize("vocab_size", [9, 65, 511, 512, 4_000])
def test_counts_find_room_for_any_vocabulary(vocab_size):
    config = distillation.counting_config(vocab_size)
    assert config.block_size == 6 or (vocab_size + 1) ** (config.block_size + 2) >= 2**63


def test_what_cannot_teach_or_learn_is_one_sentence(tmp_path, command):
    few = ("--teacher-steps", "2", "--steps", "2")
    assert command(distill, "--out", str(tmp_path / "gpt"), "--teachers", "1", *few)[0] == 0
    out, teacher = ["--out", str(tmp_path / "new")], ["--teacher", str(tmp_path / "gpt-teacher-1")]
    for options, says in (
        (["--model", "bigram", *teacher], "Only a GPT learns from teachers, not bigram"),
        (["--model", "gpt", "--teacher", "bigram"], "bigram knows other characters than this text has"),
        (["--model", "gpt", "--teacher", "encoder-decoder"], "which continues no text; name another teacher"),
        (["--resume", "--out", str(tmp_path / "gpt"), "--teacher", "nowhere"], "no model 'nowhere'"),
    ):
        code, said = command(train, *out, *options)
        assert code == 1 and says in said and len(said.strip().splitlines()) == 1, said
    assert not (tmp_path / "new").exists()
    # A student that was asked for otherwise is not trained over, and its teachers are not trained for nothing.
    code, said = command(distill, "--out", str(tmp_path / "gpt"), "--teachers", "2", *few)
    assert code == 1 and "holds another training; name another folder with --out" in said
    assert not (tmp_path / "gpt-teacher-2").exists()
