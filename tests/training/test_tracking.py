"""Trackers: they get what metrics.jsonl gets, each step once, and a training never suffers from them."""

import itertools
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from helpers import assert_one_sentence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as ProgramsAccumulator
from tensorboard.util.tensor_util import make_ndarray

from modelcraft.ladder import RUNGS
from modelcraft.store.folder import CONFIG_FILE, TENSORBOARD_DIR, load_folder
from modelcraft.store.hub_client import _files
from modelcraft.support.cli import run
from modelcraft.support.errors import ConfigError, ModelCraftWarning
from modelcraft.train import train
from modelcraft.training.run import TrainingRun
from modelcraft.training.tracking import PROJECT, TRACKERS, tracked
from modelcraft.training.trainer import METRICS_FILE, Trainer

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {"steps": 24, "batch_size": 4, "eval_interval": 6, "eval_batches": 2, "save_interval": 9}
STEPS = [0, 6, 12, 18, 24]
SETTINGS = {"rung": "bigram", "steps": 24, "seed": 1}
RECORDS = [
    {"step": step, "val_loss": 3.0 - step / 7, "seconds": step / 3, "characters": step * 10**7} for step in STEPS
]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """Trackio's store, for all tests of this file: trackio reads where it is only once."""
    place = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(place))
        from trackio import utils

        assert place == utils.TRACKIO_DIR
        yield place


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("to be or not to be that is the question\n" * 40, encoding="utf-8")
    return path


@pytest.fixture
def folder(request, tmp_path):
    """A folder for a run, under a name that no other test has: trackio knows runs by their names."""
    return tmp_path / request.node.name


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text(encoding="utf-8").splitlines()]


def in_tensorboard(folder: Path) -> list[dict[str, float]]:
    """Return what scripts read, which must be what the program shows; both know 32 bits of a number."""
    by_step = {}
    scripts, program = (one(str(folder / TENSORBOARD_DIR)) for one in (EventAccumulator, ProgramsAccumulator))
    scripts.Reload()
    program.Reload()
    for name in scripts.Tags()["scalars"]:
        shown = [(event.step, make_ndarray(event.tensor_proto).item()) for event in program.Tensors(name)]
        assert shown == [(event.step, event.value) for event in scripts.Scalars(name)]
        assert len(dict(shown)) == len(shown), "a step is there twice"
        for step, value in shown:
            by_step.setdefault(step, {"step": step})[name] = value
    return list(by_step.values())


def in_32_bits(records):
    return [{name: torch.tensor(value).float().item() for name, value in record.items()} for record in records]


def in_trackio(folder: Path) -> list[dict[str, float]]:
    """Return the records of the only run of that name."""
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = (one for one in Api().runs(PROJECT) if one.name == folder.name)
    logs = SQLiteStorage.get_logs(PROJECT, found.name, run_id=found.id)
    return [{name: value for name, value in log.items() if name != "timestamp"} for log in logs]


SEEN = {"tensorboard": in_tensorboard, "trackio": in_trackio}
AS_SEEN = {"tensorboard": in_32_bits, "trackio": list}
both = pytest.mark.parametrize("tracker", sorted(TRACKERS))


def order(folder: Path, corpus: Path, **options) -> TrainingRun:
    recipe = {} if options.get("resume") else RECIPE
    return TrainingRun(RUNGS["bigram"], folder, str(corpus), recipe, device="cpu", exact=False, **options)


def die_after(monkeypatch, steps: int) -> None:
    """Let the training break off after so many steps in all, without a save."""

    class Killed(BaseException):
        pass

    count, step = itertools.count(1), Trainer._train_step

    def mortal(self):
        step(self)
        if next(count) == steps:
            raise Killed

    monkeypatch.setattr(Trainer, "_train_step", mortal)
    monkeypatch.setattr(order, "killed", Killed, raising=False)


@both
def test_a_tracker_has_what_the_metrics_have(tracker, folder, corpus):
    order(folder, corpus, track=tracker).run()
    found = SEEN[tracker](folder)
    assert found == AS_SEEN[tracker](metrics(folder))
    assert [record["step"] for record in found] == STEPS
    assert set(found[0]) == {"step", "train_loss", "val_loss", "learning_rate", "seconds", "characters"}


