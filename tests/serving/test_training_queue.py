"""Trainings of visitors: real processes, bounded, queued, paused and resumed, nobody's business but their owner's."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

from modelcraft.ladder import RUNGS
from modelcraft.serving.training_job import MAX_TEXT, Job, Order, Status, file_name, sizes_of, trainable
from modelcraft.serving.training_queue import TICK_S, TrainingQueue
from modelcraft.store.folder import STATE_FILE, load_folder
from modelcraft.support.errors import BusyError, ConfigError, CorpusError
from modelcraft.training.fit import FITS

POEM = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 60
ANN, BOB = "a" * 32, "b" * 32


@pytest.fixture
def trainings():
    shop = TrainingQueue()
    yield shop
    shop.close()


def until(job: Job, *states: str, within: float = 90) -> Job:
    end = time.monotonic() + within
    while job.status not in states:
        assert time.monotonic() < end, (job.status, job.problem, (job.folder / "log.txt").read_text())
        time.sleep(0.02)
    return job


def measured(job: Job, times: int = 1) -> None:
    end = time.monotonic() + 60
    while len(job.records) < times:
        assert time.monotonic() < end, (job.folder / "log.txt").read_text()
        time.sleep(0.02)


def poem(steps: int = 20, rung: str = "bigram", **sizes: int) -> Order:
    return Order(rung, steps, sizes, POEM, "tyger.txt")


def test_a_training_ends_with_a_model_that_its_owner_can_play_and_take_home(trainings, tmp_path):
    job = trainings.start(ANN, poem(40, n_embd=64))
    until(job, Status.DONE)
    assert job.records[-1]["step"] == 40
    assert job.records[-1]["val_loss"] < job.records[0]["val_loss"]
    assert len(job.sample) == 400
    entry = trainings.get(job.name)
    assert entry.model.config.n_embd == 64
    assert set(entry.tokenizer.vocabulary) == set(POEM)
    assert entry.info.corpus["name"] == "tyger.txt"
    assert trainings.get(job.name) is entry
    with zipfile.ZipFile(trainings.archive(ANN)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"bigram-tyger"}
        archive.extractall(tmp_path)
    model, _, info = load_folder(tmp_path / "bigram-tyger")
    assert model.num_parameters == entry.model.num_parameters
    assert info == entry.info
    assert str(trainings._scratch.path) not in (tmp_path / "bigram-tyger" / "README.md").read_text()

    assert trainings.look(BOB) is None  # nobody else's
    with pytest.raises(ConfigError, match="no finished model of yours"):
        trainings.archive(BOB)
    with pytest.raises(ConfigError, match="not there any more"):
        trainings.get("yours-guessed")

    assert entry.title == "mine 1: tyger.txt, bigram"


def counted(trainings: TrainingQueue, owner: str = ANN) -> Job:
    return until(trainings.start(owner, poem(1, "counting")), Status.DONE)


def test_a_visitors_newest_three_models_are_kept_each_with_its_name(trainings):
    first, second, third = (counted(trainings) for _ in range(3))
    assert [job.title for job in trainings.models(ANN)] == [f"mine {n}: tyger.txt, counting" for n in (1, 2, 3)]
    assert [trainings.get(job.name).own for job in (first, third)] == [first.name, third.name]
    assert trainings.models(BOB) == []
    fourth = trainings.start(ANN, poem(3_000, "head"))
    assert first in trainings.models(ANN)  # as long as the new one is not done
    trainings.stop(ANN)
    until(fourth, Status.FAILED, Status.DONE)
    fourth = counted(trainings)
    assert trainings.models(ANN)[-2:] == [third, fourth]
    assert first.folder.exists() is False
    with pytest.raises(ConfigError, match="not there any more"):
        trainings.get(first.name)
    assert len(trainings.models(ANN)) == 3
    assert second.number == 2


def test_the_owner_chooses_which_of_the_models_is_shown(trainings):
    first, second = counted(trainings), counted(trainings)
    assert trainings.look(ANN) is trainings.finished(ANN) is second
    trainings.show(ANN, first.name)
    assert trainings.look(ANN) is trainings.finished(ANN) is first
    assert trainings.models(ANN) == [first, second]
    with pytest.raises(ConfigError, match="not there any more"):
        trainings.show(BOB, first.name)  # nobody else's
    trainings.start(ANN, poem(3_000, "head"))
    with pytest.raises(ConfigError, match="stop it first"):
        trainings.show(ANN, second.name)


def test_a_finished_model_trains_on_and_is_what_it_was_until_then(trainings):
    job = until(trainings.start(ANN, poem(60, "head")), Status.DONE)
    before, records = trainings.get(job.name), job.records
    assert trainings.train_on(ANN, 2_000) is job
    assert trainings.get(job.name) is before
    measured(job, len(records) + 1)
    assert job.records[: len(records)] == records
    assert job.records[-1]["step"] > 60
    trainings.stop(ANN)
    until(job, Status.DONE)
    after = trainings.get(job.name)
    assert after is not before
    assert (after.title, job.number, trainings.models(ANN)) == (before.title, 1, [job])
    assert after.info.training["steps_done"] > before.info.training["steps_done"] == 60
    with pytest.raises(ConfigError, match=r"5,000 steps at most here, and this one can have [\d,]+ more"):
        trainings.train_on(ANN, 5_000)


def test_a_model_whose_further_training_fails_is_what_it_was(trainings):
    job = until(trainings.start(ANN, poem(20)), Status.DONE)
    (job.run / STATE_FILE).write_bytes(b"no state")
    before = (job.run / "model.safetensors").read_bytes()
    trainings.train_on(ANN, 20)
    until(job, Status.DONE, Status.FAILED)
    assert (job.status, trainings.finished(ANN)) == (Status.DONE, job)
    assert job.problem
    assert (job.run / "model.safetensors").read_bytes() == before


def test_what_has_not_trained_on_yet_is_given_back_at_once(trainings):
    job = until(trainings.start(ANN, poem(20)), Status.DONE)
    trainings.start(BOB, poem(3_000, "head"))
    before = trainings.get(job.name)
    trainings.train_on(ANN, 100)
    assert (job.status, job.order.steps) == (Status.WAITING, 120)
    trainings.stop(ANN)
    assert (job.status, job.order.steps, trainings.position(job)) == (Status.DONE, 20, 0)
    assert trainings.get(job.name) is before


def test_a_stopped_model_trains_on_for_as_many_steps_as_asked_and_what_is_packed_is_the_newest(trainings):
    job = trainings.start(ANN, poem(3_000, "head"))
    measured(job, 2)
    trainings.stop(ANN)
    until(job, Status.DONE)
    done = int(job.records[-1]["step"])
    first = trainings.archive(ANN).read_bytes()
    assert done < 3_000
    trainings.train_on(ANN, 60)
    until(job, Status.DONE)
    assert trainings.get(job.name).info.training["steps_done"] == done + 60
    later = [record["step"] for record in job.records if record["step"] > done]
    assert len(later) >= 20  # measured as often as a training of 60 steps is
    assert trainings.archive(ANN).read_bytes() != first


def test_what_is_counted_does_not_train_on(trainings):
    counted(trainings)
    with pytest.raises(ConfigError, match="not trained in steps"):
        trainings.train_on(ANN, 20)


def test_a_second_model_gives_way_to_a_first_one_and_ones_own_go_first(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.training_room.AN_ADDRESS", (9, 4))
    monkeypatch.setattr("modelcraft.serving.training_room.SPARED_S", 0.0)
    shop = TrainingQueue(running=0, waiting=9)

    def kept(owner: str) -> Job:
        job = shop.start(owner, poem(), "10.0.0.1")
        shop._done(job)
        return job

    ann, bob = [kept(ANN), kept(ANN)], [kept(BOB), kept(BOB)]
    new = kept(ANN)  # Bob's second has not been looked at for longer, and stays
    assert (shop.models(ANN), shop.models(BOB)) == ([ann[1], new], bob)
    cyn = kept("c" * 32)  # which has none
    assert (shop.models(ANN), shop.models(BOB), shop.models("c" * 32)) == ([ann[1], new], bob[1:], [cyn])
    again = kept("c" * 32)  # in place of the only one, though Ann has two
    assert (shop.models(ANN), shop.models("c" * 32)) == ([ann[1], new], [again])
    shop.close()


def test_who_pauses_lets_others_go_first_and_resumes_where_it_was(trainings):
    ann = trainings.start(ANN, poem(3_000, "head"))
    bob = trainings.start(BOB, poem(1, "counting"))
    assert (ann.status, bob.status, trainings.position(bob)) == (Status.TRAINING, Status.WAITING, 1)
    with pytest.raises(ConfigError, match="not over yet; stop it first"):
        trainings.start(ANN, poem())
    measured(ann, 2)
    trainings.pause(ANN)
    trainings.pause(ANN)  # a second signal would end the process at once
    until(ann, Status.PAUSED)
    until(bob, Status.DONE)
    before = ann.records
    assert before[-1]["step"] < 3_000
    trainings.resume(ANN)
    measured(ann, len(before) + 1)
    assert ann.records[: len(before)] == before

    trainings.stop(ANN)  # and what it has found so far is kept
    until(ann, Status.DONE)
    best = min(ann.records, key=lambda record: record["val_loss"])
    assert ann.entry.info.training["best_step"] == best["step"] < 3_000


def test_what_is_paused_can_be_stopped_and_kept(trainings):
    job = trainings.start(ANN, poem(3_000, "head"))
    measured(job)
    trainings.pause(ANN)
    until(job, Status.PAUSED)
    trainings.stop(ANN)
    assert job.status in (Status.FINISHING, Status.DONE)
    until(job, Status.DONE)
    assert trainings.get(job.name).info.rung == "head"


def test_a_training_ends_when_its_time_is_over():
    shop = TrainingQueue(seconds=4)
    try:
        job = until(shop.start(ANN, poem(5_000, "head", block_size=128)), Status.DONE, Status.FAILED)
        assert job.status == Status.DONE or "Stopped before anything was measured" in job.problem
        assert job.worked < 60
    finally:
        shop.close()


def test_what_fails_says_why_and_not_where(trainings):
    job = until(
        trainings.start(ANN, Order("encoder-decoder", 5, {}, "no play at all " * 300, "prose.txt")),
        Status.FAILED,
        Status.DONE,
    )
    assert job.status == Status.FAILED
    assert job.problem.endswith(".")
    assert str(trainings._scratch.path) not in job.problem
    assert "Traceback" not in job.problem
    assert trainings.start(ANN, poem(1)).status == Status.TRAINING


@pytest.mark.cases
def test_what_fails_for_the_owners_sake_tells_the_visitor_no_path_and_the_owner_all(
    trainings, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("MODELCRAFT_CORPUS", str(tmp_path / "nowhere.txt"))
    job = until(trainings.start(ANN, Order("bigram", 5)), Status.FAILED, Status.DONE)
    assert job.problem == "The text is not to be had here at the moment; train on one of your own."
    assert str(tmp_path / "nowhere.txt") in caplog.text


@pytest.mark.cases
def test_what_breaks_in_a_training_stays_with_the_owner(trainings, tmp_path, monkeypatch, caplog):
    (tmp_path / "typer.py").write_text("raise RuntimeError('/srv/secret is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = until(trainings.start(ANN, poem(5)), Status.FAILED, Status.DONE)
    assert job.problem == "The training broke off; start it again."
    assert "RuntimeError: /srv/secret is broken" in caplog.text


def test_stopped_before_it_began(trainings):
    job = trainings.start(ANN, poem())
    trainings.stop(ANN)
    until(job, Status.FAILED, Status.DONE)
    if job.status == Status.FAILED:
        assert job.problem == "Stopped before anything was measured, so there is nothing to keep."


def test_the_queue_has_an_end_and_says_when_there_is_room():
    shop = TrainingQueue(running=0, waiting=2)  # so that nothing ever begins
    try:
        first, second = shop.start(ANN, poem()), shop.start(BOB, poem())
        assert [shop.position(job) for job in (first, second)] == [1, 2]
        with pytest.raises(BusyError, match=r"Busy, try again in \d+ seconds."):
            shop.start("c" * 32, poem())
        shop.pause(ANN)
        assert (first.status, shop.position(second)) == (Status.PAUSED, 1)
        shop.start("c" * 32, poem())
        with pytest.raises(BusyError):
            shop.resume(ANN)
        shop.stop(BOB)
        assert second.problem == "Stopped before it began."
        shop.resume(ANN)
        assert shop.position(first) == 2
    finally:
        shop.close()


def test_when_there_is_no_room_who_was_not_seen_for_longest_is_forgotten(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.training_room.MAX_JOBS", 2)
    shop = TrainingQueue(running=0, waiting=9)
    try:
        first, second = shop.start(ANN, poem()), shop.start(BOB, poem())
        shop.pause(ANN)
        shop.pause(BOB)
        with pytest.raises(BusyError):  # both were seen just now
            shop.start("c" * 32, poem())
        first.looked_at -= 1_000
        second.looked_at -= 2_000
        shop.start("c" * 32, poem())
        assert shop.look(BOB) is None
        assert shop.look(ANN) is first
        assert not second.folder.exists()
    finally:
        shop.close()


def test_a_result_that_nobody_looks_at_is_forgotten(monkeypatch):
    shop = TrainingQueue(running=0)
    try:
        job = shop.start(ANN, poem())
        shop.stop(ANN)
        job.looked_at -= 3 * 3_600
        end = time.monotonic() + 5
        while job.folder.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert shop.look(ANN) is None
    finally:
        shop.close()


def test_closing_leaves_no_process_and_no_file(trainings):
    job = trainings.start(ANN, poem(5_000, "head"))
    process = job.process
    root = trainings._scratch.path
    trainings.close()
    assert process.poll() is not None
    assert not root.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


APP = """
import sys, time
from modelcraft.serving.training_queue import Order, TrainingQueue
job = TrainingQueue().start("a" * 32, Order("head", 5_000, {"block_size": 256}, sys.argv[1] * 5))
while not job.records:
    time.sleep(0.02)
