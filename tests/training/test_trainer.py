"""The trainer: a run that is interrupted, however rudely, ends with the same bits as one that is not."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import assert_one_sentence, without_rights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import modelcraft
from modelcraft.data import Windows
from modelcraft.evaluate import evaluate
from modelcraft.gpt import GPTLanguageModel
from modelcraft.ladder import RUNGS
from modelcraft.store.folder import read_info
from modelcraft.support.cli import run
from modelcraft.support.errors import CheckpointError, ModelCraftWarning, TrainingError
from modelcraft.train import train
from modelcraft.training import export
from modelcraft.training.recipes import RECIPES, TrainConfig
from modelcraft.training.run import STOPPED_AT_ONCE
from modelcraft.training.state import describe_state, digest, read_state
from modelcraft.training.trainer import (
    METRICS_FILE,
    STATE_FILE,
    Trainer,
    TrainingStoppedError,
)

TEXT = "".join(random.Random(1).choices("abcde \n", weights=[9, 1, 4, 2, 6, 5, 1], k=4000))
RECIPE = TrainConfig(
    steps=40, batch_size=4, learning_rate=1e-2, eval_interval=8, eval_batches=3, save_interval=5, seed=3
)


def make_trainer(folder: Path, recipe: TrainConfig = RECIPE) -> Trainer:
    rung = RUNGS["bigram"]
    data = torch.tensor([ord(c) % 65 for c in TEXT])
    return Trainer(
        rung.build(rung.config, seed=recipe.seed), data[:3600], data[3600:], recipe, folder, {"rung": "bigram"}
    )


def without_seconds(records):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def test_training_lowers_the_loss_and_keeps_the_best(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    first, best = trainer.records[0], trainer.best_record
    assert [record["step"] for record in trainer.records] == [0, 8, 16, 24, 32, 40]
    assert best["val_loss"] < first["val_loss"] - 1
    assert set(first) == {"step", "train_loss", "val_loss", "learning_rate", "seconds", "characters"}
    assert [record["characters"] for record in trainer.records] == [
        record["step"] * 4 * 8 for record in trainer.records
    ]
    written = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert written == trainer.records
    assert trainer.finished
    assert set(trainer.best) == set(trainer.model.state_dict())


@pytest.mark.parametrize("stop_after", [1, 4, 5, 8, 9, 23, 39])
def test_resumed_equals_uninterrupted(tmp_path, stop_after):
    whole = make_trainer(tmp_path / "whole")
    whole.train()

    first = make_trainer(tmp_path / "parts")
    step = first._train_step

    def step_and_interrupt() -> None:
        step()
        if first.step + 1 == stop_after:
            signal.raise_signal(signal.SIGINT)

    first._train_step = step_and_interrupt
    with pytest.raises(TrainingStoppedError) as stopped:
        first.train()
    assert stopped.value.signum == signal.SIGINT
    torch.rand(7)  # what else a process draws must not matter
    second = make_trainer(tmp_path / "parts")
    second.restore()
    assert second.step == stop_after
    second.train()
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def assert_same_state(one: Path, other: Path) -> None:
    (described, tensors), (described_too, tensors_too) = read_state(one), read_state(other)
    assert set(tensors) == set(tensors_too)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, tensors_too[name]), name
    assert without_seconds(described["records"]) == without_seconds(described_too["records"])
    for key in ("step", "characters", "config", "optimizers", "bf16", "about"):
        assert described[key] == described_too[key], key


def test_the_generators_of_dropout_are_part_of_the_state(tmp_path):
    """A model that draws random numbers while it trains (dropout) resumes to the same bits, too."""

    def with_dropout(folder):
        trainer = make_trainer(folder)
        trainer.model.lm_head.register_forward_pre_hook(
            lambda module, inputs: (torch.nn.functional.dropout(inputs[0], 0.2, module.training),)
        )
        return trainer

    assert_resumes(with_dropout, tmp_path, after=12)


def assert_resumes(make: Callable[[Path], Trainer], folder: Path, after: int) -> Trainer:
    """Train whole, and with an interruption `after` some steps; assert that both end alike, and return the first."""
    whole = make(folder / "whole")
    whole.train()
    part = make(folder / "part")
    step = part._train_step
    part._train_step = lambda: (step(), part.step + 1 == after and signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingStoppedError):
        part.train()
    part = make(folder / "part")
    part.restore()
    assert part.step == after
    part.train()
    assert_same_state(folder / "whole", folder / "part")
    return whole


def gpt_trainer(folder: Path) -> Trainer:
    """A small GPT with all that the big ones have: Muon, dropout, noise, bf16, averaged weights, spread windows."""
    rung = RUNGS["gpt"]
    config = replace(rung.config, n_embd=32, n_layer=2, block_size=16)
    recipe = replace(
        RECIPE, muon_learning_rate=0.02, average=0.9, weight_decay=0.1, precision="bf16", steps=24, spread=True
    )
    data = torch.tensor([ord(c) % 65 for c in TEXT])
    return Trainer(rung.build(config, seed=3), data[:3600], data[3600:], recipe, folder, {"rung": "gpt"})


def test_the_gpt_with_averaged_weights_resumes_to_the_same_bits(tmp_path):
    whole = assert_resumes(gpt_trainer, tmp_path, after=12)
    _, tensors = read_state(tmp_path / "part")
    averaged = {name.removeprefix("average/") for name in tensors if name.startswith("average/")}
    assert averaged == set(whole.model.state_dict())


def test_windows_that_are_spread_go_on_from_step_to_step(tmp_path, monkeypatch):
    trainer, drawn = gpt_trainer(tmp_path), []
    draw = trainer.lessons.draw
    monkeypatch.setattr(trainer.lessons, "draw", lambda *given: (drawn.append(given[3]), draw(*given))[1])
    for trainer.step in range(3):
        trainer._train_step()
    batch, start = trainer.config.batch_size, trainer.config.seed * 2**32  # another seed begins elsewhere
    assert drawn == [start, start + batch, start + 2 * batch]


def test_the_videos_last_model_runs_and_resumes(tmp_path):
    """In full size, for a few steps of few windows."""

    def make(folder):
        rung = RUNGS["gpt-video"]
        recipe = replace(RECIPES[rung.name], steps=3, batch_size=1, eval_batches=1, eval_interval=3)
        data = torch.tensor([ord(c) % 65 for c in TEXT])
        return Trainer(rung.build(rung.config), data[:3600], data[3600:], recipe, folder)

    trainer = assert_resumes(make, tmp_path, after=1)
    assert trainer.bf16 and trainer.model.num_parameters > 10_000_000
    assert trainer.records[-1]["val_loss"] < trainer.records[0]["val_loss"]


def test_the_noise_falls_with_the_learning_rate_and_none_is_measured_with(tmp_path, monkeypatch):
    trainer = gpt_trainer(tmp_path)
    drawn, draw = [], Windows.draw

    def noted(dataset, batch_size, generator=None, noise=0.0, first=None):
        drawn.append((dataset is trainer.train_set and generator is trainer.generator, noise))
        return draw(dataset, batch_size, generator, noise, first)

    monkeypatch.setattr(Windows, "draw", noted)
    monkeypatch.setattr(GPTLanguageModel, "noise", 0.5)
    trainer.train()
    learned_from = [noise for learned, noise in drawn if learned]
    assert learned_from == [0.5 * trainer.config.share_at(step) for step in range(trainer.config.steps)]
    assert len(set(learned_from)) > 5
    assert {noise for learned, noise in drawn if not learned} == {0.0}


def test_an_encoder_decoder_resumes_to_the_same_bits(tmp_path):
    data = torch.tensor([ord(c) % 65 for c in TEXT.replace("e", "\n")])
    vowels = tuple(data.unique().tolist()[-2:])

    def make(folder):
        rung = RUNGS["encoder-decoder"]
        config = replace(rung.config, n_embd=16, n_layer=1, block_size=16, newline=10, vowels=vowels, dropout=0.1)
        return Trainer(rung.build(config), data[:3600], data[3600:], replace(RECIPE, steps=12), folder)

    trainer = assert_resumes(make, tmp_path, after=7)
    # Lines are shorter than the context, and what fills them up is not counted.
    assert 12 * 4 < trainer.records[-1]["characters"] < 12 * 4 * 16


def test_the_compiled_gpt_trains_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    """By PyTorch's own way of compiling, less the C++ compiler at its end, which takes long."""
    compiled = []

    def compile_quickly(module):
        compiled.append(module)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_quickly)

    def make(folder):
        trainer = gpt_trainer(folder)
        trainer.config = replace(trainer.config, compile=True, steps=8)
        return trainer

    trainer = assert_resumes(make, tmp_path, after=5)
    assert len(compiled) == 3 * 2  # whole, stopped and resumed: two blocks each
    assert trainer.records[-1]["val_loss"] < trainer.records[0]["val_loss"]


