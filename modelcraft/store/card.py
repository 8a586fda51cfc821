"""The model card: the README.md of a model folder, which the Hub shows as the model's page."""

import json
import math
import os
import re
from dataclasses import replace
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from modelcraft.data import TINY_SHAKESPEARE, TRAIN_SHARE
from modelcraft.inference.stream import SamplingParams, stream
from modelcraft.ladder import rung_named
from modelcraft.model import LanguageModel
from modelcraft.store.folder import ModelInfo
from modelcraft.tokenizer import CharTokenizer

HUB_DATASET = "karpathy/tiny_shakespeare"  # the same text on the Hub
RATE = "character_error_rate"
SAMPLE_PARAMS = SamplingParams(max_new_tokens=400, temperature=0.8, seed=1337)


def write_sample(model: LanguageModel, tokenizer: CharTokenizer) -> str:
    """Let the model write 400 characters after a line break; the seed is fixed, so nobody picked the best.

    A model that restores lines restores its example, and the sample shows both.
    """
    start = _start(type(model), tokenizer.vocabulary)
    if model.continues:
        return tokenizer.decode(list(stream(model, tokenizer.encode(start), SAMPLE_PARAMS)))
    restored = stream(model, tokenizer.encode(start), replace(SAMPLE_PARAMS, temperature=0))
    return f"{start}\n→ {tokenizer.decode(list(restored))}"


def model_card(
    info: ModelInfo,
    parameters: int,
    sample: str,
    repo_id: str | None = None,
    picture: bool = False,
    for_transformers: bool = False,
) -> str:
    """Return the card of a model: YAML for the Hub, then what a reader wants to know.

    `parameters` is their number, `sample` the text that the model wrote (or empty), `repo_id` its place on the Hub
    (None: it is only a folder so far). With `picture` the page shows `loss_curve.png`; `for_transformers` says that
    the folder is a model of transformers, too. Raises ConfigError for an unknown rung.
    """
    corpus = str(info.corpus.get("name", "a text of its own"))
    model_class = rung_named(info.rung).model_class
    start, continues = _start(model_class, info.vocabulary), model_class.continues
    sections = [
        f"---\n{_metadata(info, corpus, repo_id, for_transformers).to_yaml()}\n---",
        f"# ModelCraft: {info.rung}",
        f"A character-level {'language model' if continues else 'encoder–decoder'}, the rung *{info.rung}* of the "
        "ladder from counting to GPT. "
        f"What this rung adds: {rung_named(info.rung).adds}.",
        _table(
            {
                "Parameters": f"{parameters:,}",
                "Context": f"{info.config.block_size:,} characters",
                "Vocabulary": f"{info.config.vocab_size:,} characters",
                "Trained on": f"{_learned(info)} of {_code(corpus)}",
                "SHA-256 of that text": _code(info.corpus.get("sha256", "not recorded")),
                **_losses(info),
                **_uncalibrated(info),
                **_other_losses(info),
                **_restored(info),
            }
        ),
        "## Load it",
        f"ModelCraft is installed from {_address()}, for `pip install modelcraft` brings another project.",
        "```python\nimport modelcraft\n\n"
        f'model, tokenizer = modelcraft.load("{repo_id or "path/to/this/folder"}")\n'
        f"ids = tokenizer.encode({json.dumps(start)})\n"
        "for token in modelcraft.stream(model, ids, modelcraft.SamplingParams(seed=1)):\n"
        '    print(tokenizer.decode([token]), end="", flush=True)\n```',
        *(_written(sample, continues) if sample else []),
        *(_for_transformers(repo_id) if for_transformers else []),
        "## How it was trained",
        _table({_code(name): _code(value) for name, value in info.training.items()}),
        *(["![Training and validation loss over the characters seen](loss_curve.png)"] if picture else []),
        "## Licence",
        "The weights are under the MIT licence.",
    ]
    return "\n\n".join(sections) + "\n"


def _address() -> str:
    space = os.environ.get("SPACE_ID")  # set where the app runs on a Space
    named = f"https://huggingface.co/spaces/{space}" if space else "ADDRESS"
    return f"its {'Space' if space else 'repository or a Space of it'} (`pip install git+{named}`, with git-lfs)"


def _written(sample: str, continues: bool) -> list[str]:
    if not continues:
        return ["## What it restores", "What was given, and what it wrote, at temperature 0:", _fenced(sample)]
    how = f"at temperature {SAMPLE_PARAMS.temperature}, seed {SAMPLE_PARAMS.seed}"
    return ["## What it writes", f"{len(sample):,} characters {how}:", _fenced(sample)]


def _start(model_class: type[LanguageModel], vocabulary: str) -> str:
    first = "\n" if "\n" in vocabulary else vocabulary[0]
    return first if model_class.continues else CharTokenizer(vocabulary).normalize(model_class.example).text or first