print(job.process.pid, flush=True)
time.sleep(120)
"""


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # nobody buries orphans here
    return False


@pytest.mark.cases
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks where Linux shows it")
def test_a_training_whose_app_was_killed_ends_and_leaves_no_file(tmp_path, monkeypatch):
    """Another app lives meanwhile, and keeps what it has."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = TrainingQueue(running=0)
    kept = other.start(ANN, poem()).folder
    app = subprocess.Popen(
        [sys.executable, "-c", APP, POEM],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    training = int(app.stdout.readline())
    app.kill()
    app.communicate()
    end = time.monotonic() + 20
    while lives(training) or list(tmp_path.iterdir()) != [kept.parent]:
        assert time.monotonic() < end, (lives(training), list(tmp_path.iterdir()))
        time.sleep(0.05)
    assert (kept / "tyger.txt").exists()
    other.close()


@pytest.mark.cases
def test_pause_and_stop_need_no_signal(trainings, monkeypatch):
    """Windows has none: there the only one that a process can be sent ends it at once."""
    monkeypatch.setattr(subprocess.Popen, "send_signal", lambda self, number: os.kill(self.pid, signal.SIGKILL))
    job = trainings.start(ANN, poem(3_000, "head"))
    measured(job)
    trainings.pause(ANN)
    until(job, Status.PAUSED, Status.FAILED)
    assert job.status == Status.PAUSED
    before = len(job.records)
    trainings.resume(ANN)
    measured(job, before + 1)
    trainings.stop(ANN)
    until(job, Status.DONE, Status.FAILED)
    assert job.status == Status.DONE


@pytest.mark.cases
def test_the_text_of_the_app_is_the_one_that_the_environment_names(trainings, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text(POEM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELCRAFT_CORPUS", "data/mine.txt")
    job = until(trainings.start(ANN, Order("bigram", 5)), Status.DONE, Status.FAILED)
    assert job.problem == ""
    assert job.entry.info.corpus["name"] == "mine.txt"


@pytest.mark.cases
def test_who_comes_when_the_app_is_ending_is_told_so(trainings):
    trainings.close()
    with pytest.raises(BusyError):
        trainings.start(ANN, poem())


def environment_of(job: Job) -> bytes:
    environment = b""
    while b"PYTHONPATH" not in environment and job.process.poll() is None:  # empty until the program has begun
        environment = Path(f"/proc/{job.process.pid}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    return environment


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks where Linux shows it")
def test_no_secret_of_the_machine_reaches_a_training(trainings, monkeypatch):
    for name in ("HF_TOKEN", "OAUTH_CLIENT_SECRET", "DATABASE_URL", "MY_PASSPHRASE", "http_proxy"):
        monkeypatch.setenv(name, "hf_secret")  # whatever it is called
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("SPACE_ID", "ana/mine")  # its card says where the app is installed from
    given = environment_of(trainings.start(ANN, poem()))
    assert b"hf_secret" not in given
    assert b"LC_ALL=C.UTF-8" in given and b"SPACE_ID=ana/mine" in given


@pytest.mark.cases
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks where Linux shows it")
@pytest.mark.parametrize(("order", "threads"), [(poem(rung="block"), 1), (poem(rung="block", n_embd=256), 4)])
def test_a_small_model_is_trained_on_one_thread(trainings, monkeypatch, order, threads):
    """Whatever the machine has."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("modelcraft.support.device.usable_cores", lambda: 8)
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    assert f"OMP_NUM_THREADS={threads}".encode() in environment_of(trainings.start(ANN, order)).split(b"\0")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"rung": "blend"}, "The rungs that can be trained here are counting, bigram"),
        ({"rung": "gpt-video"}, "The rungs that can be trained here"),
        ({"rung": "../gpt"}, "The rungs that can be trained here"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 5_001}, "steps must be"),
        ({"steps": 1.5}, "steps must be"),
        ({"steps": True}, "steps must be"),
        ({"sizes": {"n_embd": 512}}, "n_embd must be"),
        ({"sizes": {"n_embd": 100}}, "n_embd must be a multiple of 32"),
        ({"sizes": {"n_layer": 7}}, "n_layer must be"),
        ({"sizes": {"block_size": 4}}, "block_size must be"),
        ({"sizes": {"dropout": 1}}, "has no size 'dropout'"),
        ({"sizes": {"vocab_size": 10**9}}, "has no size"),
        ({"sizes": {"n_embd": 64}, "from_bundled": True}, "has no size 'n_embd' to set"),  # they are the model's
        ({"rung": "counting", "from_bundled": True}, "no bundled counting to start from"),
        ({"learning_rate": 1.5}, "learning_rate must be"),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"learning_rate": "1"}, "learning_rate must be"),
        ({"learning_rate": 0}, "learning_rate must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"batch_size": 1_025}, "batch_size must be"),
        ({"dropout": 1}, "dropout must be"),
        ({"rung": "bigram", "dropout": 0.1}, "has no dropout to set"),
    ],
)
def test_what_is_out_of_bounds_is_refused(order, says):
    with pytest.raises(ConfigError, match=says):
        Order(**{"rung": "gpt", **order})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("short", "needs 91 or more"),
        ("x" * (MAX_TEXT + 1), "2,000,000 are the most"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 5_001))) * 2, "5,001 different characters"),
    ],
)
def test_texts_out_of_bounds_are_refused(text, says):
    with pytest.raises(CorpusError, match=says):
        Order("head", text=text)


def test_the_shortest_text_that_is_taken_is_enough():
    Order("head", text="a" * 91).text.encode()
    from modelcraft.data import Corpus
    from modelcraft.tokenizer import CharTokenizer

    text = "ab" * 45 + "c"
    assert len(Order("head", text=text).text) == 91
    Corpus("x", text).splits(CharTokenizer.of(text), 8)


def test_every_rung_that_is_offered_can_be_made_at_both_ends_of_its_sizes():
    from modelcraft.serving.training_job import SIZES

    for name in trainable():
        rung = RUNGS[name]
        for end in (0, 1):
            sizes = {size: SIZES[size][end] for size in sizes_of(rung)}
            Order(name, 1, sizes)
            if rung.name not in FITS:
                rung.build(rung.configure({**vars(rung.config), **sizes}), "meta")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("my poem.txt", "my-poem.txt"),
        ("../../etc/passwd", "etc-passwd.txt"),
        ("..", "text.txt"),
        ("", "text.txt"),
        ("-rf", "rf.txt"),
        ("мои стихи", "text.txt"),
        ("x" * 300, "x" * 40 + ".txt"),
    ],
)
def test_a_title_becomes_a_harmless_name(title, name):
    assert file_name(title) == name


@pytest.mark.cases
def test_one_address_does_not_fill_the_queue(monkeypatch):
    shop = TrainingQueue(running=0)
    for number in range(4):
        shop.start(f"ann{number}", poem(), "10.0.0.1")
    with pytest.raises(BusyError):
        shop.start("ann4", poem(), "10.0.0.1")
    for number in range(4):
        shop.start(f"ben{number}", poem(), f"10.0.1.{number}")
    with pytest.raises(BusyError):  # the queue of all
        shop.start("cyn", poem(), "10.0.2.1")
    shop.close()


@pytest.mark.cases
def test_one_address_does_not_fill_the_machine_with_what_it_has_paused(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.training_room.AN_ADDRESS", (4, 3))
    shop = TrainingQueue(running=0)
    for number in range(3):
        shop.start(f"ann{number}", poem(), "10.0.0.1")
        shop.pause(f"ann{number}")
    with pytest.raises(BusyError):
        shop.start("ann3", poem(), "10.0.0.1")
    shop.start("ben", poem(), "10.0.0.2")
    monkeypatch.setattr("modelcraft.serving.training_room.SPARED_S", -1.0)
    shop.start("ann3", poem(), "10.0.0.1")  # it makes room for itself
    assert shop.look("ann0") is None
    assert shop.look("ben") is not None
    shop.close()


@pytest.mark.cases
def test_a_pause_ends_after_a_while_and_what_was_learned_is_kept(trainings, monkeypatch):
    job = trainings.start(ANN, poem(3_000, "head"))
    measured(job)
    trainings.pause(ANN)
    until(job, Status.PAUSED, Status.FAILED)
    never = trainings.start(BOB, poem())
    trainings.pause(BOB)
    monkeypatch.setattr("modelcraft.serving.training_queue.PAUSED_S", -1.0)
    until(job, Status.DONE, Status.FAILED)
    assert job.status == Status.DONE
    until(never, Status.DONE, Status.FAILED, Status.TRAINING)


@pytest.mark.cases
def test_who_waits_keeps_the_place_though_the_page_be_closed(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.training_room.SPARED_S", -1.0)
    monkeypatch.setattr("modelcraft.serving.training_queue.KEPT_S", -1.0)
    monkeypatch.setattr("modelcraft.serving.training_room.MAX_JOBS", 2)
    shop = TrainingQueue(running=0)
    job = shop.start(ANN, poem())
    shop.start(BOB, poem())
    with pytest.raises(BusyError):
        shop.start("c", poem())
    time.sleep(3 * TICK_S)
    assert shop.look(ANN) is job
    assert job.status == Status.WAITING
    shop.close()


@pytest.mark.cases
def test_the_wait_is_as_long_as_those_before_take(monkeypatch):
    shop = TrainingQueue(running=0)
    first, second, third = (shop.start(name, poem(1_000, "block"), name) for name in ("a", "b", "c"))
    one = shop.wait(second)
    assert one == pytest.approx(10 + 3e-7 * 1_000 * first.order.parameters)
    assert [shop.wait(job) for job in (first, third)] == [0, pytest.approx(2 * one)]
    long = shop.start("d", Order("gpt", 5_000), "d")
    assert shop.wait(shop.start("e", poem(), "e")) - shop.wait(long) >= 20 * 60  # as long as a training may take
    first.worked = 60.0
    monkeypatch.setattr(Job, "records", property(lambda job: [{"step": 500}] if job is first else []))
    assert shop.wait(second) == 65  # half of it took a minute
    shop.close()


@pytest.mark.cases
def test_turns_and_the_last_places_are_for_addresses_that_have_had_least():
    shop = TrainingQueue(running=0)
    for number in range(3):
        shop.start(f"ann{number}", poem(), "10.0.0.1")
    ben = shop.start("ben", poem(), "10.0.0.2")
    assert shop.position(ben) == 2  # after Ann's first, before her second
    for number in range(2):
        shop.start(f"cyn{number}", poem(), "10.0.0.3")
    with pytest.raises(BusyError):  # six of eight: the last two are for others
        shop.start("cyn2", poem(), "10.0.0.3")
    shop.start("dan", poem(), "10.0.0.4")
    shop.start("eve", poem(), "10.0.0.5")
    shop.close()


@pytest.mark.cases
def test_what_is_over_gives_way_however_often_it_is_looked_at(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.training_room.MAX_JOBS", 2)
    shop = TrainingQueue(running=0)
    done, failed = shop.start("a", poem(), "a"), shop.start("b", poem(), "b")
    done.status, done.over_at = Status.DONE, time.monotonic()
    shop.stop("b")
    assert failed.status == Status.FAILED
    for owner in "ab":
        shop.look(owner)
    shop.start("c", poem(), "c")  # in place of what failed
    assert shop.look("b") is None
    with pytest.raises(BusyError):
        shop.start("d", poem(), "d")
    done.over_at -= 3_600
    shop.look("a")
    shop.start("d", poem(), "d")
    assert shop.look("a") is None
    shop.close()


@pytest.mark.cases
def test_an_order_that_cannot_work_is_refused_when_it_is_ordered():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 700))) * 4
    with pytest.raises(ConfigError, match=r"A batch has 16,384 characters at most here: with .* 256, 64 windows"):
        Order("gpt", 5, {"block_size": 256}, text, "hanzi.txt", batch_size=65)
    Order("gpt", 5, {"block_size": 256}, text, "hanzi.txt", batch_size=64)


@pytest.mark.cases
@pytest.mark.parametrize("rung", ["counting", "bigram", "head"])
def test_a_text_of_thousands_of_characters_trains(trainings, rung):
    """Counting with a shorter context: an n-gram of seven characters out of 5,000 is a number that no 63 bits hold."""
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 5_000))) * 4
    batch = None if rung == "counting" else 4
    job = until(
        trainings.start(ANN, Order(rung, 2, {}, text, "hanzi.txt", batch_size=batch)), Status.DONE, Status.FAILED
    )
    assert job.problem == ""
    assert trainings.get(job.name).tokenizer.vocab_size == 5_000
    if rung == "counting":
        assert trainings.get(job.name).model.config.block_size == 4


def test_learning_rate_batch_and_dropout_are_those_of_the_order(trainings):
    order = Order("head", 5, {}, POEM, "tyger.txt", learning_rate=2e-3, batch_size=7, dropout=0.25)
    job = until(trainings.start(ANN, order), Status.DONE, Status.FAILED)
    assert job.problem == ""
    info = trainings.get(job.name).info
    assert (info.training["learning_rate"], info.training["batch_size"], info.config.dropout) == (2e-3, 7, 0.25)
    usual = Order("head", 5, {}, POEM, "tyger.txt")
    assert order.work / usual.work == pytest.approx(7 / 32)