@pytest.mark.cases
def test_a_resumed_run_may_be_compiled_or_not(tmp_path):
    trainer = gpt_trainer(tmp_path)
    trainer.train()
    compiled = gpt_trainer(tmp_path)
    compiled.config = replace(compiled.config, compile=True)
    compiled.restore()
    assert compiled.step == trainer.step
    compiled.save()
    gpt_trainer(tmp_path).restore()


def test_what_is_measured_and_kept_is_the_average(tmp_path):
    trainer = gpt_trainer(tmp_path)
    trainer.train()
    assert trainer.best_record is trainer.records[-1]  # so that `best` is of the last step
    by_hand = None
    again = gpt_trainer(tmp_path / "again")
    step = again._train_step

    def step_and_average() -> None:
        nonlocal by_hand
        before = again.model.lm_head.weight.detach().clone() if by_hand is None else by_hand
        step()
        decay = min(0.9, (again.step + 1) / (again.step + 10))
        by_hand = decay * before + (1 - decay) * again.model.lm_head.weight.detach()

    again._train_step = step_and_average
    again.train()
    torch.testing.assert_close(trainer.best["lm_head.weight"], by_hand)
    assert not torch.allclose(trainer.best["lm_head.weight"], trainer.model.lm_head.weight)


def test_training_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make_trainer(tmp_path).train()
    assert torch.equal(torch.rand(3), expected)


