"""The command lines: `python -m modelcraft.train`, `.evaluate`, `.generate`, `.hub`.

Exit code 0 on success, 1 with one sentence on stderr for a user's error, 130 after Ctrl-C with everything saved.
"""

import contextlib
import io
import json
import math
import os
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from safetensors import SafetensorError

from modelcraft.ladder import DEFAULT_RUNG, QUICK_RUNG, RUNGS, Rung, rung_named
from modelcraft.model import ModelConfig
from modelcraft.support.errors import FOR_VISITOR, ConfigError, ModelCraftError, ModelCraftWarning, TrainingError
from modelcraft.training.recipes import TrainConfig

if TYPE_CHECKING:
    from torch import Tensor

    from modelcraft.data import Corpus
    from modelcraft.store.folder import ModelInfo
    from modelcraft.tokenizer import CharTokenizer
    from modelcraft.training.distributed import Ranks

CORPUS_HELP = "tiny_shakespeare (downloaded on first use), or the path of any UTF-8 text."
STOPPED_AT_ONCE = "Stopped at once; --resume goes on from the last saved state."
UNFITTED = "Stopped; nothing was written, so start it again."
DEVICE_HELP = "cuda, cpu, …; without it the GPU if there is one, else the CPU."
MODEL_HELP = "A rung's name, a model folder, or a Hub repository user/repo[@revision]."
CorpusName = Annotated[
    str | None, typer.Option(envvar="MODELCRAFT_CORPUS", help=CORPUS_HELP, show_default="tiny_shakespeare")
]
Device = Annotated[str | None, typer.Option(help=DEVICE_HELP, show_default="auto")]


def run(command: Callable[..., Any] | typer.Typer) -> None:
    """Run a command with the arguments of this process, and leave the process with its exit code."""
    if isinstance(command, typer.Typer):
        app = command
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command()(command)
    warnings.formatwarning = _as_a_sentence
    if isinstance(sys.stdout, io.TextIOWrapper):  # one that cannot show a character shows "?", as a terminal does
        sys.stdout.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False)
    except ModelCraftError as error:
        _fail(error)
    except typer.TyperException as error:
        _fail(ModelCraftError(error.format_message() if hasattr(error, "format_message") else str(error)))
    except BrokenPipeError:  # `… | head`: nobody reads on, which is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except SafetensorError as error:  # its way to say that a file could not be written
        _fail(TrainingError(f"The weights cannot be written ({str(error)[:200]}); check the disk."))
    except (MemoryError, RuntimeError) as error:
        out_of_it = ("out of memory", "not enough memory", "allocate memory")  # a GPU's words, and the CPU's
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in out_of_it):
            raise
        _fail(ModelCraftError("There is not enough memory for this; take a smaller batch, context or model."))
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        why = error.strerror or error
        _fail(TrainingError(f"A file{where} cannot be read or written: {why}; check the disk and the path."))
    sys.exit(code if isinstance(code, int) else 0)


