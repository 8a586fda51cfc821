"""A training that a visitor orders: what an order may contain, and the state of the job."""

import contextlib
import json
import re
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from modelcraft.counting import CountingConfig, longest_context
from modelcraft.data import TRAIN_SHARE
from modelcraft.insight.real_words import words_of
from modelcraft.ladder import RUNGS, Rung
from modelcraft.model import ModelConfig
from modelcraft.serving.catalogue import Entry
from modelcraft.store.folder import WEIGHTS_DIR, WEIGHTS_FILE, ModelInfo, load_folder, read_info
from modelcraft.support.checks import check_fields, check_number
from modelcraft.support.errors import ConfigError, CorpusError, ModelCraftError, shown
from modelcraft.training.fit import FITS
from modelcraft.training.recipes import RECIPES, TrainConfig, gentler
from modelcraft.training.trainer import METRICS_FILE, SAMPLE_FILE

PREFIX = "yours-"  # the start of the name of every visitor's model
MAX_STEPS = 5_000
MAX_TEXT = 2_000_000  # characters
MAX_VOCABULARY = 5_000  # different characters
MAX_BATCH, MAX_IN_A_BATCH = 1_024, 16_384  # windows, and characters in them: the largest GPT keeps 2.4 GB of these
MAX_TITLE = 24  # characters of a text's name in the name of a model
EVALUATIONS = 25  # per run
LEFT_OUT = {"blend", "gpt-video"}  # the first is made of trained models, the second needs a GPU
SIZES: Mapping[str, tuple[int, int, int]] = {  # for each size of a model: minimum, maximum, step
    "n_embd": (32, 256, 32),
    "n_layer": (1, 6, 1),
    "block_size": (8, 256, 8),
}


class Status(StrEnum):
    """The state of a training."""

    WAITING = "waiting"
    TRAINING = "training"
    PAUSED = "paused"
    FINISHING = "finishing"  # the best model is measured and saved
    DONE = "done"
    FAILED = "failed"


def trainable() -> list[str]:
    """Return the rungs that a visitor can train, in the order of the ladder."""
    return [name for name in RUNGS if name not in LEFT_OUT]


def sizes_of(rung: Rung) -> dict[str, int]:
    """Return the sizes of a rung that a visitor can set, with the rung's own values."""
    if rung.name in FITS:
        return {}
    has = vars(rung.config)
    looks_back = rung.name != "bigram"  # its context is one character, whatever the window size
    return {name: has[name] for name in SIZES if name in has and (looks_back or name != "block_size")}


def recipe_of(rung: str, from_bundled: bool = False) -> TrainConfig:
    """Return the training settings that a visitor can change, as they are if nothing is changed."""
    recipe = RECIPES.get(rung, TrainConfig())
    recipe = gentler(recipe) if from_bundled else recipe
    return replace(recipe, learning_rate=float(f"{recipe.learning_rate:.2g}"))


def bundled(rung: str) -> ModelInfo | None:
    """Return what is known of the bundled model from which a training of `rung` can start, if there is one."""
    if rung in FITS or not RUNGS[rung].bundled or not (WEIGHTS_DIR / rung / WEIGHTS_FILE).is_file():
        return None
    with contextlib.suppress(ModelCraftError):
        return read_info(WEIGHTS_DIR / rung)
    return None


@dataclass(frozen=True)
class Order:
    """What to train: a rung, its sizes, the number of steps, and the `text` (None: the app's corpus).

    `title` is the name of the text. With `from_bundled` the training starts from the bundled model, which decides the
    sizes. `learning_rate`, `batch_size` and `dropout` are the recipe's if they are None. Raises ConfigError or
    CorpusError for a value out of bounds.
    """

    rung: str
    steps: int = field(default=500, metadata={"most": MAX_STEPS})
    sizes: Mapping[str, int] = field(default_factory=dict)
    text: str | None = None
    title: str = "tiny Shakespeare"
    from_bundled: bool = False
    learning_rate: float | None = field(default=None, metadata={"least": 1e-6, "most": 1})
    batch_size: int | None = field(default=None, metadata={"most": MAX_BATCH})
    dropout: float | None = field(default=None, metadata={"most": 0.9})

    def __post_init__(self) -> None:
        if self.rung not in trainable():
            raise ConfigError(f"The rungs that can be trained here are {', '.join(trainable())}.")
        check_fields(self)
        if self.from_bundled and bundled(self.rung) is None:
            raise ConfigError(f"There is no bundled {self.rung} to start from; start from nothing.")
        known = {} if self.from_bundled else sizes_of(RUNGS[self.rung])
        for name, size in self.sizes.items():
            if name not in known:
                raise ConfigError(f"The rung {self.rung} has no size {shown(name)} to set.")
            low, high, step = SIZES[name]
            check_number(name, size, low, high, whole=True)
            if size % step:
                raise ConfigError(f"{name} must be a multiple of {step}, not {size}.")
        if self.dropout is not None and "dropout" not in vars(RUNGS[self.rung].config):
            raise ConfigError(f"The rung {self.rung} has no dropout to set.")
        config = self._config()
        if self.text is not None:
            check_corpus(self.text, config.block_size)
        RUNGS[self.rung].check_size(config)  # refuse now what could not run later
        if self.batch_size and self.batch_size * config.block_size > MAX_IN_A_BATCH:
            raise ConfigError(
                f"A batch has {MAX_IN_A_BATCH:,} characters at most here: with a context of {config.block_size}, "
                f"{MAX_IN_A_BATCH // config.block_size:,} windows."
            )

    @property
    def parameters(self) -> int:
        """The number of the model's parameters; without a text, for the alphabet of tiny Shakespeare."""
        return RUNGS[self.rung].build(self._config(), device="meta").num_parameters

    @property
    def work(self) -> float:
        """How much there is to compute, in steps of the recipe's batch times parameters."""
        recipe = RECIPES.get(self.rung)
        share = self.batch_size / recipe.batch_size if self.batch_size and recipe else 1.0
        return self.steps * self.parameters * share

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the model that are not the rung's own."""
        given: dict[str, Any] = {**self.sizes} | ({} if self.dropout is None else {"dropout": float(self.dropout)})
        if self.text is not None and isinstance(usual := RUNGS[self.rung].config, CountingConfig):
            fits = longest_context(len(set(self.text)))
            given |= {"block_size": fits} if fits < usual.block_size else {}
        return given

    def _config(self) -> ModelConfig:
        trained = bundled(self.rung) if self.from_bundled else None
        settings = {**vars(trained.config if trained else RUNGS[self.rung].config), **self.settings}
        if self.text is not None:
            settings["vocab_size"] = len({*self.text, *(trained.vocabulary if trained else "")})
        return RUNGS[self.rung].configure(settings)