def test_resume_refuses_another_run(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    with pytest.raises(CheckpointError, match="batch_size: 4, now 8"):
        make_trainer(tmp_path, replace(RECIPE, batch_size=8)).restore()
    with pytest.raises(CheckpointError, match="no training to resume"):
        make_trainer(tmp_path / "nowhere").restore()


def test_trained_on_equals_trained_longer_where_the_rate_is_constant(tmp_path):
    constant = replace(RECIPE, warmup_steps=0, decay_share=0.0)
    whole = make_trainer(tmp_path / "whole", constant)
    whole.train()
    make_trainer(tmp_path / "parts", replace(constant, steps=24)).train()
    longer = make_trainer(tmp_path / "parts", constant)
    longer.restore()
    assert (longer.step, longer.finished) == (24, False)
    longer.train()
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def test_a_run_that_trains_on_is_longer_from_its_first_step_on(tmp_path):
    make_trainer(tmp_path, replace(RECIPE, steps=8)).train()
    longer = make_trainer(tmp_path)
    longer.restore()
    longer._heed = lambda stop: pytest.fail("broken off")  # it breaks off before its first save interval
    with pytest.raises(pytest.fail.Exception):
        longer.train()
    assert (describe_state(tmp_path)["step"], describe_state(tmp_path)["config"]["steps"]) == (8, 40)


def test_a_damaged_state_is_one_sentence(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    path = tmp_path / STATE_FILE
    whole = path.read_bytes()
    for cut in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="damaged"):
            make_trainer(tmp_path).restore()


def write_state(folder: Path, described: object) -> None:
    """Write a state that says `described` of itself, and is sound otherwise."""
    described = described if isinstance(described, str) else json.dumps(described)
    tensors = read_state(folder)[1]
    sound = {"training": described, "sha256": digest(described, tensors)}
    save_file(tensors, folder / "new", metadata=sound)
    (folder / "new").replace(folder / STATE_FILE)


@pytest.mark.cases
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: [], "damaged"),
        (lambda d: None, "damaged"),
        (lambda d: "[" * 100_000, "damaged"),
        *[(lambda d, k=k: {n: v for n, v in d.items() if n != k}, "damaged") for k in ("about", "config", "records")],
        *[(lambda d, k=k: d | {k: "x"}, "damaged") for k in ("about", "config", "step", "records", "optimizers")],
        (lambda d: d | {"optimizers": [1]}, "damaged"),
        (lambda d: d | {"optimizers": [{"scalars": {}, "param_groups": []}]}, "damaged"),
        (lambda d: d | {"optimizers": []}, "damaged"),
        (lambda d: d | {"config": d["config"] | {"wings": 2}}, "another version"),
        (lambda d: d | {"format": "modelcraft-training-9"}, "another version"),
        (lambda d: {}, "another version"),
        (lambda d: d | {"about": {}}, "rung: None, now 'bigram'"),
        (lambda d: d | {"about": d["about"] | {"corpus": "abc"}}, "another text; name that one with --corpus"),
    ],
)
def test_a_state_that_is_odd_json_is_one_sentence(tmp_path, change, says):
    trainer = make_trainer(tmp_path, replace(RECIPE, steps=1))
    trainer.train()
    write_state(tmp_path, change(read_state(tmp_path)[0]))
    with pytest.raises(CheckpointError, match=says) as caught:
        make_trainer(tmp_path, replace(RECIPE, steps=1)).restore()
    assert_one_sentence(caught.value)


