"""Train any LanguageModel: one seed gives one result, however often the run is interrupted.

`python -m modelcraft.train --model bigram` trains a rung. Everything that decides how the run continues
(model, optimizer, random numbers, records, the best model so far) is in one file, `training_state.safetensors`, which
is replaced in one step. A run that resumes from it, on the same kind of machine, ends with the same bits as an
uninterrupted one.
"""

import copy
import json
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from modelcraft.data import Dataset, count_scored
from modelcraft.loss import mean_loss
from modelcraft.model import LanguageModel
from modelcraft.store.folder import STATE_FILE
from modelcraft.support.device import gains_from_bf16, threads_by_size
from modelcraft.support.errors import CheckpointError, TrainingError, shown
from modelcraft.support.files import replacing, sweep, write_text
from modelcraft.support.signals import graceful_stop
from modelcraft.training.distributed import Ranks
from modelcraft.training.optim import compile_parts, ema, make_optimizers, set_share
from modelcraft.training.recipes import TrainConfig
from modelcraft.training.state import AFRESH, STATE_FORMAT, digest, read_state, under

METRICS_FILE = "metrics.jsonl"
SAMPLE_FILE = "sample.txt"
BF16_PARAMETERS = 200_000  # a guess so far: in a small model, converting costs more than faster products save


