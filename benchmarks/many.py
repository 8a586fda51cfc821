"""Many texts at once: the engine, a bare step of it, and `transformers`, which has the same weights as NanoChat.

    python -m benchmarks.many      (needs `pip install transformers`, for the comparison only)

Each way runs in a process of its own, since OpenMP keeps threads for each that computes, and they take turns. The texts
are greedy, `transformers` reads all prompts at once and remembers all of each text; the bare step is that of rows that
have as many characters before them as the texts have on average.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

PROMPT = "ROMEO:\nIt is the east, and Juliet is"
WAYS = ("the engine", "its bare step", "transformers")


def speeds(way: str, texts: list[int], length: int, exported: Path) -> list[float]:
    """Return the characters a second of all texts together, for each number of texts."""
    import torch

    import modelcraft
    from benchmarks import peers
    from modelcraft.inference.decoder import decoder_for
    from modelcraft.inference.engine import Engine
    from modelcraft.sampling import SamplingParams

    if way == "the engine":
        torch.set_num_threads(1)  # as app.py does on two cores; the engine takes more by itself
    model, tokenizer = modelcraft.load("gpt", "cpu")
    ids = tokenizer.encode(PROMPT)
    if way == "transformers":
        from transformers import AutoModelForCausalLM

        network: Any = AutoModelForCausalLM.from_pretrained(exported)  # in evaluation mode

        def write(many: int) -> float:
            started = time.perf_counter()
            peers.with_transformers(network, many)(ids, length)
            return time.perf_counter() - started

    elif way == "the engine":
        engine = Engine(model, patience_s=600)

        def write(many: int) -> float:
            started = time.perf_counter()
            streams = [engine.submit(ids, SamplingParams(length, temperature=0)) for _ in range(many)]
            for stream in streams:
                for _ in stream:
                    pass
            return time.perf_counter() - started

    else:
        decoder = decoder_for(model)

        def write(many: int) -> float:
            with torch.no_grad():
                rows = decoder.rows()
                rows.join([torch.tensor(ids * (1 + length // 2 // len(ids)))[: len(ids) + length // 2]] * many)
                newest = torch.zeros((many, 1), dtype=torch.long)
                started = time.perf_counter()
                for _ in range(20):
                    rows.step(newest)
            return (time.perf_counter() - started) * length / 20

    found = []
    for many in texts:
        write(many)
        found.append(many * length / statistics.median(write(many) for _ in range(3)))
    return found


def main(
    texts: Annotated[list[int] | None, typer.Option(help="How many at once.")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="That a step may take.")] = None,
    length: int = 200,
    rounds: int = 3,
    way: Annotated[str, typer.Option(hidden=True)] = "",
    exported: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print a table of characters a second."""
    texts, threads = texts or [1, 8, 32, 50], threads or [1, 2]
    if way:
        assert exported is not None
        print(*speeds(way, texts, length, exported), flush=True)
        os._exit(0)  # without waiting for OpenMP
    with tempfile.TemporaryDirectory() as folder:
        nanochat = Path(folder) / "gpt"
        export = [sys.executable, "-m", "modelcraft.export", "gpt", "--to", "transformers", "--out", str(nanochat)]
        subprocess.run(export, check=True, capture_output=True)
        found: dict[tuple[int, str], list[list[float]]] = {(n, one): [] for n in threads for one in WAYS}
        for _ in range(rounds):
            for (number, one), speed in found.items():
                command = [sys.executable, "-m", "benchmarks.many", "--way", one, "--exported", str(nanochat)]
                command += ["--length", str(length), *(part for many in texts for part in ("--texts", str(many)))]
                environment = {**os.environ, "OMP_NUM_THREADS": str(number), "HF_HUB_OFFLINE": "1"}
                answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                speed.append([float(word) for word in answer.stdout.split()])
    print(f"| texts | threads | {' | '.join(WAYS)} | the engine against transformers |")
    print("|---:|---:|---:|---:|---:|---:|")
    for number in threads:
        for place, many in enumerate(texts):
            ours, bare, theirs = (statistics.median(turn[place] for turn in found[number, one]) for one in WAYS)
            print(f"| {many} | {number} | {ours:,.0f} | {bare:,.0f} | {theirs:,.0f} | {ours / theirs:.1f}× |")


if __name__ == "__main__":
    typer.run(main)