@pytest.mark.cases
def test_no_state_with_another_bit_is_resumed(tmp_path):
    make_trainer(tmp_path, replace(RECIPE, steps=1)).train()
    path, dice = tmp_path / STATE_FILE, random.Random(1)
    sound = path.read_bytes()
    header = 8 + int.from_bytes(sound[:8], "little")
    read_state(tmp_path)
    places = [*range(9), *(dice.randrange(most) for most in (header, len(sound)) for _ in range(60))]
    for place in places:
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << dice.randrange(8)]) + sound[place + 1 :])
        with pytest.raises(CheckpointError) as caught:
            read_state(tmp_path)
        assert_one_sentence(caught.value)
        with pytest.raises(CheckpointError):
            describe_state(tmp_path)
    path.write_bytes(sound)
    read_state(tmp_path)


@pytest.mark.cases
@pytest.mark.timeout(20)
def test_a_pipe_is_no_state(tmp_path):
    os.mkfifo(tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError, match="it is no ordinary file"):
        read_state(tmp_path)


@pytest.mark.cases
def test_a_state_that_may_not_be_read_or_was_not_fetched(tmp_path):
    path = tmp_path / STATE_FILE
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        read_state(tmp_path)
    path.chmod(0)
    with without_rights(tmp_path), pytest.raises(CheckpointError, match="Permission denied"):
        read_state(tmp_path)


