"""How fast does the GPT write one text? Against recomputing, and against the fastest programs that others wrote.

    python -m benchmarks.decode --threads 1

512 characters, greedy, in turns, in one process; on one thread it counts the processor's seconds, on several the
clock's.
`pip install transformers onnx onnxscript onnxruntime openvino ctranslate2 gguf llama-cpp-python` for the comparison; of
these, what is not installed is left out. The peers remember all of a text, ours the last 256 characters of it.
"""

import functools
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

import modelcraft
from benchmarks import peers
from modelcraft.gpt import GPTLanguageModel
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.rows import Decoder
from modelcraft.inference.stream import SamplingParams, stream

SHIPPED = "as shipped, compiled"
PROMPT = "ROMEO:\nIt is the east, and Juliet is"


def recomputed(model: GPTLanguageModel) -> peers.Writes:
    """Write as the video does: the whole context again for each character."""

    def write(ids: list[int], length: int) -> list[int]:
        written = model.generate(torch.tensor([ids], device=model.device), length, temperature=0)
        return [int(token) for token in written[0, len(ids) :]]

    return write


def ours(decoder: Decoder) -> peers.Writes:
    return lambda ids, length: list(stream(decoder, ids, SamplingParams(length, temperature=0)))


def others(model: GPTLanguageModel, name: str, folder: Path, threads: int) -> dict[str, Callable[[], peers.Writes]]:
    """Return how to make each peer that is installed; `model` is called `name`."""
    c, exported, onnx = model.config, folder / "transformers", folder / "onnx" / "onnx" / "model.onnx"
    packages = ("transformers", "onnx", "onnxscript", "onnxruntime", "openvino", "ctranslate2", "gguf", "llama_cpp")
    there = {package for package in packages if importlib.util.find_spec(package)}
    if there >= {"transformers", "onnx", "onnxscript"}:
        for to in ("transformers", "onnx"):
            export = [sys.executable, "-m", "modelcraft.export", name, "--out", str(folder / to), "--to", to]
            subprocess.run(export, check=True, capture_output=True)
    made: dict[str, tuple[set[str], Callable[[], peers.Writes]]] = {
        "`transformers`, NanoChat": ({"transformers"}, lambda: peers.nanochat(exported)),
        "OpenVINO": ({"onnx", "openvino"}, lambda: peers.openvino(onnx, threads, c)),
        "onnxruntime": ({"onnx", "onnxruntime"}, lambda: peers.onnxruntime(onnx, threads, c)),
        "`transformers`, Llama-shaped": ({"transformers"}, lambda: peers.with_transformers(peers.llama_of(c))),
        "CTranslate2, float32, Llama-shaped": (
            {"ctranslate2", "transformers"},
            lambda: peers.ctranslate2(folder, exported, threads, c),
        ),
        "CTranslate2, int8, Llama-shaped": (
            {"ctranslate2", "transformers"},
            lambda: peers.ctranslate2(folder, exported, threads, c, "int8"),
        ),
    }
    for kind in ("F32", "BF16", "Q8_0"):
        made[f"llama.cpp, {kind}, Llama-shaped"] = (
            {"gguf", "llama_cpp"},
            functools.partial(peers.llama_cpp, folder, threads, c, kind),
        )
    return {title: make for title, (needs, make) in made.items() if needs <= there}


def main(
    model: Annotated[str, typer.Option(help="A GPT: a rung, a folder, or a Hub repository.")] = "gpt",
    threads: int = 1,
    length: int = 512,
    rounds: int = 5,
) -> None:
    """Print a table of the medians."""
    torch.set_num_threads(threads)
    network, tokenizer = modelcraft.load(model, "cpu")
    assert isinstance(network, GPTLanguageModel)
    cold, warm = decoder_for(network), decoder_for(network)
    started = time.perf_counter()
    warm.warm_up()
    print(f"compiled in {time.perf_counter() - started:.1f} s")
    ids = tokenizer.encode(PROMPT)
    ways = {"the context anew for each character": recomputed(network), "as shipped, the first seconds": ours(cold)}
    ways[SHIPPED] = ours(warm)
    with tempfile.TemporaryDirectory() as folder:
        ways |= {title: make() for title, make in others(network, model, Path(folder), threads).items()}
        clock = time.process_time if threads == 1 else time.perf_counter
        seconds: dict[str, list[float]] = {title: [] for title in ways}
        same: dict[str, int] = {}
        right = ways[SHIPPED](ids, length)
        for turn in range(rounds + 1):  # the first turn warms up
            for title, write in ways.items():
                started = clock()
                written = write(ids, length)
                if turn:
                    seconds[title].append(clock() - started)
                pairs = enumerate(zip(written, right, strict=True))
                same[title] = next((place for place, (a, b) in pairs if a != b), length)
    shipped = statistics.median(seconds[SHIPPED])
    print(f"{length} characters, greedy, {threads} threads, medians of {rounds} turns\n")
    print("| way | characters a second | takes | the same text for |")
    print("|---|---:|---:|---:|")
    for title, times in seconds.items():
        median = statistics.median(times)
        alike = "" if "shaped" in title else same[title]
        print(f"| {title} | {length / median:,.0f} | {median / shipped:.2f}× | {alike} |")


if __name__ == "__main__":
    typer.run(main)
