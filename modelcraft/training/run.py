"""One run of `python -m modelcraft.train`: from a rung and a text to a model folder."""

import contextlib
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer
from torch import Tensor

from modelcraft.data import Corpus, load_corpus
from modelcraft.gpt import GPTLanguageModel
from modelcraft.ladder import Rung
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.store.card import write_sample
from modelcraft.store.folder import ModelInfo, load_parts
from modelcraft.support.device import pick_device
from modelcraft.support.errors import ConfigError, TrainingError
from modelcraft.support.files import write_text
from modelcraft.support.signals import stopped_at_once
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.claim import claimed
from modelcraft.training.distillation import Taught, load_teachers, teach
from modelcraft.training.distributed import Ranks
from modelcraft.training.export import export, exported, write_folder
from modelcraft.training.fit import FITS
from modelcraft.training.recipes import RECIPES, TrainConfig, adjusted, gentler
from modelcraft.training.start import Start, load_start
from modelcraft.training.state import describe_state
from modelcraft.training.tracking import check_tracker, tracked
from modelcraft.training.trainer import SAMPLE_FILE, Trainer, TrainingStoppedError

LEAST_HELD_OUT = 1_000  # characters: fewer say too little about how sure a model may be
STOPPED_AT_ONCE = "Stopped at once; --resume goes on from the last saved state."
UNFITTED = "Stopped; nothing was written, so start it again."


@dataclass(frozen=True)
class Plan:
    """The decisions of a run: what it learns from (training ids, held-out ones, validation ids), and what, and how.

    `start` is the trained model that it starts from, if any (None in a resumed run); `origin` says which one that was.
    `teachers` are the models that it learns from, `taught_by` their identities.
    """

    text: Corpus
    tokenizer: CharTokenizer
    config: ModelConfig
    recipe: TrainConfig
    splits: tuple[Tensor, Tensor, Tensor]
    start: Start | None
    origin: Mapping[str, str]
    teachers: Sequence[LanguageModel]
    taught_by: Sequence[str]