def test_a_save_that_breaks_off_leaves_the_state_before_it(tmp_path, monkeypatch):
    """Killed between two writes: half of the new state is on the disk, and the old one is what a resume finds."""
    trainer = make_trainer(tmp_path)
    trainer.train()
    before = (tmp_path / STATE_FILE).read_bytes()

    def half(tensors, path, metadata):
        save_file(tensors, path, metadata)
        Path(path).write_bytes(Path(path).read_bytes()[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr("modelcraft.training.trainer.save_file", half)
    trainer.step += 1
    with pytest.raises(KeyboardInterrupt):
        trainer.save()
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert read_state(tmp_path)[0]["step"] == RECIPE.steps


def test_patience_stops_early(tmp_path):
    trainer = make_trainer(tmp_path, replace(RECIPE, steps=4000, learning_rate=1.0, patience=2))
    trainer.train()
    assert trainer.step < 4000
    assert trainer.out_of_patience
    assert trainer.best_record is trainer.records[-3]


def test_a_loss_that_is_no_number_is_said(tmp_path):
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        trainer.train()


def test_no_pickle_in_the_state(tmp_path):
    make_trainer(tmp_path).train()
    with safe_open(tmp_path / STATE_FILE, "pt") as file:
        names = set(file.keys())
    assert "rng/batches" in names
    assert any(name.startswith("optimizer/") for name in names)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".jsonl"}


# The command line, in processes that are really killed.

STEPS = 200
OPTIONS = [
    "--model",
    "bigram",
    "--steps",
    str(STEPS),
    "--batch-size",
    "4",
    "--save-interval",
    "1",
    "--eval-interval",
    "60",
]


def start(folder: Path, corpus: Path, *more: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "modelcraft.train", *OPTIONS, "--corpus", str(corpus), "--out", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def command(corpus, monkeypatch, capsys):
    """Run the command in this process; return its exit code and what it wrote."""

    def call(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["train", *OPTIONS, "--steps", "2", "--corpus", str(corpus), *options])
        with pytest.raises(SystemExit) as left:
            run(train)
        out, err = capsys.readouterr()
        return left.value.code, out + err

    return call


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, corpus):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, out, err = finish(start(folder, corpus))
    assert code == 0, err
    assert "Exact validation loss" in out
    assert f"--model {folder}" in out
    assert (folder / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    return folder


def wait_for_state(folder: Path, process: subprocess.Popen) -> None:
    while not (folder / STATE_FILE).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def step_of(folder: Path) -> int:
    """The step of a state that its run may replace at any time: a reader opens it twice, and would meet two of them."""
    with tempfile.TemporaryDirectory() as aside:
        shutil.copy(folder / STATE_FILE, aside)
        return describe_state(Path(aside))["step"]


@pytest.mark.cases
def test_the_program_that_leads_a_training_stops_it_by_its_input(tmp_path, corpus, uninterrupted):
    """On every system, for no signal is needed; what was stopped resumes to the same bits."""
    folder = tmp_path / "led"
    process = start(folder, corpus, "--stdin", stdin=subprocess.PIPE)
    wait_for_state(folder, process)
    process.stdin.write("stop\n")
    process.stdin.flush()
    assert process.wait(timeout=60) == 143
    _, err = process.communicate()
    assert err.splitlines()[-1] == "Stopped; everything is saved, and --resume goes on."
    code, out, _ = finish(start(folder, corpus, "--resume", "--stdin", stdin=subprocess.PIPE))  # an input that ends
    assert (code, out) == (143, "")
    code, _, err = finish(start(folder, corpus, "--resume"))
    assert code == 0, err
    assert_same_state(uninterrupted, folder)


@pytest.mark.cases
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks where Linux shows it")
def test_a_resumed_run_keeps_nothing_of_the_state_file_open(tmp_path):
    """Windows does not replace a file that is mapped into memory, and the run replaces it."""
    trainer = make_trainer(tmp_path / "run")
    trainer.train()
    resumed = make_trainer(tmp_path / "run")
    resumed.restore()
    assert STATE_FILE not in Path("/proc/self/maps").read_text()
    assert resumed.step == trainer.step


def test_killed_at_several_moments_ends_with_the_same_bits(tmp_path, corpus, uninterrupted):
    """Kill -9, with a save at every step, so that most kills fall into one; whatever is there can be loaded."""
    folder = tmp_path / "killed"
    kills = 0
    for pause in (0.0, 0.05, 0.17, 0.31):
        process = start(folder, corpus, *(["--resume"] if kills else []))
        wait_for_state(folder, process)
        before = step_of(folder) if kills else 0
        while process.poll() is None and step_of(folder) <= before:
            time.sleep(0.005)
        time.sleep(pause)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        read_state(folder)  # never half a file
    assert kills >= 2
    code, _, err = finish(start(folder, corpus, "--resume"))
    assert code == 0, err
    assert_same_state(uninterrupted, folder)
    assert (folder / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()
    one, other = read_info(uninterrupted), read_info(folder)
    assert (one.losses, one.config, one.vocabulary) == (other.losses, other.config, other.vocabulary)
    lines = [[json.loads(line) for line in (f / METRICS_FILE).open()] for f in (uninterrupted, folder)]
    assert without_seconds(lines[0]) == without_seconds(lines[1])
    # A killed save may leave a file aside; the model folder itself is whole and plays.
    model, tokenizer = modelcraft.load(folder, device="cpu")
    assert len(list(modelcraft.stream(model, tokenizer.encode("a"), modelcraft.SamplingParams(5)))) == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_polite_signal_saves_everything(tmp_path, corpus, uninterrupted, number, code):
    folder = tmp_path / "stopped"
    process = start(folder, corpus)
    wait_for_state(folder, process)
    process.send_signal(number)
    returned, out, err = finish(process)
    assert returned == code
    assert err.strip().splitlines()[-1].startswith("Stopped; everything is saved")
    assert "Traceback" not in out + err
    returned, _, err = finish(start(folder, corpus, "--resume"))
    assert returned == 0, err
    assert_same_state(uninterrupted, folder)


@pytest.mark.cases
def test_a_compiler_that_fails_costs_nothing_but_speed(tmp_path, corpus):
    """The same bits as without one, and a sentence."""
    small = [part for size in ("n_embd=32", "n_layer=1", "block_size=16") for part in ("--set", size)]
    options = ["--model", "gpt", "--steps", "4", *small]
    fails = tmp_path / "g++"
    fails.write_text("#!/bin/sh\ntest $1 = --version || exit 1\n")
    fails.chmod(0o755)
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "CXX": str(fails)}
    code, _, err = finish(start(tmp_path / "broken", corpus, *options, env=environment))
    assert code == 0, err
    assert len(re.findall(r"PyTorch cannot compile here \(.+\), so the training runs uncompiled", err)) == 1
    assert "Traceback" not in err
    code, _, err = finish(start(tmp_path / "plain", corpus, *options, "--no-compile"))
    assert code == 0, err
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("broken", "plain")]
    assert weights[0] == weights[1]


@pytest.mark.cases
def test_a_cache_that_cannot_be_made_costs_nothing(tmp_path, corpus, uninterrupted):
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(corpus / "beneath a file")}
    code, _, err = finish(start(tmp_path / "run", corpus, env=environment))
    assert code == 0, err
    assert "so the temporary folder is taken instead." in err
    assert_same_state(uninterrupted, tmp_path / "run")