def _for_transformers(repo_id: str | None) -> list[str]:
    named = repo_id or "path/to/this/folder"
    return [
        "## Or load it in transformers, without ModelCraft",
        "```python\nfrom transformers import pipeline\n\n"
        f'write = pipeline("text-generation", "{named}")\n'
        'print(write("ROMEO:", truncation=True)[0]["generated_text"])\n```',
        "There it is called NanoChat, and the numbers are the same. A text may grow without end; only a prompt that is "
        "longer than the context has to be cut by `truncation=True`.",
    ]


def _metadata(info: ModelInfo, corpus: str, repo_id: str | None, for_transformers: bool) -> ModelCardData:
    # We know the language, and that the Hub has the text, only for tiny Shakespeare.
    shakespeare = corpus == TINY_SHAKESPEARE
    measured = [
        EvalResult(
            task_type="text-generation",
            task_name="Text generation, one character at a time",
            dataset_type=HUB_DATASET if shakespeare else "text",
            dataset_name=corpus,
            dataset_split="validation",
            metric_type=metric,
            metric_name=f"{name} ({_protocol(info)})",
            metric_value=value,
        )
        for metric, name, value in _exact_losses(info)
    ]
    origin = re.fullmatch(r"([\w.-]+/[\w.-]+)@[0-9a-f]{40}", str(info.training.get("init_from")))  # from the Hub
    return ModelCardData(
        model_name=(repo_id or f"modelcraft-{info.rung}").split("/")[-1],
        base_model=origin[1] if origin else None,
        license="mit",
        language="en" if shakespeare else None,
        library_name="transformers" if for_transformers else "modelcraft",
        pipeline_tag="text-generation",
        tags=["modelcraft", "character-level", "text-generation", info.rung],
        datasets=[HUB_DATASET] if shakespeare else None,
        eval_results=measured or None,
    )


def _exact_losses(info: ModelInfo) -> list[tuple[str, str, float]]:
    nats = info.validation_loss
    if nats is None:
        return []
    return [
        ("loss", "Exact validation loss in nats per character", nats),
        ("bits_per_character", "Exact validation loss in bits per character", nats / math.log(2)),
    ]


def _other_losses(info: ModelInfo) -> dict[str, str]:
    """Return the losses under the model's other protocols, each with its unit."""
    others = {}
    for loss in info.losses.values():
        if (
            isinstance(loss, dict)
            and loss is not info.quoted_loss
            and isinstance(loss.get("nats_per_character"), float)
        ):
            others[_code(loss.get("protocol"))] = f"{loss['nats_per_character']:.4f} nats per character"
    return others


def _restored(info: ModelInfo) -> dict[str, str]:
    """Return how much of the validation text the encoder–decoder restores, if that was measured."""
    found = info.losses.get("restored")
    if not isinstance(found, dict) or not all(isinstance(found.get(key), float) for key in ("exact", RATE)):
        return {}
    return {
        "Lines restored in every character": f"{found['exact']:.1%} of {_code(found.get('lines'))}",
        "Characters to be mended": f"{found[RATE]:.1%}",
    }


def _losses(info: ModelInfo) -> dict[str, str]:
    if not (losses := _exact_losses(info)):
        return {"Exact validation loss": "not measured"}
    return {name: f"{value:.4f}" for _, name, value in losses} | {"Measured as": _code(_protocol(info))}


def _learned(info: ModelInfo) -> str:
    """Return which part of the text it has learned from."""
    calibrated = isinstance(info.training.get("temperature"), float)
    held_out = info.training.get("held_out") if calibrated else 0.0
    end = 100 * TRAIN_SHARE
    if not isinstance(held_out, float) or not held_out:
        return f"the first {end:.3g} %"
    start = end * held_out
    return f"{end - start:.3g} % (from {start:.3g} % to {end:.3g} %)"


def _uncalibrated(info: ModelInfo) -> dict[str, str]:
    """Return the loss before the scores were divided by the number that calibrates them, if they were."""
    loss, temperature = (info.training.get(name) for name in ("uncalibrated_loss", "temperature"))
    if not isinstance(loss, float) or not isinstance(temperature, float):
        return {}
    return {f"The same before calibration, T = {temperature:.2f}": f"{loss:.4f} nats per character"}


def _protocol(info: ModelInfo) -> str:
    window = info.quoted_loss.get("window", info.config.block_size)
    return f"{info.quoted_loss.get('protocol')} ({window} characters), over the last 10 % of the text"


def _table(rows: dict[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _code(value: Any) -> str:
    """Quote foreign text (such as a file name) so that it is never Markdown and never ends the table cell."""
    line = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{line}`"


def _fenced(text: str) -> str:
    """Fence `text` with more backticks than its longest run of them."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
