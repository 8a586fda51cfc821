"""How fast does the GPT write one text? Against recomputing, and against the fastest programs that others wrote.

    python -m benchmarks.decode --threads 1

512 characters, greedy, in turns, each time in a process of its own, which writes twice and counts the second time: on
one thread the processor's seconds, on several the clock's.
`pip install transformers onnx onnxscript onnxruntime openvino ctranslate2 gguf llama-cpp-python` for the comparison; of
these, what is not installed is left out. The peers remember all of a text, ours the last 256 characters of it.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
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


def ours(decoder: Decoder, compiled: bool) -> peers.Writes:
    if compiled:
        decoder.warm_up()
    return lambda ids, length: list(stream(decoder, ids, SamplingParams(length, temperature=0)))


def ways(there: set[str]) -> list[str]:
    """Return the ways to write for which all packages are `there`."""
    needs = {
        "the context anew for each character": set[str](),
        "as shipped, the first seconds": set[str](),
        SHIPPED: set[str](),
        "`transformers`, NanoChat": {"transformers"},
        "OpenVINO": {"onnx", "onnxscript", "openvino"},
        "onnxruntime": {"onnx", "onnxscript", "onnxruntime"},
        "`transformers`, Llama-shaped": {"transformers"},
        "CTranslate2, float32, Llama-shaped": {"ctranslate2", "transformers"},
        "CTranslate2, int8, Llama-shaped": {"ctranslate2", "transformers"},
        "llama.cpp, F32, Llama-shaped": {"gguf", "llama_cpp"},
        "llama.cpp, BF16, Llama-shaped": {"gguf", "llama_cpp"},
    }
    return [way for way, packages in needs.items() if packages <= there]


def made(way: str, model: GPTLanguageModel, folder: Path, threads: int) -> peers.Writes:
    """Make one of `ways`; `folder` has what was exported of `model`."""
    c, exported, onnx = model.config, folder / "transformers", folder / "onnx" / "onnx" / "model.onnx"
    program, _, kind = way.partition(", ")
    kind = kind.removesuffix(", Llama-shaped")
    make = {
        "the context anew for each character": lambda: recomputed(model),
        "as shipped": lambda: ours(decoder_for(model), compiled=way == SHIPPED),
        "`transformers`": lambda: (
            peers.nanochat(exported) if kind == "NanoChat" else peers.with_transformers(peers.llama_of(c))
        ),
        "OpenVINO": lambda: peers.openvino(onnx, threads, c),
        "onnxruntime": lambda: peers.onnxruntime(onnx, threads, c),
        "CTranslate2": lambda: peers.ctranslate2(folder, exported, threads, c, kind),
        "llama.cpp": lambda: peers.llama_cpp(folder, threads, c, kind),
    }
    return make[program]()


def main(
    model: Annotated[str, typer.Option(help="A GPT: a rung, a folder, or a Hub repository.")] = "gpt",
    threads: int = 1,
    length: int = 512,
    rounds: int = 5,
    way: Annotated[str, typer.Option(hidden=True)] = "",
    exported: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a table of the medians."""
    if way:
        assert exported is not None
        measure(way, model, exported, threads, length)
    packages = ("transformers", "onnx", "onnxscript", "onnxruntime", "openvino", "ctranslate2", "gguf", "llama_cpp")
    there = {package for package in packages if importlib.util.find_spec(package)}
    found: dict[str, list[tuple[float, list[int]]]] = {one: [] for one in ways(there)}
    with tempfile.TemporaryDirectory() as folder:
        for to in ("transformers", "onnx") if there >= {"transformers", "onnx", "onnxscript"} else ():
            export = [sys.executable, "-m", "modelcraft.export", model, "--out", f"{folder}/{to}", "--to", to]
            subprocess.run(export, check=True, capture_output=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        for _ in range(rounds):
            for one, answers in found.items():
                command = [sys.executable, "-m", "benchmarks.decode", "--way", one, "--exported", folder]
                command += ["--model", model, "--threads", str(threads), "--length", str(length)]
                answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                answers.append(json.loads(answer.stdout.splitlines()[-1]))
    shipped, right = statistics.median(seconds for seconds, _ in found[SHIPPED]), found[SHIPPED][0][1]
    print(f"{length} characters, greedy, {threads} threads, medians of {rounds} turns\n")
    print("| way | characters a second | takes | the same text for |")
    print("|---|---:|---:|---:|")
    for one, answers in found.items():
        median, written = statistics.median(seconds for seconds, _ in answers), answers[0][1]
        pairs = enumerate(zip(written, right, strict=True))
        alike = "" if "shaped" in one else next((place for place, (a, b) in pairs if a != b), length)
        print(f"| {one} | {length / median:,.0f} | {median / shipped:.2f}× | {alike} |")


def measure(way: str, model: str, exported: Path, threads: int, length: int) -> None:
    """Print the seconds that one way takes, and what it wrote; end the process."""
    torch.set_num_threads(threads)
    network, tokenizer = modelcraft.load(model, "cpu")
    assert isinstance(network, GPTLanguageModel)
    write, ids = made(way, network, exported, threads), tokenizer.encode(PROMPT)
    write(ids, length)
    clock = time.process_time if threads == 1 else time.perf_counter
    started = clock()
    written = write(ids, length)
    print(json.dumps([clock() - started, written]), flush=True)
    os._exit(0)  # without waiting for the threads of any of them


if __name__ == "__main__":
    typer.run(main)