def test_an_export_that_is_killed_leaves_a_model_folder_or_none(tmp_path, corpus):
    """Kill -9 at every moment of the export: afterwards the folder loads, or says that the run is not finished."""
    script = (
        "import os, pathlib, sys\n"
        "import modelcraft.support.files as files\n"
        "count = 0\n"
        "replace = pathlib.Path.replace\n"
        "def dying(self, target):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == int(os.environ['DIE_AT']) and os.environ['WHEN'] == 'before': os.kill(os.getpid(), 9)\n"
        "    replace(self, target)\n"
        "    if count == int(os.environ['DIE_AT']): os.kill(os.getpid(), 9)\n"
        "pathlib.Path.replace = dying\n"
        "from modelcraft.support.cli import run\n"
        "from modelcraft.train import train\n"
        "run(train)\n"
    )
    folder = tmp_path / "export"
    options = ["--model", "bigram", "--steps", "2", "--batch-size", "4", "--corpus", str(corpus), "--out", str(folder)]
    for die_at in range(1, 8):
        environment = {**os.environ, "DIE_AT": str(die_at), "WHEN": random.Random(die_at).choice(["before", "after"])}
        resume = ["--resume"] if (folder / STATE_FILE).exists() else []
        result = subprocess.run(
            [sys.executable, "-c", script, *options, *resume],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            modelcraft.load(folder, device="cpu")
        except CheckpointError as error:
            assert "--resume" in str(error) or "no model folder" in str(error)
        if result.returncode == 0:
            break
    assert result.returncode == 0
    modelcraft.load(folder, device="cpu")


def test_killed_before_its_first_save_interval_it_resumes_with_what_it_was_started_with(tmp_path, corpus):
    folder = tmp_path / "early"
    process = start(folder, corpus, "--steps", "100000", "--save-interval", "100000", "--set", "n_embd=8")
    while not (folder / METRICS_FILE).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    command = [sys.executable, "-m", "modelcraft.train", "--corpus", str(corpus), "--out", str(folder), "--resume"]
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while b"training" not in os.read(again.stderr.fileno(), 10_000):
        assert again.poll() is None, again.communicate()
    time.sleep(0.5)
    again.send_signal(signal.SIGINT)
    code, _, err = finish(again)
    assert code == 130, err
    described, tensors = read_state(folder)
    assert described["config"]["save_interval"] == 100000
    assert tensors["model/lm_head.weight"].shape[1] == 8


def test_a_folder_of_other_things_is_left_alone(tmp_path, corpus, monkeypatch, capsys):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to_her.txt").write_text("…")
    monkeypatch.chdir(tmp_path)
    for out in ("letters", ".", "..", "letters/..", ""):
        monkeypatch.setattr(sys, "argv", ["train", "--out", out, "--corpus", str(corpus), "--steps", "1"])
        with pytest.raises(SystemExit) as left:
            run(train)
        assert left.value.code == 1
        assert "holds other things than a training" in capsys.readouterr().err
    assert (tmp_path / "letters" / "to_her.txt").exists()


def test_what_killed_writers_left_is_swept(tmp_path):
    (tmp_path / ".training_state.safetensors.0123.part").write_bytes(b"half")
    make_trainer(tmp_path).train()
    assert not list(tmp_path.glob(".*.part"))


def test_bf16_trains_and_resumes_to_the_same_bits(tmp_path):
    recipe = replace(RECIPE, precision="bf16")
    whole = make_trainer(tmp_path / "whole", recipe)
    assert whole.bf16
    whole.train()
    assert whole.best_record["val_loss"] < whole.records[0]["val_loss"] - 1
    part = make_trainer(tmp_path / "part", recipe)
    step = part._train_step
    part._train_step = lambda: (step(), part.step == 12 and signal.raise_signal(signal.SIGINT))
    with pytest.raises(TrainingStoppedError):
        part.train()
    part = make_trainer(tmp_path / "part", recipe)
    part.restore()
    part.train()
    assert_same_state(tmp_path / "whole", tmp_path / "part")


def test_nothing_is_overwritten(tmp_path, corpus, uninterrupted):
    folder = tmp_path / "twice"
    for _ in range(2):
        code, _, err = finish(start(folder, corpus, "--steps", "3"))
        assert code == 0, err
    assert "The earlier run is in" in err
    assert load_file(tmp_path / "twice.1" / "model.safetensors")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "nonsense"], "no rung 'nonsense'"),
        (["--corpus", "nowhere.txt"], "no corpus"),
        (["--steps", "0"], "steps must be"),
        (["--learning-rate", "nan"], "learning_rate must be"),
        (["--steps", "many"], "integer"),
        (["--precision", "fp8"], "precision must be one of"),
        (["--device", "warp"], "no device"),
        (["--set", "n_embd=big"], "with a number, true or false"),
        (["--set", "width=3"], "no setting 'width'"),
        (["--nonsense"], "--nonsense"),
        (["--resume"], "no training to resume"),
    ],
)
def test_a_users_error_is_one_sentence(tmp_path, corpus, options, says, monkeypatch, capsys):
    default = ["--corpus", str(corpus)] if "--corpus" not in options else []
    monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / "run"), *default, *options])
    with pytest.raises(SystemExit) as left:
        run(train)
    out, err = capsys.readouterr()
    assert left.value.code == 1
    assert says in err
    assert len(err.strip().splitlines()) == 1, err
    assert not out


