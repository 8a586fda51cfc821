"""Trainings that visitors start: each has its own process, waits in a queue, has limits, and only its owner sees it.

A process runs `python -m modelcraft.train`, the same as on the command line: it outlives the page that started it,
"stop" on its input pauses it, it resumes exactly, and if it fails, the page goes on. It ends with the app, and so does
the folder of its files; the owner is whoever knows the secret in the visitor's browser.
"""

import contextlib
import logging
import shutil
import signal
import tempfile
import threading
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from modelcraft.serving import training_room
from modelcraft.serving.catalogue import Entry
from modelcraft.serving.clients import has_room
from modelcraft.serving.training_job import MAX_STEPS, Job, Order, Status, file_name
from modelcraft.serving.training_process import last_words, start
from modelcraft.serving.training_room import who_goes
from modelcraft.store.folder import CARD_FILE, CONFIG_FILE, PICTURE_FILE, WEIGHTS_FILE
from modelcraft.support.control import STOP, STOPPED
from modelcraft.support.errors import BusyError, ConfigError
from modelcraft.support.files import replacing, write_text
from modelcraft.support.scratch import Scratch
from modelcraft.training.trainer import METRICS_FILE

log = logging.getLogger(__name__)
MAX_SECONDS = 20 * 60.0  # of training; then it stops and its best model is kept
KEPT = 3  # models of one visitor
GONE = "This model is not there any more; train it again, or choose another."
KEPT_S = 2 * 3600.0  # a result that nobody looks at is deleted after this time
PAUSED_S = 1800.0  # a pause ends after this time, and the best model is kept
# First estimates, until trainings here are measured: seconds per step and parameter, and seconds around all steps.
SECONDS_A_PARAMETER, SECONDS_AROUND = 3e-7, 10.0
TICK_S = 0.25


