"""How fast does the GPT write? One text, greedy, 512 characters, against recomputing and against `transformers`.

`python -m benchmarks.decode` (needs `pip install transformers`, for the comparison only) takes turns through all of
them, several times, in one process with the same threads, and prints the medians.
"""

import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer

import modelcraft
from modelcraft.gpt import GPTLanguageModel
from modelcraft.inference.decoder import decoder_for
from modelcraft.inference.rows import Decoder
from modelcraft.inference.stream import SamplingParams, stream

SHIPPED = "as shipped, compiled (modelcraft.stream)"
PROMPT = "ROMEO:\nIt is the east, and Juliet is"


def recomputed(model: GPTLanguageModel, ids: list[int], length: int) -> None:
    """Write as the video does: the whole context again for each character."""
    model.generate(torch.tensor([ids], device=model.device), length, temperature=0)


def ours(model: Decoder, ids: list[int], length: int) -> None:
    for _ in stream(model, ids, SamplingParams(length, temperature=0)):
        pass


def transformers_model(kind: str, like: GPTLanguageModel, length: int) -> Any:
    """Return an untrained model of `transformers` with the same width, depth and number of heads."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    c = like.config
    most = length + 64
    if kind == "GPT-2":
        gpt2 = GPT2Config(
            vocab_size=c.vocab_size, n_positions=most, n_embd=c.n_embd, n_layer=c.n_layer, n_head=c.n_head
        )
        return GPT2LMHeadModel(gpt2).requires_grad_(False)
    llama = LlamaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.n_embd,
        intermediate_size=8 * c.n_embd // 3 // 8 * 8,
        num_hidden_layers=c.n_layer,
        num_attention_heads=c.n_head,
        num_key_value_heads=c.n_head,
        max_position_embeddings=most,
    )
    return LlamaForCausalLM(llama).requires_grad_(False)


def theirs(network: Any, ids: list[int], length: int, texts: int = 1) -> None:
    idx = torch.tensor([ids] * texts)
    with torch.no_grad():
        network.generate(
            idx,
            attention_mask=torch.ones_like(idx),
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )


def main(
    model: Annotated[str, typer.Option(help="A GPT: a rung, a folder, or a Hub repository.")] = "gpt",
    length: int = 512,
    rounds: int = 5,
) -> None:
    network, tokenizer = modelcraft.load(model, "cpu")
    assert isinstance(network, GPTLanguageModel)
    cold, warm = decoder_for(network), decoder_for(network)
    ids = tokenizer.encode(PROMPT)
    ways: dict[str, Callable[[], None]] = {
        "the context anew for each character": lambda: recomputed(network, ids, length),
        "as shipped, the first seconds (modelcraft.stream)": lambda: ours(cold, ids, length),
        SHIPPED: lambda: ours(warm, ids, length),
    }
    started = time.perf_counter()
    warm.warm_up()
    print(f"compiled in {time.perf_counter() - started:.1f} s")
    parameters = dict.fromkeys(ways, network.num_parameters)
    for kind in ("Llama", "GPT-2"):
        other = transformers_model(kind, network, length)
        other.train(False)
        name = f"transformers, {kind}-shaped, with its cache"
        parameters[name] = sum(p.numel() for p in other.parameters())
        ways[name] = lambda other=other: theirs(other, ids, length)  # type: ignore[misc]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):  # the first turn warms up
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    shipped = statistics.median(seconds[SHIPPED])
    print(f"{length} characters, greedy, batch 1, {torch.get_num_threads()} threads, medians of {rounds} turns\n")
    print("| way | parameters | characters a second | as shipped is |")
    print("|---|---:|---:|---:|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {parameters[name]:,} | {length / median:,.0f} | {median / shipped:.1f}× |")


if __name__ == "__main__":
    typer.run(main)