@pytest.mark.cases
def test_resume_and_evaluate_on_another_corpus_speak_of_it(tmp_path, corpus, uninterrupted, monkeypatch, capsys):
    other = tmp_path / "other.txt"
    other.write_text("xyz " * 500, encoding="utf-8")
    for command, options in ((train, ["--resume", "--out", str(uninterrupted)]), (evaluate, [str(uninterrupted)])):
        monkeypatch.setattr(sys, "argv", ["command", *options, "--corpus", str(other)])
        with pytest.raises(SystemExit):
            run(command)
        err = capsys.readouterr().err
        assert "--corpus" in err
        assert len(err.splitlines()) == 1


@pytest.mark.cases
def test_a_corpus_that_is_not_utf_8_is_said(tmp_path, monkeypatch, capsys):
    text = tmp_path / "old.txt"
    text.write_bytes(("Café. " * 100).encode("windows-1252"))
    options = ["--model", "bigram", "--steps", "1", "--out", str(tmp_path / "run"), "--corpus", str(text)]
    for command, given in ((train, options), (evaluate, [str(tmp_path / "run"), "--corpus", str(text)])):
        monkeypatch.setattr(sys, "argv", ["command", *given])
        with pytest.raises(SystemExit) as left:
            run(command)
        assert left.value.code == 0
        assert "old.txt is not UTF-8; it was read as Windows-1252." in capsys.readouterr().err.splitlines()


def test_two_trainings_do_not_share_a_folder(tmp_path, corpus):
    folder = tmp_path / "shared"
    process = start(folder, corpus, "--steps", "100000")
    wait_for_state(folder, process)
    code, _, err = finish(start(folder, corpus))
    assert code == 1
    assert "Another training is running" in err
    process.kill()
    process.communicate()


@pytest.mark.cases
@pytest.mark.parametrize("stop_in", [2, 5, 9])
def test_an_evaluation_is_broken_off_and_resumed_to_the_same_bits(tmp_path, stop_in):
    """Of a large model it takes minutes, and nobody should wait for them."""
    whole = make_trainer(tmp_path / "whole")
    whole.train()
    part = make_trainer(tmp_path / "part")
    evaluated = []

    def signal_at_one(model, *_) -> None:
        evaluated.append(not model.training)
        if sum(evaluated) == stop_in:
            signal.raise_signal(signal.SIGTERM)

    part.model.register_forward_pre_hook(signal_at_one)
    with pytest.raises(TrainingStoppedError) as stopped:
        part.train()
    assert stopped.value.exit_code == 143
    assert sum(evaluated) == stop_in
    again = make_trainer(tmp_path / "part")
    again.restore()
    again.train()
    assert_same_state(tmp_path / "whole", tmp_path / "part")


@pytest.mark.cases
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_measuring_at_the_end_is_broken_off_and_made_up_for(tmp_path, command, monkeypatch, number, code):
    def interrupted(*_, **__) -> None:
        signal.raise_signal(number)
        time.sleep(60)

    with monkeypatch.context() as patch:
        patch.setattr(export, "exact_losses", interrupted)
        ended, said = command("--out", str(tmp_path))
    assert (ended, said.splitlines()[-1]) == (code, STOPPED_AT_ONCE)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert command("--out", str(tmp_path), "--finish")[0] == 0
    modelcraft.load(tmp_path, device="cpu")


@pytest.mark.cases
def test_a_finished_run_says_so_and_measures_nothing(tmp_path, command, monkeypatch):
    folder = tmp_path / "run"
    _, first = command("--out", str(folder))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != METRICS_FILE}
    with monkeypatch.context() as patch:
        patch.setattr(export, "exact_losses", pytest.fail)
        code, said = command("--out", str(folder), "--resume")
    assert code == 0
    assert f"The training in {str(folder)!r} is finished, at step 2 of 2; name more with --steps" in said
    assert [line for line in first.splitlines() if line.startswith(("Exact", "Play"))] == said.splitlines()[3:5]
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != METRICS_FILE}
    (folder / "config.json").unlink()  # as if it had been killed before it was written
    code, said = command("--out", str(folder), "--resume")
    assert (code, "is finished" in said, (folder / "config.json").exists()) == (0, True, True)