def check_corpus(text: str, block_size: int = 8) -> None:
    """Raise CorpusError unless a model with a context of `block_size` can train on `text` here."""
    if len(text) > MAX_TEXT:
        raise CorpusError(f"The text has {len(text):,} characters; {MAX_TEXT:,} are the most that are trained on here.")
    least = round((block_size + 1) / (1 - TRAIN_SHARE)) + 1
    if len(text) < least:
        raise CorpusError(
            f"The text has {len(text):,} characters; a context of {block_size} needs {least:,} or more, so that the "
            "last tenth, on which the loss is measured, holds one."
        )
    if (different := len(set(text))) > MAX_VOCABULARY:
        raise CorpusError(
            f"The text has {different:,} different characters; {MAX_VOCABULARY:,} are the most that are trained on "
            "here, so take one in an alphabet."
        )


@dataclass
class Job:
    """One training, with the folder of its files and the process that runs it, if any."""

    owner: str
    order: Order
    folder: Path
    number: int = 1  # among its owner's trainings
    address: str = ""  # where the order came from
    status: Status = Status.WAITING
    wanted: Status | None = None  # PAUSED or DONE: the state that was requested of the process
    problem: str = ""  # why it failed
    kept: bool = False  # whether it has left a model
    fulfilled: Order | None = None  # the order of the model that is kept
    first_step: int = 0  # where it went on, if the model trains on
    process: subprocess.Popen[bytes] | None = None
    worked: float = 0.0  # seconds spent in processes that have ended
    since: float = 0.0  # when the current process started
    paused_at: float = 0.0
    over_at: float = 0.0
    looked_at: float = field(default_factory=time.monotonic)
    name: str = field(default_factory=lambda: PREFIX + secrets.token_urlsafe(16))  # of its model, in requests

    @property
    def run(self) -> Path:
        """The folder that the training writes to."""
        return self.folder / "run"

    @property
    def title(self) -> str:
        """What its model is called on the page."""
        name = self.order.title
        short = name if len(name) <= MAX_TITLE else name[: MAX_TITLE - 1] + "…"
        return f"mine {self.number}: {short}, {self.order.rung}"

    @property
    def seconds(self) -> float:
        """The seconds that it has run."""
        return self.worked + (time.monotonic() - self.since if self.process else 0.0)

    @property
    def records(self) -> list[dict[str, float]]:
        """The records of its evaluations so far; see Trainer."""
        with contextlib.suppress(OSError, ValueError):
            return [json.loads(line) for line in (self.run / METRICS_FILE).read_text(encoding="utf-8").splitlines()]
        return []

    @property
    def sample(self) -> str:
        """The text that the model generated at the last evaluation."""
        with contextlib.suppress(OSError):
            return (self.run / SAMPLE_FILE).read_text(encoding="utf-8")
        return ""

    @cached_property
    def info(self) -> ModelInfo:
        """What the finished model's config says, without loading it."""
        return read_info(self.run)

    @cached_property
    def words(self) -> frozenset[str] | None:
        """The words of its text; None for the app's text."""
        return None if self.order.text is None else words_of(self.order.text)

    @property
    def continues(self) -> bool:
        """Whether the model goes on with a text."""
        return RUNGS[self.order.rung].model_class.continues

    @cached_property
    def entry(self) -> Entry:
        """The finished model; it stays alive as long as a caller uses it."""
        return Entry(*load_folder(self.run), "trained here", self.name, self.title)


def file_name(title: str) -> str:
    """Return the file name of a text: its title, reduced to characters that are safe in a file name."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", title.removesuffix(".txt")).strip("-")[:40]
    return f"{safe or 'text'}.txt"