def _as_a_sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning of ours without the place in the code that it comes from."""
    if issubclass(category, ModelCraftWarning):
        return f"{message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def _fail(error: ModelCraftError) -> NoReturn:
    from modelcraft.training.distributed import launched

    if launched().first:  # of several processes one says it
        print(error, file=sys.stderr)
        if sentence_file := os.environ.get(FOR_VISITOR):
            with contextlib.suppress(OSError):
                Path(sentence_file).write_text(error.for_visitors, encoding="utf-8")
    sys.exit(error.exit_code)


def train(
    model: Annotated[
        str | None, typer.Option(help=f"The rung to train: {', '.join(RUNGS)}.", show_default=QUICK_RUNG)
    ] = None,
    corpus: CorpusName = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train on.", show_default="the rung's")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a batch.", show_default="the rung's")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest one.", show_default="the rung's")] = None,
    out: Annotated[Path | None, typer.Option(help="Where all of it goes.", show_default="runs/<model>")] = None,
    device: Device = None,
    seed: Annotated[
        int | None, typer.Option(help="Decides the first weights and the batches.", show_default="1337")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.", show_default="auto")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many evaluations without a better loss.", show_default="never")
    ] = None,
    eval_interval: Annotated[
        int | None, typer.Option(help="Steps between evaluations.", show_default="the rung's")
    ] = None,
    eval_batches: Annotated[
        int | None, typer.Option(help="Batches that an evaluation reads, of either text.", show_default="the rung's")
    ] = None,
    save_interval: Annotated[
        int | None, typer.Option(help="Steps between saved states.", show_default="the rung's")
    ] = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Let PyTorch compile it.", show_default="the rung's")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the model, such as n_embd=64.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out was interrupted.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Train no more: keep the best model of the run in --out as it is.")
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="Write a sample to sample.txt at each evaluation.")
    ] = False,
    exact_loss: Annotated[
        bool,
        typer.Option(
            "--exact-loss/--no-exact-loss",
            help="Measure the exact loss at the end, which takes a while of a large model; --finish makes up for it.",
        ),
    ] = True,
    push_to_hub: Annotated[str | None, typer.Option(metavar="USER/REPO", help="Upload the result.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the Hub repository a private one.")] = False,
    stdin: Annotated[
        bool, typer.Option("--stdin", help='Stop when the input says "stop", end when it ends: for other programs.')
    ] = False,
) -> None:
    """Train a rung, and leave a model folder that every other command takes.

    Ctrl-C saves everything; --resume goes on and ends with the same weights as an uninterrupted run.
    """
    from modelcraft.support.control import follow_stdin
    from modelcraft.training.distributed import joined

    if stdin:
        follow_stdin()
    folder = (out or Path("runs") / (model or QUICK_RUNG)).expanduser()
    resume = resume or finish
    if resume and model is None:  # the run knows
        from modelcraft.train import describe_state

        model = describe_state(folder)["about"].get("rung")
    rung = rung_named(model or QUICK_RUNG)
    given: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "precision": precision,
        "patience": patience,
        "eval_interval": eval_interval,
        "eval_batches": eval_batches,
        "save_interval": save_interval,
        "compile": compile_,
    }
    given = {name: value for name, value in given.items() if value is not None}
    with joined(device) as (ranks, own_device):
        if ranks.first:
            _look_ahead_to_push(push_to_hub)
        _train(
            rung, folder, corpus, given, _settings(set_ or []), own_device, resume, ranks, finish, samples, exact_loss
        )
    if not ranks.first:  # a thread of torch's may be at work still: Python's own way out ended in C++'s complaint once
        os._exit(0)
    if push_to_hub:
        from modelcraft import hub

        typer.echo(f"On the Hub: {hub.push(folder, push_to_hub, private=private)}")


def _train(
    rung: Rung,
    folder: Path,
    corpus: str | None,
    given: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: str | None,
    resume: bool,
    ranks: "Ranks",
    finish: bool,
    samples: bool,
    exact: bool,
) -> None:
    """Train `rung` into `folder`; of several processes the first one alone writes there."""
    from modelcraft.data import load_corpus
    from modelcraft.support.signals import stopped_at_once
    from modelcraft.tokenizer import CharTokenizer
    from modelcraft.train import TrainingStoppedError, describe_state
    from modelcraft.training.claim import claimed

    if rung.fit and given:
        option = next(iter(given)).replace("_", "-")
        raise ConfigError(f"{rung.name} is not trained by gradient, step by step; leave --{option} out.")
    recipe, sizes = rung.recipe, vars(rung.config)
    if resume:  # what the run was started with need not be said again
        then = describe_state(folder)
        recipe = TrainConfig(**then["config"])
        sizes = {name: then["about"].get(name, size) for name, size in sizes.items()}
    recipe = replace(recipe, **given)
    text = load_corpus(corpus)
    if ranks.first:
        _say_encoding(text)
    tokenizer = CharTokenizer.of(text.text)
    if "newline" in sizes and "\n" in tokenizer.vocabulary:
        settings = {**settings, "newline": tokenizer.vocabulary.index("\n")}
    config = rung.configure({**sizes, **settings, "vocab_size": tokenizer.vocab_size})
    rung.check_size(config)
    splits = text.splits(tokenizer, config.block_size)  # which raises if the text is too short

    try:
        with stopped_at_once(), claimed(folder, resume) if ranks.first else contextlib.nullcontext() as earlier:
            if earlier is not None:
                typer.echo(f"The earlier run is in {earlier}/ now.", err=True)
            ranks.wait()
            info = None
            if rung.fit is None:
                info = _train_by_gradient(
                    rung, folder, text, splits, tokenizer, config, recipe, device, resume, ranks, finish, samples, exact
                )
            elif ranks.first:
                info = _fit(rung, folder, text, splits[0], tokenizer, config, device, exact)
    except TrainingStoppedError as error:
        raise TrainingStoppedError(error.signum, UNFITTED) if rung.fit else error from None
    except KeyboardInterrupt as error:  # after the training, or a second one during it
        number = error.args[0] if error.args else signal.SIGINT
        raise TrainingStoppedError(number, UNFITTED if rung.fit else STOPPED_AT_ONCE) from None
    if info is None:
        return
    steps, loss = info.training.get("best_step"), info.quoted_loss
    measured = "not measured"
    if loss:
        measured = f"{loss['nats_per_character']:.4f} nats per character ({loss['bits_per_character']:.4f} bits)"
    typer.echo(
        f"{folder}/\n"
        f"  model.safetensors, config.json, README.md   the model{f', best of step {steps:,}' if steps else ''}\n"
        + ("  loss_curve.png, metrics.jsonl               how it learned\n" if steps is not None else "")
        + f"Exact validation loss: {measured}, after {info.training['seconds']:.0f} s of training.\n"
        f"Play it: python -m modelcraft.generate --model {shlex.quote(str(folder))}"
    )


def _train_by_gradient(
    rung: Rung,
    folder: Path,
    text: "Corpus",
    splits: tuple["Tensor", "Tensor"],
    tokenizer: "CharTokenizer",
    config: ModelConfig,
    recipe: TrainConfig,
    device: str | None,
    resume: bool,
    ranks: "Ranks",
    finish: bool,
    samples: bool,
    exact: bool,
) -> "ModelInfo | None":
    from modelcraft.store.card import write_sample
    from modelcraft.support.device import pick_device
    from modelcraft.support.files import write_text
    from modelcraft.train import SAMPLE_FILE, Trainer
    from modelcraft.training.export import export, exported

    def write(trainer: Trainer) -> None:
        write_text(folder / SAMPLE_FILE, write_sample(trainer.judged, tokenizer))

    train_data, val_data = splits
    network = rung.build(config, pick_device(device), seed=recipe.seed)
    about = {"rung": rung.name, **vars(config), "corpus": text.sha256}
    trainer = Trainer(network, train_data, val_data, recipe, folder, about, ranks, write if samples else None)
    if resume:
        trainer.restore()
    if finish and not trainer.best:
        raise TrainingError(f"The run in {str(folder)!r} has measured nothing yet; go on with --resume instead.")
    done = resume and not finish and trainer.finished
    if done and ranks.first:
        typer.echo(
            f"The training in {str(folder)!r} is finished, at step {trainer.step:,} of {recipe.steps:,}.", err=True
        )
        if (info := exported(trainer, folder, exact)) is not None:
            return info
    if ranks.first and not finish and not done:
        typer.echo(
            f"{rung.name}: {network.num_parameters:,} parameters, {text.name} ({len(text.text):,} characters), "
            f"{recipe.steps:,} steps on {network.device}{', bf16' if trainer.bf16 else ''}"
            f"{f', {ranks.world} processes' if ranks.world > 1 else ''}",
            err=True,
        )
    if not finish and not done:
        trainer.train(progress=ranks.first)
    return export(trainer, rung, text, tokenizer, folder, progress=True, exact=exact) if ranks.first else None


def _fit(
    rung: Rung,
    folder: Path,
    text: "Corpus",
    train_data: "Tensor",
    tokenizer: "CharTokenizer",
    config: ModelConfig,
    device: str | None,
    exact: bool,
) -> "ModelInfo":
    """Make a rung that is not trained by gradient: one look at the training text is all."""
    from modelcraft.store.folder import load_parts
    from modelcraft.support.device import pick_device
    from modelcraft.training.export import write_folder

    assert rung.fit is not None
    chosen = pick_device(device)
    parts = [part.to(chosen) for part in load_parts(rung.parts, folder, tokenizer.vocabulary)]
    started = time.perf_counter()
    fitted = rung.fit(train_data, config, *parts).to(chosen)
    training = {"characters": len(train_data), "seconds": round(time.perf_counter() - started, 1)}
    folder.mkdir(exist_ok=True)
    return write_folder(fitted, rung, text, tokenizer, folder, training, progress=True, exact=exact)


def _settings(given: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        if name == "vocab_size":
            raise ConfigError("vocab_size follows from the corpus; leave it out.")
        try:
            settings[name] = {"true": True, "false": False}.get(value)
            if settings[name] is None:
                settings[name] = float(value) if "." in value else int(value)
        except ValueError:
            raise ConfigError(f"--set takes NAME=VALUE with a number, true or false, not {setting!r}.") from None
    return settings


def _say_encoding(text: "Corpus") -> None:
    from modelcraft.data import UTF_8

    if text.encoding != UTF_8:
        typer.echo(f"{text.name} is not UTF-8; it was read as {text.encoding}.", err=True)


def _look_ahead_to_push(repo_id: str | None) -> None:
    """Say before the training, not after it, what a push will lack."""
    if repo_id is None:
        return
    from modelcraft import hub

    hub.check_repo_id(repo_id)
    if lacking := hub.check_login():
        typer.echo(f"{lacking} The training goes on meanwhile.", err=True)


def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = DEFAULT_RUNG,
    corpus: CorpusName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line of text.")] = False,
    device: Device = None,
) -> None:
    """Measure a model's exact loss on the last tenth of a corpus: every character, no random batch.

    By each of its protocols, and by where in its window a character stands and of what kind it is.
    """
    from modelcraft.data import load_corpus
    from modelcraft.evaluate import character_losses
    from modelcraft.store.folder import load

    network, tokenizer = load(model, device)
    text = load_corpus(corpus)
    _say_encoding(text)
    _, val_data = text.splits(tokenizer, network.block_size)
    described: dict[str, Any] = {"model": model, "corpus": text.name, "losses": {}}
    for protocol in network.protocols:
        measured = character_losses(network, val_data, protocol, progress=not as_json)
        loss, by = measured.exact, {"by_kind": measured.by_kind(tokenizer.vocabulary)}
        if protocol != "sliding":  # where every context is whole, the place in the window says nothing
            by["by_position"] = measured.by_position()
        described["losses"][protocol] = {**loss.as_dict(), **by}
        if as_json:
            continue
        typer.echo(
            f"{model}: {loss.nats_per_character:.4f} nats per character ({loss.bits_per_character:.4f} bits) on the "
            f"last tenth of {text.name}, {loss.protocol} ({loss.window}), {loss.characters:,} characters."
        )
        for table in by.values():
            for row in table:
                typer.echo(f"    {row['what']:<26}{row['characters']:>9,}{row['nats_per_character']:>9.4f}")
    if as_json:
        typer.echo(json.dumps(described, indent=2))


def generate(
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = DEFAULT_RUNG,
    prompt: Annotated[str, typer.Option(help="The text to continue.")] = "ROMEO:",
    length: Annotated[int, typer.Option(help="Characters to write.")] = 500,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest, 1 the model's own odds.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from the k likeliest only; 0: from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest that hold this share; 1: from all.")] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same text.", show_default="another each time")
    ] = None,
    device: Device = None,
) -> None:
    """Continue a text, streamed to the terminal as it is written."""
    from modelcraft.inference.engine import Engine
    from modelcraft.sampling import SamplingParams
    from modelcraft.store.folder import load

    params = SamplingParams(length, temperature, top_k, top_p, seed)
    network, tokenizer = load(model, device)
    known = tokenizer.normalize(prompt)
    if known.changed:
        typer.echo(known.report(), err=True)
    # The app's own engine, with a reader who may take all the time there is: `… | less`.
    with contextlib.closing(Engine(network, patience_s=math.inf)) as engine:
        tokens = engine.submit(tokenizer.encode(known.text), params)
        print(known.text, end="", flush=True)
        for token in tokens:
            print(tokenizer.decode([token]), end="", flush=True)
        print()


hub_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Push a model folder to the Hugging Face Hub, or pull one from there.",
)


@hub_app.command("push")
def hub_push(
    folder: Annotated[Path, typer.Argument(help="A model folder, such as runs/bigram.")],
    repo_id: Annotated[str, typer.Argument(metavar="USER/REPO", help="Where to; made if it is missing.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository a private one.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="The branch; made if it is missing.", show_default="main")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Push over a repository that holds something else than a model of ours.")
    ] = False,
) -> None:
    """Upload a model folder in one commit, and print its address."""
    from modelcraft import hub

    typer.echo(hub.push(folder, repo_id, private, revision, over="anything" if replace else "model"))


@hub_app.command("pull")
def hub_pull(
    source: Annotated[
        str, typer.Argument(metavar="USER/REPO[@REVISION]", help="What to download, and which state of it.")
    ],
) -> None:
    """Download a model, and print the folder that it is in."""
    from modelcraft import hub

    repo_id, _, revision = source.partition("@")
    typer.echo(hub.pull(repo_id, revision or None))