def test_a_finished_run_trains_on_with_more_steps(tmp_path, command):
    folder = tmp_path / "run"
    assert command("--out", str(folder))[0] == 0
    assert command("--out", str(folder), "--resume", "--steps", "5")[0] == 0
    assert read_info(folder).training["steps_done"] == 5
    assert "is finished, at step 5 of 5" in command("--out", str(folder), "--resume", "--steps", "5")[1]
    code, said = command("--out", str(folder), "--resume", "--steps", "3")
    assert code != 0
    assert "(steps: 5, now 3)" in said


@pytest.mark.cases
def test_a_quick_check_measures_no_exact_loss(tmp_path, command, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(export, "exact_losses", pytest.fail)
        for more in ([], ["--resume"]):
            code, said = command("--out", str(folder), "--no-exact-loss", "--eval-batches", "2", *more)
            assert code == 0, said
            assert "Exact validation loss: not measured, after" in said
    assert read_info(folder).validation_loss is None
    modelcraft.load(folder, device="cpu")
    code, said = command("--out", str(folder), "--resume")
    assert code == 0 and "nats per character" in said
    assert read_info(folder).validation_loss is not None


@pytest.mark.cases
@pytest.mark.parametrize("more", [(), ("--finish",), ("--resume",)])
def test_a_run_that_diverged_is_no_success(tmp_path, command, more):
    folder = tmp_path / "run"
    options = ("--model", "head", "--out", str(folder), "--steps", "40", "--learning-rate", "100")
    code, said = command(*options)
    if more:
        code, said = command("--out", str(folder), "--model", "head", "--steps", "40", *more)
    assert code == 1
    assert "The model at step 0 was better than any after it" in said.splitlines()[-1]
    assert "--learning-rate" in said
    assert len(read_state(folder)[0]["records"]) == 2
    assert not (folder / "config.json").exists()


@pytest.mark.cases
def test_what_does_not_carry_over_is_said(tmp_path, command):
    """A text of mere chance: it can be learned by heart, and nothing of it helps with the rest."""
    text = tmp_path / "chance.txt"
    text.write_text("".join(random.Random(3).choices("ROMEabc :\n", k=3000)))
    folder = tmp_path / "run"
    options = ("--model", "bigram", "--corpus", str(text), "--steps", "50", "--eval-interval", "50", "--no-exact-loss")
    with pytest.warns(ModelCraftWarning, match="The model at step 0 is the best on the validation text, and is kept"):
        code, said = command(*options, "--out", str(folder))
    assert code == 0, said
    assert read_info(folder).training["best_step"] == 0


@pytest.mark.cases
def test_a_folder_is_locked_from_within(tmp_path, corpus):
    """Beside it there may be another disk, or a folder that is not ours to write to: `--out /data`."""
    process = start(tmp_path / "data", corpus, "--steps", "100000")
    wait_for_state(tmp_path / "data", process)
    beside = list(tmp_path.iterdir())
    process.kill()
    process.communicate()
    assert beside == [tmp_path / "data"]
    code, _, err = finish(start(tmp_path / "data", corpus, "--steps", "3"))  # a lock of the dead holds nobody up
    assert code == 0, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "data.1"]
    assert (tmp_path / "data.1" / STATE_FILE).exists()
    assert not list(tmp_path.rglob(".lock"))


@pytest.mark.cases
def test_what_systems_leave_in_a_folder_is_no_obstacle(tmp_path, command):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".DS_Store", ".gitkeep", "Thumbs.db"):
        (folder / name).touch()
    (folder / "lost+found").mkdir()
    code, err = command("--out", str(folder))
    assert code == 0, err
    assert "moved" not in err and (folder / ".gitkeep").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".DS_Store").symlink_to(folder)
    code, err = command("--out", str(tmp_path / "other"))
    assert code == 1
    assert "holds other things than a training" in err


@pytest.mark.cases
@pytest.mark.parametrize("there", [True, False])
def test_a_symlink_stays_one(tmp_path, command, there):
    big, link = tmp_path / "disk" / "big", tmp_path / "link"
    link.symlink_to(big)
    if there:
        big.mkdir(parents=True)
    for _ in range(2):
        code, err = command("--out", str(link))
        assert code == 0, err
    assert link.is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["big", "big.1"]
    assert all((big.with_name(name) / "model.safetensors").exists() for name in ("big", "big.1"))


@pytest.mark.cases
def test_a_mount_point_that_cannot_be_moved_says_so(tmp_path, command, monkeypatch):
    def busy(self: Path, target: Path) -> None:
        raise OSError(16, "Device or resource busy")

    folder = tmp_path / "data"
    assert command("--out", str(folder))[0] == 0
    before = {path.name for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        code, err = command("--out", str(folder))
    assert code == 1
    assert "cannot be moved aside (Device or resource busy); go on with it with --resume" in err
    assert {path.name for path in folder.iterdir()} - {".lock"} == before