@both
@pytest.mark.parametrize("killed_after", [3, 14, 20])
def test_killed_and_resumed_is_one_run_with_each_step_once(tracker, folder, corpus, monkeypatch, killed_after):
    """The last saved state is of step 0, 9 or 18, the last record of step 0, 12 or 18."""
    order(folder.parent / "whole", corpus).run()
    with monkeypatch.context() as patch:
        die_after(patch, killed_after)
        with pytest.raises(order.killed):
            order(folder, corpus, track=tracker).run()
    before = SEEN[tracker](folder)
    assert before == AS_SEEN[tracker](metrics(folder))
    order(folder, corpus, track=tracker, resume=True).run()
    found = SEEN[tracker](folder)
    if tracker == "trackio":  # a record that was measured again stays as it was: in the seconds of the first time
        again = [record for record in metrics(folder) if record["step"] not in {one["step"] for one in before}]
        assert found == before + again
    else:
        assert found == in_32_bits(metrics(folder))
    assert without_seconds(found) == without_seconds(AS_SEEN[tracker](metrics(folder.parent / "whole")))


def without_seconds(records):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


@both
def test_a_run_that_is_tracked_from_a_resume_on_is_there_from_its_beginning(tracker, folder, corpus, monkeypatch):
    with monkeypatch.context() as patch:
        die_after(patch, 14)
        with pytest.raises(order.killed):
            order(folder, corpus).run()
    order(folder, corpus, track=tracker, resume=True).run()
    assert SEEN[tracker](folder) == AS_SEEN[tracker](metrics(folder))


@both
def test_what_a_tracker_lost_it_gets_when_the_run_goes_on(tracker, folder):
    """It may be that it was not asked for in between."""
    with tracked(tracker, folder, SETTINGS) as send:
        send(RECORDS[0])
    with tracked(tracker, folder, SETTINGS, RECORDS[:3], resumed=True) as send:
        send(RECORDS[3])
    assert SEEN[tracker](folder) == AS_SEEN[tracker](RECORDS[:4])


def test_trackio_never_goes_on_in_another_run_of_the_same_name(folder):
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    with tracked("trackio", folder, {**SETTINGS, "seed": 2}) as send:
        send(RECORDS[0])
    with tracked("trackio", folder.parent / "elsewhere" / folder.name, SETTINGS, RECORDS[:2], resumed=True) as send:
        send(RECORDS[2])
    runs = [one for one in Api().runs(PROJECT) if one.name == folder.name]
    steps = [[log["step"] for log in SQLiteStorage.get_logs(PROJECT, one.name, run_id=one.id)] for one in runs]
    assert steps == [[0], [0, 6, 12]]
    assert [one.config.get("seed") for one in runs] == [2, 1]


def test_the_settings_are_shown_too(folder, corpus):
    from trackio import Api

    for tracker in TRACKERS:
        order(folder, corpus, track=tracker).run()
    (found,) = (one for one in Api().runs(PROJECT) if one.name == folder.name)
    assert found.config.items() >= (RECIPE | {"rung": "bigram", "block_size": 8}).items()
    events = EventAccumulator(str(folder / TENSORBOARD_DIR)).Reload()
    (shown,) = events.Tensors("settings/text_summary")
    assert json.loads(shown.tensor_proto.string_val[0].decode().split("```")[1].removeprefix("json"))["batch_size"] == 4


def test_a_push_takes_nothing_of_tensorboard(folder, corpus):
    order(folder, corpus, track="tensorboard").run()
    model, _, info = load_folder(folder, "cpu")
    assert set(_files(folder, model, info)) == {"config.json", "model.safetensors", "loss_curve.png"}


def test_tensorboards_clock_shows_seconds_of_work(folder):

    with tracked("tensorboard", folder, SETTINGS) as send:
        send(RECORDS[0])
    with tracked("tensorboard", folder, SETTINGS, RECORDS[:1], resumed=True) as send:
        send(RECORDS[3])
    first, last = EventAccumulator(str(folder / TENSORBOARD_DIR)).Reload().Scalars("val_loss")
    assert last.wall_time - first.wall_time == pytest.approx(6.0)