class Trainer:
    """Trains `model` on `train_data` (N,), watches its loss on `val_data` (M,), and saves everything in `folder`.

    `records` has one entry per evaluation: `step`, `train_loss` and `val_loss` (estimates, nats per character),
    `learning_rate`, `seconds` of work, `characters` seen. `best` is the state dict with the lowest `val_loss` so far.
    """

    def __init__(
        self,
        model: LanguageModel,
        train_data: Tensor,
        val_data: Tensor,
        config: TrainConfig,
        folder: Path,
        about: Mapping[str, Any] | None = None,
        ranks: Ranks | None = None,
        evaluated: Sequence[Callable[["Trainer"], None]] = (),
    ) -> None:
        self.model = model
        self.train_set, self.val_set = model.dataset(train_data), model.dataset(val_data)
        self.lessons: Dataset = self.train_set  # what the steps learn from; a student's are more than its text
        self.config, self.folder = config, folder
        # A resumed run must agree on the rung, its config and the corpus, in their JSON form.
        self.about = json.loads(json.dumps(dict(about or {})))
        self.device = model.device
        self.evaluated = [*evaluated]  # called by the first process after each evaluation
        self.ranks = ranks or Ranks()  # which of several processes this one is
        self.parallel = self.ranks.wrap(model)
        self.step = 0
        self.seconds = 0.0
        self.characters = 0  # predicted so far
        self.records: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(config.seed)  # draws the batches
        self.optimizers = make_optimizers(model, config)
        # The model that is measured and kept: a running average of the weights, or the model itself.
        self.judged = copy.deepcopy(model) if config.average else model
        wanted = config.precision
        big = model.num_parameters >= BF16_PARAMETERS
        self.bf16 = wanted == "bf16" or (wanted == "auto" and big and gains_from_bf16(self.device))
        self.replanned = False  # whether it goes on for another number of steps than it was started with

    @property
    def best_record(self) -> dict[str, float] | None:
        """The record of the best model so far."""
        return min(self.records, key=lambda record: record["val_loss"], default=None)

    @property
    def out_of_patience(self) -> bool:
        """Whether the last `patience` evaluations brought no better validation loss."""
        if self.config.patience is None or self.best_record is None:
            return False
        return len(self.records) - 1 - self.records.index(self.best_record) >= self.config.patience

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train or to measure."""
        return not self._evaluation_is_due() and (self.step >= self.config.steps or self.out_of_patience)

    @property
    def best_at_start(self) -> bool:
        """Whether no evaluation after training beats the validation loss at step 0."""
        return len(self.records) > 1 and self.best_record is self.records[0] and self.records[0]["step"] == 0

    @property
    def diverged(self) -> bool:
        """Whether training made the model worse, even on its training text."""
        return self.best_at_start and self.records[-1]["train_loss"] >= self.records[0]["train_loss"]

    def train(self, progress: bool = False) -> None:
        """Train to the end, or until Ctrl-C or SIGTERM ends the run after the current step (TrainingStoppedError).

        Either way everything is saved. Raises TrainingError if the loss is no longer finite.
        """
        bar = tqdm(
            total=self.config.steps,
            initial=self.step,
            unit="step",
            desc="training",
            disable=not progress,
            dynamic_ncols=True,
        )
        # The run borrows torch's own generators and restores their state afterwards.
        devices = [self.device] if self.device.type == "cuda" else []
        threads = threads_by_size(self.model.num_parameters)
        with bar, threads, torch.random.fork_rng(devices=devices), graceful_stop() as stop:
            if self.ranks.first:
                sweep(self.folder)
            if self.step == 0 or self.replanned:
                self.save()  # from here on there is always something to resume, for as many steps
            if self.config.compile:
                compile_parts(self.model, self._try_out)
            self.model.train()
            while True:
                if self._evaluation_is_due():
                    self._evaluate(stop)
                    bar.set_postfix(
                        step=self.step,
                        train=f"{self.records[-1]['train_loss']:.4f}",
                        val=f"{self.records[-1]['val_loss']:.4f}",
                    )
                self._heed(stop)
                if self.finished:
                    break
                started = time.perf_counter()
                self._train_step()
                self.seconds += time.perf_counter() - started
                self.step += 1
                bar.update()
                if self.step % self.config.save_interval == 0:
                    self.save()
            self.save()

    def _heed(self, stop: Sequence[int]) -> None:
        if self.ranks.any(bool(stop)):  # the others must not wait for a stopped process
            self.save()
            raise TrainingStoppedError(stop[0] if stop else signal.SIGTERM)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _try_out(self) -> None:
        """Read a batch as a step and an evaluation do, without learning from it, to show what fails."""
        batch = self.train_set.draw(self.config.batch_size, torch.Generator().manual_seed(0))
        share, _ = self.ranks.share(batch)
        self.model.train()
        with self._autocast():
            _, loss = self.model(**share)
        loss.backward()
        self.model.zero_grad(set_to_none=True)
        with self._autocast():
            mean_loss(self.judged, self.val_set, 1, self.config.batch_size)

    def _train_step(self) -> None:
        share_of_rate = self.config.share_at(self.step)  # and of the noise
        set_share(self.optimizers, share_of_rate)
        # Dropout draws from torch's own generators. Seeding them at each step leaves no state for a resume to restore.
        torch.manual_seed(((self.config.seed * 1_000_003 + self.step) * 1_009 + self.ranks.rank) % 2**63)
        noise = self.model.noise * share_of_rate
        first = self.config.seed * 2**32 + self.step * self.config.batch_size if self.config.spread else None
        batch = self.lessons.draw(self.config.batch_size, self.generator, noise, first)  # (B, T) each
        self.characters += count_scored(batch["targets"])
        share, weight = self.ranks.share(batch)
        with self._autocast():
            _, loss = self.parallel(**share)
        self.model.zero_grad(set_to_none=True)
        (loss * weight).backward()
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.judged is not self.model:
            ema(list(self.judged.parameters()), list(self.model.parameters()), self.config.average, self.step)

    def _evaluation_is_due(self) -> bool:
        done = bool(self.records) and self.records[-1]["step"] == self.step
        return not done and (self.step % self.config.eval_interval == 0 or self.step >= self.config.steps)

    def _evaluate(self, stop: Sequence[int]) -> None:
        losses = {}
        batches, rows = self.config.eval_batches, self.config.batch_size
        with self._autocast():
            for name, data in (("train_loss", self.train_set), ("val_loss", self.val_set)):
                # This takes minutes for a large model. A resumed run repeats an interrupted evaluation.
                losses[name] = mean_loss(self.judged, data, batches, rows, after_batch=lambda: self._heed(stop))
        if not all(map(math.isfinite, losses.values())):
            raise TrainingError(
                f"The loss is no number any more at step {self.step}; train with a lower --learning-rate. "
                f"The last saved state is in {str(self.folder)!r}.",
                f"The loss is no number any more at step {self.step}; train with other sizes, or on another text.",
            )
        self.records.append(
            {
                "step": self.step,
                **losses,
                "learning_rate": self.config.learning_rate_at(min(self.step, self.config.steps - 1)),
                "seconds": self.seconds,
                "characters": self.characters,
            }
        )
        if self.best_record is self.records[-1]:
            self.best = {name: tensor.detach().clone() for name, tensor in self.judged.state_dict().items()}
        self._write_metrics()
        for call in self.evaluated if self.ranks.first else ():
            call(self)

    def _write_metrics(self) -> None:
        if self.ranks.first:
            write_text(self.folder / METRICS_FILE, "".join(json.dumps(record) + "\n" for record in self.records))

    def save(self) -> None:
        """Write the whole state of the run, in one file and one step."""
        if not self.ranks.first:
            return
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        if self.judged is not self.model:
            tensors |= {f"average/{name}": tensor for name, tensor in self.judged.state_dict().items()}
        optimizers = []
        for number, optimizer in enumerate(self.optimizers):
            state = optimizer.state_dict()
            scalars: dict[str, dict[str, Any]] = {}
            for index, values in state["state"].items():
                for key, value in values.items():
                    if isinstance(value, Tensor):
                        tensors[f"optimizer/{number}/{index}/{key}"] = value
                    else:
                        scalars.setdefault(str(index), {})[key] = value
            optimizers.append({"param_groups": state["param_groups"], "scalars": scalars})
        tensors["rng/batches"] = self.generator.get_state()
        # Copies: safetensors refuses tensors that share memory, such as tied weights.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        described = {
            "format": STATE_FORMAT,
            "about": self.about,
            "config": asdict(self.config),
            "step": self.step,
            "seconds": self.seconds,
            "characters": self.characters,
            "bf16": self.bf16,
            "records": self.records,
            "optimizers": optimizers,
        }
        training = json.dumps(described)
        with replacing(self.folder / STATE_FILE) as aside:
            save_file(tensors, aside, metadata={"training": training, "sha256": digest(training, tensors)})

    def restore(self) -> None:
        """Continue from the state in `folder`; raise CheckpointError if there is none, or if it is of another run.

        It may go on for another number of steps in all, on the schedule of a run of that many, and measure at another
        interval then.
        """
        described, tensors = read_state(self.folder)
        started = TrainConfig(**described["config"])
        self.replanned = described["step"] <= self.config.steps != started.steps
        if self.replanned:
            started = replace(started, steps=self.config.steps, eval_interval=self.config.eval_interval)
        if self.about.get("corpus") != described["about"].get("corpus"):  # sizes depend on it, too
            raise CheckpointError(
                f"The run in {str(self.folder)!r} was started with another text; name that one with --corpus, or train "
                "into another folder with --out."
            )
        for what, now, then in (
            ("training settings", _essential(self.config), _essential(started)),
            ("model or corpus", self.about, described["about"]),
        ):
            if now != then:
                changed = next(key for key in {**now, **then} if now.get(key) != then.get(key))
                raise CheckpointError(
                    f"The run in {str(self.folder)!r} was started with other {what} "
                    f"({changed}: {shown(then.get(changed))}, now {shown(now.get(changed))}); "
                    "resume it with the same ones, or train into another folder with --out."
                )
        try:
            self._take_over(described, tensors)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CheckpointError(f"{str(self.folder / STATE_FILE)!r} is damaged; {AFRESH}.") from error
        self._write_metrics()

    def _take_over(self, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.step, self.seconds, self.characters = (described[key] for key in ("step", "seconds", "characters"))
        self.bf16, self.records = described["bf16"], described["records"]
        self.model.load_state_dict(under("model/", tensors), strict=True)
        self.best = {name: tensor.to(self.device) for name, tensor in under("best/", tensors).items()}
        if self.judged is not self.model:
            self.judged.load_state_dict(under("average/", tensors), strict=True)
        for number, (optimizer, then) in enumerate(zip(self.optimizers, described["optimizers"], strict=True)):
            state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in then["scalars"].items()}
            for name, tensor in under(f"optimizer/{number}/", tensors).items():
                index, key = name.split("/", 1)
                state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({"state": state, "param_groups": then["param_groups"]})
        self.generator.set_state(tensors["rng/batches"])


def _essential(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that a resumed run has to share: compiling changes only the speed."""
    return {**asdict(config), "compile": None}


class TrainingStoppedError(TrainingError):
    """A signal (Ctrl-C, SIGTERM) ended the run; `signum` is its number, and `sentence` says what is saved."""

    def __init__(self, signum: int, sentence: str = "Stopped; everything is saved, and --resume goes on.") -> None:
        super().__init__(sentence)
        self.signum = signum
        self.exit_code = 128 + signum