@dataclass(frozen=True)
class TrainingRun:
    """A request to train `rung` on the text `corpus` (None: tiny Shakespeare) into `folder`.

    `recipe` replaces fields of the rung's TrainConfig, and `settings` fields of the rung's config. `resume` continues
    the run in `folder`, for another number of steps if `recipe` says so; `finish` only writes its best model.
    `init_from` names a trained model to start from, with its sizes and a gentler recipe, and `teachers` names trained
    models whose student it is to be. `samples` asks for a sample at each evaluation, `exact` for the exact loss at the
    end; `track` names the tracker that gets the losses, if any. If there are several processes (`ranks`), only the
    first one writes.
    """

    rung: Rung
    folder: Path
    corpus: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    ranks: Ranks = field(default_factory=Ranks)
    resume: bool = False
    finish: bool = False
    init_from: str | None = None
    teachers: Sequence[str] = ()
    samples: bool = False
    exact: bool = True
    track: str | None = None

    def __post_init__(self) -> None:
        options = [*self.recipe, *(name for name in ("init_from", "track") if getattr(self, name))]
        if self.fitted and options:
            option = options[0].replace("_", "-")
            raise ConfigError(f"{self.rung.name} is not trained by gradient, step by step; leave --{option} out.")
        if self.resume and self.init_from:
            raise ConfigError("A run that is resumed has started already; leave --init-from out.")
        if self.teachers and not issubclass(self.rung.model_class, GPTLanguageModel):
            raise ConfigError(f"Only a GPT learns from teachers, not {self.rung.name}; leave --teacher out.")
        if self.track is not None:
            check_tracker(self.track)

    @property
    def fitted(self) -> bool:
        """Whether the rung is fitted to the text in one go, not trained step by step."""
        return self.rung.name in FITS

    def run(self) -> None:
        """Train, write the model folder, and print what is in it.

        Raises TrainingStoppedError after Ctrl-C or SIGTERM, and any error that says why this cannot be trained.
        """
        plan = self._plan()
        self.ranks.wait()  # what the others still read must not be moved aside
        claim = claimed(self.folder, self.resume) if self.ranks.first else contextlib.nullcontext()
        try:
            with stopped_at_once(), claim as earlier:
                if earlier is not None:
                    typer.echo(f"The earlier run is in {earlier}/ now.", err=True)
                self.ranks.wait()
                info = None
                if not self.fitted:
                    info = self._train(plan)
                elif self.ranks.first:
                    info = self._fit(plan)
        except TrainingStoppedError as error:
            raise TrainingStoppedError(error.signum, UNFITTED) if self.fitted else error from None
        except KeyboardInterrupt as error:  # after the training, or a second signal during it
            number = error.args[0] if error.args else signal.SIGINT
            raise TrainingStoppedError(number, UNFITTED if self.fitted else STOPPED_AT_ONCE) from None
        if info is not None:
            self._report(info)

    def _plan(self) -> Plan:
        """Decide everything, and refuse what cannot be trained, before anything is written or moved."""
        recipe, sizes = RECIPES.get(self.rung.name, TrainConfig()), vars(self.rung.config)
        start, origin, taught_by = None, {}, []
        if self.init_from:
            start = load_start(self.init_from, self.rung)
            sizes, origin = vars(start.model.config), dict(start.origin)
            recipe = gentler(recipe, self.recipe.get("steps"))
        if self.resume:  # it keeps the settings that it was started with
            then = describe_state(self.folder)
            recipe, about = TrainConfig(**then["config"]), then["about"]
            sizes = {name: about.get(name, size) for name, size in sizes.items()}
            origin, taught_by = about.get("start", {}), about.get("teachers", [])
        recipe = adjusted(recipe, self.recipe)
        text = load_corpus(self.corpus)
        if self.ranks.first and text.notice:
            typer.echo(text.notice, err=True)
        tokenizer = CharTokenizer.of(origin.get("vocabulary", "") + text.text)
        config = self._configure(sizes, tokenizer)
        if start:
            start.check_settings(self.settings)
        self.rung.check_size(config)
        train_data, val_data = text.splits(tokenizer, config.block_size)  # raises if the text is too short
        train_data, held_out = held_back(train_data, recipe.held_out)
        for data in () if self.fitted else (train_data, val_data, *([held_out] if len(held_out) else [])):
            self.rung.build(config, "meta").dataset(data)  # raises if the rung cannot learn from it
        teachers = load_teachers(self.teachers, tokenizer)
        now = [identity for _, identity in teachers]
        if teachers and versions(now) != versions(taught_by):  # of a resumed run: it will refuse them
            taught_by = now
        splits = (train_data, held_out, val_data)
        return Plan(text, tokenizer, config, recipe, splits, start, origin, [model for model, _ in teachers], taught_by)

    def _configure(self, sizes: Mapping[str, Any], tokenizer: CharTokenizer) -> ModelConfig:
        follows = self.rung.model_class.settings_for(tokenizer.vocabulary)
        if given := sorted(set(follows) & set(self.settings)):
            raise ConfigError(f"{given[0]} follows from the corpus; leave it out.")
        return self.rung.configure({**sizes, **self.settings, **follows})

    def _train(self, plan: Plan) -> ModelInfo | None:
        """Train by gradient, step by step."""
        rung, folder, ranks = self.rung, self.folder, self.ranks
        text, tokenizer, recipe = plan.text, plan.tokenizer, plan.recipe

        def write(trainer: Trainer) -> None:
            write_text(folder / SAMPLE_FILE, write_sample(trainer.judged, tokenizer))

        network = rung.build(plan.config, pick_device(self.device), seed=recipe.seed)
        about = {"rung": rung.name, **vars(plan.config), "corpus": text.sha256}
        if plan.origin:
            about["start"] = plan.origin
        if plan.start:
            plan.start.copy_to(network, tokenizer.vocabulary)
        train_data, held_out, val_data = plan.splits
        if plan.taught_by:
            about["teachers"] = plan.taught_by
        trainer = Trainer(network, train_data, val_data, recipe, folder, about, ranks, [write] if self.samples else [])
        if self.resume:
            trainer.restore()
        if self.finish and not trainer.best:
            raise TrainingError(f"The run in {str(folder)!r} has measured nothing yet; go on with --resume instead.")
        done = self.resume and not self.finish and trainer.finished
        if done and ranks.first:
            more = "name more with --steps to train on."
            if trainer.out_of_patience:
                more = f"its last {recipe.patience} evaluations brought nothing better, so more --steps change nothing."
            typer.echo(
                f"The training in {str(folder)!r} is finished, at step {trainer.step:,} of {recipe.steps:,}; {more}",
                err=True,
            )
            if (info := exported(trainer, folder, self.exact)) is not None:
                return info
        if ranks.first and not self.finish and not done:
            typer.echo(
                f"{rung.name}: {network.num_parameters:,} parameters, {text.name} ({len(text.text):,} characters), "
                f"{recipe.steps:,} steps on {network.device}{', bf16' if trainer.bf16 else ''}"
                f"{f', {ranks.world} processes' if ranks.world > 1 else ''}",
                err=True,
            )
        if not self.finish and not done:
            if plan.taught_by:
                trainer.lessons = self._lessons(plan, network)
            settings, track = trainer.about | asdict(recipe), self.track if ranks.first else None
            with tracked(track, folder, settings, trainer.records, self.resume) as send:
                trainer.evaluated.append(lambda trainer: send(trainer.records[-1]))
                trainer.train(progress=ranks.first)
        if not ranks.first:
            return None
        return export(trainer, rung, text, tokenizer, folder, held_out, progress=True, exact=self.exact)

    def _lessons(self, plan: Plan, student: LanguageModel) -> Taught:
        """Let the teachers read the text."""
        if not plan.teachers:
            raise TrainingError(
                f"The run in {str(self.folder)!r} needs its teachers to go on; name them again with --teacher."
            )
        teachers = [model.to(student.device) for model in plan.teachers]
        taught = teach(teachers, plan.splits[0], progress=self.ranks.first)
        return Taught(plan.splits[0], taught, student.block_size, student.device)

    def _fit(self, plan: Plan) -> ModelInfo:
        """Fit a rung that is not trained by gradient to the training text, in one go."""
        chosen, train_data = pick_device(self.device), plan.splits[0]
        parts = load_parts(self.rung.parts, self.folder, plan.tokenizer.vocabulary)
        # What a part held back of this text; of another one it says nothing.
        shares = [info.training.get("held_out") for _, info in parts if info.corpus.get("sha256") == plan.text.sha256]
        share = max((share for share in shares if isinstance(share, float)), default=0.0)
        unseen = len(held_back(train_data, min(max(share, 0.0), 0.5))[1])
        started = time.perf_counter()
        models = [part.to(chosen) for part, _ in parts]
        fitted = FITS[self.rung.name](train_data, plan.config, models, unseen).to(chosen)
        training = {"characters": len(train_data), "seconds": round(time.perf_counter() - started, 1)}
        self.folder.mkdir(exist_ok=True)
        return write_folder(
            fitted, self.rung, plan.text, plan.tokenizer, self.folder, training, progress=True, exact=self.exact
        )

    def _report(self, info: ModelInfo) -> None:
        steps, loss = info.training.get("best_step"), info.quoted_loss
        measured = "not measured"
        if loss:
            measured = f"{loss['nats_per_character']:.4f} nats per character ({loss['bits_per_character']:.4f} bits)"
        typer.echo(
            f"{self.folder}/\n"
            f"  model.safetensors, config.json, README.md   the model{f', best of step {steps:,}' if steps else ''}\n"
            + ("  loss_curve.png, metrics.jsonl               how it learned\n" if steps is not None else "")
            + f"Exact validation loss: {measured}, after {info.training['seconds']:.0f} s of training.\n"
            f"Play it: python -m modelcraft.generate --model {shlex.quote(str(self.folder))}"
        )


def held_back(train_data: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Split training ids (N,) into what is learned from and a `share` to calibrate on, if that is enough.

    It is the beginning, which is farthest from the validation text: what came last says most about what comes next.
    """
    held = round(share * len(train_data))
    held = held if held >= LEAST_HELD_OUT else 0
    return train_data[held:], train_data[:held]


def versions(identities: Sequence[str]) -> list[str]:
    """Return the versions of models without their names: a model stays the same one when its folder is renamed."""
    return [identity.rpartition("@")[2] for identity in identities]