class TrainingQueue:
    """The trainings of all visitors; any thread may call its methods, and an `owner` is a visitor's secret."""

    def __init__(self, running: int = 1, waiting: int = 8, seconds: float = MAX_SECONDS) -> None:
        self.running, self.waiting, self.max_seconds = running, waiting, seconds
        self._jobs: dict[str, Job] = {}  # by name, in queue order; the last one of an owner is the one that is shown
        self._lock = threading.RLock()
        self._scratch: Scratch | None = None
        self._keeper: threading.Thread | None = None
        self._closed = False
        self._pace = SECONDS_A_PARAMETER
        self._had: Counter[str] = Counter()  # trainings started per address since none was running

    def start(self, owner: str, order: Order, address: str = "") -> Job:
        """Queue a training; the owner's models stay, the newest `KEPT` of them, and a failed training goes.

        Raises ConfigError while the last one is not over, BusyError if too many wait, in total or from this `address`.
        """
        with self._lock:
            if self._closed:
                raise BusyError(60)
            last = self._check_over(owner)
            self._make_room(last, owner, address)
            if last is not None and last.status == Status.FAILED:
                self._forget(last)
            number = 1 + max((job.number for job in self._of(owner)), default=0)
            job = Job(owner, order, self._new_folder(), number, address)
            if order.text is not None:
                write_text(job.folder / file_name(order.title), order.text)
            self._jobs[job.name] = job
            self._keep()
            self._tick()
            return job

    def train_on(self, owner: str, steps: int) -> Job:
        """Queue the owner's finished model again, for `steps` more, on the schedule of a training of all its steps.

        Until that is done the model is what it was. Raises ConfigError or BusyError.
        """
        with self._lock:
            self._check_over(owner)
            job = self.finished(owner)
            if not job.records:
                raise ConfigError(f"{job.order.rung} is not trained in steps, so it cannot train on.")
            done = int(job.records[-1]["step"])
            if done + steps > MAX_STEPS:
                raise ConfigError(
                    f"A model is trained for {MAX_STEPS:,} steps at most here, and this one can have "
                    f"{MAX_STEPS - done:,} more."
                )
            self._check_queue(job.address)
            job.order = replace(job.order, steps=done + steps)
            job.status, job.problem, job.worked, job.first_step = Status.WAITING, "", 0.0, done
            self._to_the_end(job)
            self._tick()
            return job

    def show(self, owner: str, name: str) -> None:
        """Show the owner's model `name` from now on; raise ConfigError if there is none, or while a training runs."""
        with self._lock:
            self._check_over(owner)
            job = next((job for job in self.models(owner) if job.name == name), None)
            if job is None:
                raise ConfigError(GONE)
            self._to_the_end(job)

    def pause(self, owner: str) -> None:
        """Save the training and give its place to others."""
        with self._lock:
            job = self._current(owner)
            if job.status == Status.WAITING:
                job.status, job.paused_at = Status.PAUSED, time.monotonic()
            elif job.status == Status.TRAINING and not job.wanted:
                self._ask(job, Status.PAUSED)

    def resume(self, owner: str) -> None:
        """Queue a paused training again, to continue exactly where it was; raise BusyError if too many wait."""
        with self._lock:
            job = self._current(owner)
            if job.status == Status.PAUSED:
                self._check_queue(job.address)
                job.status = Status.WAITING
                self._to_the_end(job)
                self._tick()

    def stop(self, owner: str) -> None:
        """End the training and keep the best model so far."""
        with self._lock:
            job = self._current(owner)
            if job.status == Status.TRAINING and not job.wanted:
                self._ask(job, Status.DONE)
            elif job.status in (Status.WAITING, Status.PAUSED):
                self._end(job, "Stopped before it began.")
                self._tick()

    def _end(self, job: Job, otherwise: str) -> None:
        """Keep the best model of a training that is not running, or fail it if there is none."""
        if job.kept and job.records[-1]["step"] <= job.first_step:  # it has not trained on yet
            self._give_back(job)
        elif job.records:
            job.status, job.wanted = Status.FINISHING, Status.DONE
        else:
            self._fail(job, otherwise)

    def look(self, owner: str) -> Job | None:
        """Return the owner's training that is not over, else the model that is shown, or None if there is none."""
        with self._lock:
            jobs = self._of(owner)
            for job in jobs:
                job.looked_at = time.monotonic()
            return jobs[-1] if jobs else None

    def models(self, owner: str) -> list[Job]:
        """Return the owner's trainings that have left a model, the oldest first."""
        with self._lock:
            return sorted((job for job in self._of(owner) if job.kept), key=lambda job: job.number)

    def position(self, job: Job) -> int:
        """Return how many trainings must end or pause before this one starts."""
        with self._lock:
            queue = self._queue()
            busy = sum(one.process is not None for one in self._jobs.values())
            return queue.index(job) + max(0, busy - self.running + 1) if job in queue else 0

    def wait(self, job: Job) -> float:
        """Estimate the seconds until a waiting training starts: the time that those before it take."""
        with self._lock:
            left = [self._left(one) for one in self._jobs.values() if one.process is not None]
            queue = self._queue()
            before = [self._left(one) for one in queue[: queue.index(job)]] if job in queue else []
            return sum(left + before) / max(1, self.running)

    def _queue(self) -> list[Job]:
        """Return the waiting trainings in turn: addresses with the fewest trainings first, then in order of arrival."""
        waiting = [job for job in self._jobs.values() if job.status == Status.WAITING]
        before: Counter[str] = Counter()
        turns = []
        for job in waiting:
            turns.append(self._had[job.address] + before[job.address])
            before[job.address] += 1
        return [job for _, job in sorted(zip(turns, waiting, strict=True), key=lambda turn: turn[0])]

    def estimate(self, order: Order) -> float:
        """Estimate the seconds that a training will take, from earlier ones, without those that it waits for."""
        return SECONDS_AROUND + self._pace * order.work

    def left(self, job: Job) -> float:
        """Estimate the seconds that a training still takes, from its own progress, else from earlier trainings."""
        with self._lock:
            return self._left(job)

    def _left(self, job: Job) -> float:
        most = max(5.0, self.max_seconds - job.seconds)
        records = job.records
        done = records[-1]["step"] - job.first_step if records else 0
        left = job.order.steps - job.first_step - done
        if done > 0 and left >= 0 and job.seconds:
            return min(most, job.seconds * left / done + 5)
        return min(most, self.estimate(replace(job.order, steps=job.order.steps - job.first_step)))

    def get(self, name: str | None) -> Entry:
        """Return the finished model `name`, a name that only its owner knows; raise ConfigError if there is none."""
        with self._lock:
            job = self.job(name or "")
            job.looked_at = time.monotonic()
            return job.entry

    def job(self, name: str) -> Job:
        """Return the training that has left the model `name`; raise ConfigError if there is none."""
        with self._lock:
            job = self._jobs.get(name)
            if job is None or not job.kept:
                raise ConfigError(GONE)
            return job

    def archive(self, owner: str) -> Path:
        """Return the path of a zip of the owner's finished model folder; raise ConfigError if there is none."""
        job = self.finished(owner)
        path = job.folder / f"{job.order.rung}-{Path(file_name(job.order.title)).stem}.zip"
        with self._lock:
            if not path.exists():
                with replacing(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as file:
                    for name in (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, PICTURE_FILE, METRICS_FILE):
                        if (job.run / name).exists():
                            file.write(job.run / name, f"{path.stem}/{name}")
        return path

    def finished(self, owner: str) -> Job:
        """Return the owner's model that is shown; raise ConfigError if there is none, or a training is not over."""
        job = self.look(owner)
        if job is None or job.status != Status.DONE:
            raise ConfigError("There is no finished model of yours yet.")
        return job

    def close(self) -> None:
        """End all trainings and delete their files."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs.values())
            for job in jobs:
                if job.process is not None:
                    job.process.kill()
            for job in jobs:
                self._forget(job)
            if self._scratch is not None:
                self._scratch.close()

    def _of(self, owner: str) -> list[Job]:
        return [job for job in self._jobs.values() if job.owner == owner]

    def _current(self, owner: str) -> Job:
        job = self.look(owner)
        if job is None:
            raise ConfigError("You have no training here; start one.")
        return job

    def _check_over(self, owner: str) -> Job | None:
        """Return the owner's last training; raise ConfigError if it is not over."""
        last = self.look(owner)
        if last is not None and last.status not in (Status.DONE, Status.FAILED):
            raise ConfigError("Your last training is not over yet; stop it first.")
        return last

    def _to_the_end(self, job: Job) -> None:
        self._jobs[job.name] = self._jobs.pop(job.name)

    def _check_queue(self, address: str) -> None:
        queue = self._queue()
        busy = [job for job in self._jobs.values() if job.process is not None]
        own = sum(job.address == address for job in queue + busy) if address else 0
        if not has_room(len(queue), self.waiting, own, training_room.AN_ADDRESS[0]):
            raise BusyError(max(10, round(min(map(self._left, busy), default=10))))

    def _make_room(self, last: Job | None, owner: str, address: str) -> None:
        self._check_queue(address)
        if last is not None and last.status == Status.FAILED:  # it goes
            return
        if (goes := who_goes(list(self._jobs.values()), owner, address)) is not None:
            self._forget(goes)

    def _new_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = Scratch()
        return Path(tempfile.mkdtemp(dir=self._scratch.path))

    def _keep(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._watch, name="trainings", daemon=True)
            self._keeper.start()

    def _watch(self) -> None:
        while True:
            time.sleep(TICK_S)
            with self._lock:
                self._tick()
                if self._closed or not self._jobs:
                    self._keeper = None
                    return

    def _tick(self) -> None:
        """Handle ended processes, stop overdue trainings, delete unread results, and start the next trainings."""
        for job in list(self._jobs.values()):
            if job.process is not None and job.process.poll() is not None:
                self._ended(job)
            elif job.process is not None and job.seconds > 2 * self.max_seconds + 60:  # it hangs, for any reason
                job.process.kill()
            elif job.status == Status.TRAINING and not job.wanted and job.seconds > self.max_seconds:
                self._ask(job, Status.DONE)
            elif job.status == Status.PAUSED and job.paused_at < time.monotonic() - PAUSED_S:
                self._end(job, "Paused for too long before anything was measured; start it again.")
            elif job.status in (Status.DONE, Status.FAILED) and job.looked_at < time.monotonic() - KEPT_S:
                self._forget(job)
        finishing = [job for job in self._jobs.values() if job.process is None and job.status == Status.FINISHING]
        for job in [*finishing, *self._queue()]:
            if self._closed or sum(one.process is not None for one in self._jobs.values()) >= self.running:
                return
            self._begin(job)
        if not any(job.process is not None for job in self._jobs.values()):
            self._had.clear()

    def _begin(self, job: Job) -> None:
        if job.status == Status.WAITING:
            self._had[job.address] += 1
        job.status = Status.TRAINING if job.status == Status.WAITING else Status.FINISHING
        job.wanted = None if job.status == Status.TRAINING else Status.DONE
        job.process, job.since = start(job), time.monotonic()

    def _ask(self, job: Job, wanted: Status) -> None:
        assert job.process is not None and job.process.stdin is not None
        job.wanted = wanted
        with contextlib.suppress(OSError):  # the process has just ended
            job.process.stdin.write(STOP)

    def _ended(self, job: Job) -> None:
        assert job.process is not None
        code = job.process.returncode
        job.process.communicate()  # closes its input
        job.worked, job.process = job.seconds, None
        stopped = code in (STOPPED, -signal.SIGTERM)  # it saved, or had nothing to save yet
        if code == 0:
            steps = int(job.records[-1]["step"]) - job.first_step if job.records else 0
            if steps > 0:
                worked = max(0.0, job.worked - SECONDS_AROUND) / replace(job.order, steps=steps).work
                self._pace += 0.2 * (worked - self._pace)
            self._done(job)
        elif stopped and job.wanted == Status.PAUSED:
            job.status, job.wanted, job.paused_at = Status.PAUSED, None, time.monotonic()
        elif stopped and job.wanted == Status.DONE and job.status == Status.TRAINING and job.records:
            job.status = Status.FINISHING
        elif stopped and job.wanted == Status.DONE and job.status == Status.TRAINING:
            self._fail(job, "Stopped before anything was measured, so there is nothing to keep.")
        else:
            self._fail(job, last_words(job))

    def _done(self, job: Job) -> None:
        """Keep a model, and of its owner's others the newest."""
        for before in ("entry", "info"):  # it trained on
            vars(job).pop(before, None)
        for packed in job.folder.glob("*.zip"):
            packed.unlink()
        job.kept, job.status, job.wanted, job.problem, job.fulfilled = True, Status.DONE, None, "", job.order
        job.looked_at = job.over_at = time.monotonic()
        others = [one for one in self.models(job.owner) if one is not job]
        for one in others[: max(0, len(others) + 1 - KEPT)]:
            self._forget(one)

    def _fail(self, job: Job, problem: str) -> None:
        """End a training; a model that trained on is what it was."""
        job.status, job.wanted, job.problem = Status.FAILED, None, problem
        if job.kept:
            self._give_back(job, problem)

    def _give_back(self, job: Job, problem: str = "") -> None:
        """Give back a model that was to train on, as it was."""
        job.order = job.fulfilled or job.order
        job.status, job.wanted, job.problem, job.first_step = Status.DONE, None, problem, 0

    def _forget(self, job: Job) -> None:
        if job.process is not None:
            job.process.kill()
            job.process.communicate()
        self._jobs.pop(job.name, None)
        shutil.rmtree(job.folder, ignore_errors=True)
