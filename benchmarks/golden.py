"""Is everything that users see what it was? Takes it down before a change, and compares after it.

`python -m benchmarks.golden FOLDER` writes logits, losses, texts alone and in company, short trainings, the help of the
commands and the API's description into FOLDER; if something is there already, it says what differs from it.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import httpx
import torch
import typer
from safetensors.torch import load_file, save_file

import modelcraft
from benchmarks.serve import serving
from modelcraft.data import load_corpus
from modelcraft.inference.engine import Engine

RUNGS = sorted(folder.name for folder in Path("weights").iterdir())
PROMPTS = ("ROMEO:", "\n", "To be, or not to be: that is the question, whether 'tis nobler in the mind to suffer\n" * 4)
DIALS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.8},
    {"temperature": 0},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.2, "top_p": 0.9},
)
TRAININGS = {"bigram": 20, "head": 12, "block": 12, "gpt-mini": 6, "encoder-decoder": 4}
CLOSE = 1e-5  # of a logit


def rung(name: str) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the logits of a bundled rung on four windows, and its loss there and texts, alone and in company."""
    model, tokenizer = modelcraft.load(name)
    context = min(model.block_size, 256)
    text = torch.tensor(tokenizer.encode(load_corpus().text[-4 * (context + 1) :])).view(4, context + 1)
    with torch.inference_mode():
        logits, loss = model.eval()(text[:, :-1].contiguous(), text[:, 1:].contiguous())
    asked = [
        (tokenizer.encode(prompt), modelcraft.SamplingParams(max_new_tokens=120, seed=seed, **dials))
        for prompt in (PROMPTS if model.continues else (model.example,))
        for seed, dials in enumerate(DIALS)
    ]
    alone = [tokenizer.decode(list(modelcraft.stream(model, ids, params))) for ids, params in asked]
    engine = Engine(model)
    streams = [engine.submit(ids, params) for ids, params in asked]
    together = [tokenizer.decode(list(stream)) for stream in streams]
    engine.close()
    return logits.float().contiguous(), {"loss": float(loss), "alone": alone, "together": together}


def typed(*arguments: str) -> str:
    """Return what a command prints."""
    environment = os.environ | {"COLUMNS": "100", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], check=False, capture_output=True, text=True, env=environment
    )
    return done.stdout + done.stderr


def trained(name: str, steps: int) -> dict[str, Any]:
    """Return the losses of a short training, and a digest of its weights."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        options = ("--steps", str(steps), "--eval-interval", str(steps), "--precision", "fp32", "--out", str(out))
        said = typed("modelcraft.train", "--model", name, *options)
        weights = out / "model.safetensors"
        if not weights.exists():
            return {"said": said}
        metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses = [{key: value for key, value in one.items() if "loss" in key} for one in metrics]
        return {"losses": losses, "weights": hashlib.sha256(weights.read_bytes()).hexdigest()}


def described() -> Any:
    """Return the description of the app's API."""
    with serving(["app.py"], 7877) as (url, _):
        return httpx.get(f"{url}/gradio_api/info").json()


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Say where two values of JSON differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for key in old | new for line in differences(old.get(key), new.get(key), f"{where}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for i in range(len(old)) for line in differences(old[i], new[i], f"{where}/{i}")]
    return [] if old == new else [f"{where}: {str(old)[:300]!r} -> {str(new)[:300]!r}"]


def main(
    folder: Annotated[Path, typer.Argument(help="Where it is kept.")],
    api: Annotated[bool, typer.Option(help="Start the app, too.")] = True,
    training: Annotated[bool, typer.Option(help="Train for some steps, too.")] = True,
) -> None:
    rungs = {name: rung(name) for name in RUNGS}
    logits = {name: one for name, (one, _) in rungs.items()}
    found: dict[str, Any] = {"rungs": {name: one for name, (_, one) in rungs.items()}}
    found["help"] = {name: typed(f"modelcraft.{name}", "--help") for name in ("train", "evaluate", "generate", "hub")}
    if training:
        found["trained"] = {name: trained(name, steps) for name, steps in TRAININGS.items()}
    if api:
        found["api"] = described()
    numbers, rest = folder / "logits.safetensors", folder / "golden.json"
    if not rest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        save_file(logits, numbers)
        rest.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
        return
    old = load_file(numbers)
    for name, one in logits.items():
        apart = float((one - old[name]).abs().max()) if one.shape == old[name].shape else math.inf
        print(f"{name:16} logits {apart:.1e} apart{'' if apart <= CLOSE else ' TOO FAR'}")
    before = {name: value for name, value in json.loads(rest.read_text(encoding="utf-8")).items() if name in found}
    print("\n".join(differences(before, json.loads(json.dumps(found)))) or "all else is equal")


if __name__ == "__main__":
    typer.run(main)