@both
@pytest.mark.parametrize("fails", ["__init__", "log", "close"])
def test_a_failing_tracker_is_one_warning_and_the_training_goes_on(tracker, folder, corpus, monkeypatch, fails):
    calls, works = itertools.count(1), getattr(TRACKERS[tracker], fails)

    def failing(*given):
        if next(calls) == (3 if fails == "log" else 1):
            raise OSError("No space left on device\nat all")
        works(*given)

    monkeypatch.setattr(TRACKERS[tracker], fails, failing)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        order(folder, corpus, track=tracker).run()
    (warning,) = [str(one.message) for one in said if issubclass(one.category, ModelCraftWarning)]
    assert warning == (
        f"{tracker} failed and gets nothing more (No space left on device at all); the training goes on, and "
        "metrics.jsonl has everything."
    )
    assert next(calls) == (4 if fails == "log" else 2)  # after a failure nothing is asked of it
    assert [record["step"] for record in metrics(folder)] == STEPS
    assert (folder / CONFIG_FILE).exists()


def test_trackio_without_its_store_says_so_and_the_training_goes_on(folder, corpus, home):
    """Trackio raises nothing where it cannot write, but warns by itself."""
    aside = home.with_name("aside")
    home.rename(aside)
    home.write_text("no folder")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("default")
            order(folder, corpus, track="trackio").run()
    finally:
        home.unlink()
        aside.rename(home)
    assert any("trackio" in str(one.message) for one in said)
    assert [record["step"] for record in metrics(folder)] == STEPS


@both
def test_a_missing_package_is_one_sentence_before_anything_is_done(tracker, folder, corpus, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, tracker, None)
    monkeypatch.setattr(
        sys, "argv", ["train", "--corpus", str(corpus), "--out", str(folder), "--steps", "1", "--track", tracker]
    )
    with pytest.raises(SystemExit) as left:
        run(train)
    out, err = capsys.readouterr()
    assert (left.value.code, out) == (1, "")
    assert err == f"--track {tracker} needs a package more; install it with `pip install {tracker}`.\n"
    assert not folder.exists()


@pytest.mark.parametrize(
    ("rung", "track", "says"),
    [
        ("bigram", "wandb", "--track takes trackio or tensorboard, not 'wandb'"),
        ("bigram", "", "--track takes trackio or tensorboard, not ''"),
        ("counting", "trackio", "leave --track out"),
    ],
)
def test_what_cannot_be_tracked_is_one_sentence(tmp_path, rung, track, says):
    with pytest.raises(ConfigError) as caught:
        TrainingRun(RUNGS[rung], tmp_path / "run", track=track)
    assert_one_sentence(caught.value, says)


def test_without_the_option_neither_package_is_imported(folder, corpus, monkeypatch):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from modelcraft.train import train\n"
        f"train('bigram', {str(corpus)!r}, out=Path({str(folder)!r}), steps=1, batch_size=1)\n"
        "assert {'torch', 'modelcraft.training.tracking'} <= set(sys.modules)\n"
        "assert not {'trackio', 'tensorboard'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=60, capture_output=True)
    assert not (folder / TENSORBOARD_DIR).exists()


def test_standard_output_has_only_the_result(folder, corpus, capsys):
    order(folder, corpus, track="trackio").run()
    out, err = capsys.readouterr()
    assert out.startswith(f"{folder}/\n") and "rackio" not in out
    assert "Trackio" in err


def test_only_the_first_of_several_processes_tracks(folder, corpus):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "modelcraft.train", "--model", "bigram", "--device", "cpu", "--no-exact-loss"]
    command += [part for name, value in RECIPE.items() for part in ("--" + name.replace("_", "-"), str(value))]
    command += ["--corpus", str(corpus), "--out", str(folder), "--track", "tensorboard"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=150, capture_output=True)
    assert len(list((folder / TENSORBOARD_DIR).iterdir())) == 1
    assert in_tensorboard(folder) == in_32_bits(metrics(folder))
