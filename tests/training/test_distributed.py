"""Training on two processes: the same losses as on one, one writer, and a resume on another number of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from modelcraft.data import UNSCORED
from modelcraft.support.device import LAUNCHER
from modelcraft.support.errors import ConfigError
from modelcraft.training.distributed import Ranks
from modelcraft.training.state import describe_state
from modelcraft.training.trainer import METRICS_FILE

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["n_embd=32", "n_layer=2", "block_size=16", "dropout=0.0", "noise=0.0"]
OPTIONS = ["--model", "gpt", "--no-compile", "--device", "cpu", "--precision", "fp32", "--batch-size", "8"]
STEPS = 72
OPTIONS += ["--steps", str(STEPS), "--eval-interval", "24", "--save-interval", "4"]
OPTIONS += [part for setting in SMALL for part in ("--set", setting)]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("to be or not to be that is the question\n" * 40, encoding="utf-8")
    return path


def start(processes: int, *options: str) -> subprocess.Popen[str]:
    alone = [sys.executable, "-m", "modelcraft.train"]
    several = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = alone if processes == 1 else [*several, "-m", "modelcraft.train"]
    return subprocess.Popen(
        [*command, *OPTIONS, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    return out, err


def losses(folder: Path) -> dict[int, tuple[float, float]]:
    records = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    return {record["step"]: (record["train_loss"], record["val_loss"]) for record in records}


@pytest.fixture(scope="module")
def alone(text, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    finish(start(1, "--corpus", str(text), "--out", str(folder)))
    return folder


def assert_same_losses(one: Path, other: Path) -> None:
    expected, found = losses(one), losses(other)
    assert list(found) == list(expected) == [0, 24, 48, 72]
    for step, pair in expected.items():
        assert found[step] == pytest.approx(pair, abs=2e-3), step


def test_two_processes_train_as_one(text, alone, tmp_path):
    out, err = finish(start(2, "--corpus", str(text), "--out", str(tmp_path / "run")))
    assert_same_losses(alone, tmp_path / "run")
    assert out.count("Exact validation loss") == 1  # one of them speaks
    assert len(re.findall("2 processes", err)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert losses(alone)[STEPS][0] < losses(alone)[0][0] - 0.7  # it did learn, so the comparison says something


@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2)])
def test_resumed_on_another_number_of_processes(text, alone, tmp_path, first, then):
    folder = tmp_path / "run"
    process = start(first, "--corpus", str(text), "--out", str(folder))
    deadline = time.monotonic() + 120
    while not (folder / METRICS_FILE).exists() or 0 not in losses(folder):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert describe_state(folder)["step"] < STEPS  # or there is nothing to resume
    finish(start(then, "--corpus", str(text), "--out", str(folder), "--resume"))
    assert_same_losses(alone, folder)


def test_a_batch_that_cannot_be_split_is_refused():
    batch = {"idx": torch.zeros(1, 4), "targets": torch.zeros(1, 4)}
    with pytest.raises(ConfigError, match="A batch of 1 has no row for each of 2 processes"):
        Ranks(0, 2).share(batch)


def test_the_shares_are_the_batch_and_their_mean_is_its_mean():
    targets = torch.tensor([[1, 2], [3, UNSCORED], [4, 5], [UNSCORED, UNSCORED], [6, 7]])  # an odd number of rows
    batch = {"idx": torch.arange(10).view(5, 2), "targets": targets}
    each = torch.rand(5, 2)
    shares = [Ranks(rank, 2).share(batch) for rank in range(2)]
    rows = torch.cat([share["idx"] for share, _ in shares])
    assert sorted(rows.flatten().tolist()) == list(range(10))
    means = []
    for share, weight in shares:
        losses_here = each.flatten()[share["idx"]][share["targets"] != UNSCORED]
        means.append(weight * losses_here.mean())
    torch.testing.assert_close(sum(means) / 2, each[targets != UNSCORED].mean())


@pytest.mark.cases
@pytest.mark.parametrize(
    "left", [{"RANK": "3"}, {"WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": ""}]
)
def test_without_a_launcher_it_is_one_process(text, tmp_path, left):
    """What a launcher has left in the environment says nothing; errors are said, too."""
    command = [sys.executable, "-m", "modelcraft.train", "--model", "bigram", "--steps", "2", "--corpus", str(text)]
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER}

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *options], cwd=ROOT, env=kept | left, capture_output=True, text=True, check=False
        )

    done = call("--out", str(tmp_path / "run"))
    assert (done.returncode, "Exact validation loss" in done.stdout) == (0, True), done.stderr
    refused = call("--out", str(tmp_path / "refused"), "--precision", "fp8")
    assert (refused.returncode, "precision must be one of" in refused.stderr) == (1, True)


def test_alone_nothing_is_shared():
    batch = {"targets": torch.zeros(3, 4)}
    assert Ranks().share(batch) == (batch, 1.0)
    assert Ranks().any(True) and not Ranks().any(False)
