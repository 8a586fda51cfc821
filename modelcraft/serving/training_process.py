"""The process of a training: `python -m modelcraft.train`, with the arguments that the state of the job asks for."""

import contextlib
import logging
import os
import re
import subprocess
import sys

from modelcraft.data import corpus_source
from modelcraft.ladder import RUNGS
from modelcraft.serving.training_job import EVALUATIONS, Job, Status, file_name
from modelcraft.store.folder import STATE_FILE
from modelcraft.support.device import threads_for, threads_for_serving
from modelcraft.support.errors import FOR_VISITOR, MAX_SENTENCE
from modelcraft.support.files import PACKAGE
from modelcraft.training.fit import FITS

log = logging.getLogger(__name__)
NICENESS = 15  # text generation comes first
# A training gets only the environment variables that Python, PyTorch and the system need, and therefore no secret.
NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|PWD|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|APPDATA"
    r"|LOCALAPPDATA|USERPROFILE|PYTHON\w*|VIRTUAL_ENV|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|(OMP|MKL|KMP|GOMP|OPENBLAS)_\w+"
    r"|(CUDA|NVIDIA|HIP|ROCR|HSA|PYTORCH|TORCH|TORCHINDUCTOR|TRITON)_\w+|MPL\w+|XDG_\w+|MODELCRAFT_CORPUS|SPACE_ID|MALLOC_\w+"
)
BROKE_OFF = "The training broke off; start it again."
LOG_FILE, SENTENCE_FILE = "log.txt", "sentence.txt"


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start the process of a job."""
    threads = str(min(threads_for_serving(), threads_for(job.order.parameters)))
    environment = {name: value for name, value in os.environ.items() if NEEDED.fullmatch(name.upper())}
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), environment.get("PYTHONPATH", ""))))
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": threads, FOR_VISITOR: str(job.folder / SENTENCE_FILE)}
    with (job.folder / LOG_FILE).open("ab") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelcraft.train", *arguments(job)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=written,
            cwd=job.folder,
            env=environment,
        )
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def arguments(job: Job) -> list[str]:
    """Return the arguments of `python -m modelcraft.train` that fulfil the order from its current state."""
    order, rung = job.order, RUNGS[job.order.rung]
    given = ["--stdin", "--model", rung.name, "--out", str(job.run)]
    given += ["--corpus", corpus_source() if order.text is None else str(job.folder / file_name(order.title))]
    settings = [part for name, value in order.settings.items() for part in ("--set", f"{name}={value}")]
    if rung.name in FITS:
        return [*given, *settings]
    if job.status == Status.FINISHING:
        return [*given, "--finish"]
    interval = max(1, (order.steps - job.first_step) // EVALUATIONS)
    length = ["--steps", str(order.steps), "--eval-interval", str(interval)]
    if (job.run / STATE_FILE).exists():
        return [*given, *length, "--resume", "--samples"]
    given += length
    given += ["--save-interval", str(order.steps), "--no-compile", "--samples"]  # a stop always saves
    given += ["--init-from", rung.name] if order.from_bundled else []
    given += ["--learning-rate", repr(float(order.learning_rate))] if order.learning_rate is not None else []
    given += ["--batch-size", str(order.batch_size)] if order.batch_size is not None else []
    return [*given, *settings]


def last_words(job: Job) -> str:
    """Return the last sentence of a failed training for its visitor; log the details for the app's owner."""
    with contextlib.suppress(OSError):
        lines = re.split(r"[\r\n]+", (job.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip())
        log.warning("A visitor's training of %s failed: %s", job.order.rung, lines[-1][:MAX_SENTENCE])
        return (job.folder / SENTENCE_FILE).read_text(encoding="utf-8")
    return BROKE_OFF
