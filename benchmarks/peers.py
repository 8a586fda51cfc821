"""Other programs that write one text, greedily, with our weights or a model of the same size: what decode.py compares.

Each function returns one that takes ids and a length and returns what was written. Those with our weights read what
`python -m modelcraft.export` wrote. llama.cpp and CTranslate2 have no model like ours, so they get the shape of Llama,
as deep and as wide, with feed-forwards of about as many parameters, and random weights.
"""

import ctypes
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelcraft.gpt import GPTConfig

Writes = Callable[[list[int], int], list[int]]
CONTEXT = 1024  # of the Llama shapes: they remember all of a text


def with_transformers(network: Any, texts: int = 1) -> Writes:
    """Let a network of `transformers` write `texts` texts at once, with its cache."""

    def write(ids: list[int], length: int) -> list[int]:
        idx = torch.tensor([ids] * texts)
        with torch.no_grad():
            written = network.generate(
                idx,
                attention_mask=torch.ones_like(idx),
                max_new_tokens=length,
                min_new_tokens=length,
                do_sample=False,
                use_cache=True,
                pad_token_id=0,
            )
        return [int(token) for token in written[0, len(ids) :]]

    return write


def nanochat(folder: Path) -> Writes:
    """`transformers` with our weights."""
    from transformers import AutoModelForCausalLM

    return with_transformers(AutoModelForCausalLM.from_pretrained(folder))  # in evaluation mode


def llama_of(c: GPTConfig) -> Any:
    """Return an untrained Llama of `transformers` of about our size."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.n_embd,
        intermediate_size=8 * c.n_embd // 3 // 8 * 8,  # three matrices, where ours are two of 4 · n_embd
        num_hidden_layers=c.n_layer,
        num_attention_heads=c.n_head,
        num_key_value_heads=c.n_kv_head,
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config).train(False).requires_grad_(False)


def _step_by_step(run: Callable[[dict[str, np.ndarray]], list[np.ndarray]], c: GPTConfig) -> Writes:
    """Write with an exported step, whose outputs are the logits and the past that it takes next."""
    names = [f"past_key_values.{layer}.{part}" for layer in range(c.n_layer) for part in ("key", "value")]

    def write(ids: list[int], length: int) -> list[int]:
        past = {name: np.zeros((1, c.n_kv_head, 0, c.head_size), np.float32) for name in names}
        idx, position, written = np.array([ids], np.int64), 0, []
        for _ in range(length):
            T = idx.shape[1]
            at = np.arange(position, position + T)[None]
            mask = np.ones((1, position + T), np.int64)
            logits, *present = run({"input_ids": idx, "attention_mask": mask, "position_ids": at, **past})
            position += T
            written.append(int(logits[0, -1].argmax()))
            idx, past = np.array([written[-1:]], np.int64), dict(zip(names, present, strict=True))
        return written

    return write


def onnxruntime(path: Path, threads: int, c: GPTConfig) -> Writes:
    """onnxruntime with our weights."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    return _step_by_step(lambda given: session.run(None, {k: v for k, v in given.items() if k in wanted}), c)


def openvino(path: Path, threads: int, c: GPTConfig) -> Writes:
    """OpenVINO with our weights, in float32."""
    from openvino import Core

    core = Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    wanted = {name for one in compiled.inputs for name in one.names}
    request = compiled.create_infer_request()

    def run(given: dict[str, np.ndarray]) -> list[np.ndarray]:
        answer = request.infer({name: value for name, value in given.items() if name in wanted})
        return [answer[one] for one in compiled.outputs]

    return _step_by_step(run, c)


def ctranslate2(folder: Path, exported: Path, threads: int, c: GPTConfig, kind: str = "float32") -> Writes:
    """CTranslate2 with a Llama of about our size, computed in `kind`: float32 or int8.

    Its converter wants a tokenizer: it gets ours, from the folder that was exported for `transformers`.
    """
    import ctranslate2 as ct2

    plain, converted = folder / "llama", folder / "ctranslate2"
    if not converted.exists():
        llama_of(c).save_pretrained(plain)
        shutil.copy(exported / "tokenizer.json", plain)
        vocabulary = _vocabulary(exported)
        settings = json.loads((exported / "tokenizer_config.json").read_text(encoding="utf-8"))
        special = {"unk_token": vocabulary[0], "bos_token": vocabulary[1], "eos_token": vocabulary[2]}
        (plain / "tokenizer_config.json").write_text(json.dumps(settings | special), encoding="utf-8")
        ct2.converters.TransformersConverter(str(plain)).convert(str(converted))
    generator = ct2.Generator(str(converted), device="cpu", inter_threads=1, intra_threads=threads, compute_type=kind)
    tokens = _vocabulary(exported)

    def write(ids: list[int], length: int) -> list[int]:
        [answer] = generator.generate_batch(
            [[tokens[token] for token in ids]],
            max_length=length,
            min_length=length,
            beam_size=1,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return list(answer.sequences_ids[0])

    return write


def _vocabulary(exported: Path) -> list[str]:
    known = json.loads((exported / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return sorted(known, key=known.get)


def llama_cpp(folder: Path, threads: int, c: GPTConfig, kind: str = "F32") -> Writes:
    """llama.cpp with a Llama of about our size, its weights in `kind`, F32 or BF16."""
    import llama_cpp as llama

    path = folder / f"llama-{kind}.gguf"
    write_gguf(path, c, kind)
    llama.llama_backend_init()
    quiet = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    settings = llama.llama_context_default_params()
    settings.n_ctx, settings.n_threads, settings.n_threads_batch = CONTEXT, threads, threads
    context, greedy = llama.llama_init_from_model(model, settings), llama.llama_sampler_init_greedy()

    def write(ids: list[int], length: int, _: Any = quiet) -> list[int]:  # the callback lives as long as this
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        written: list[int] = []
        for _step in range(length):
            given = written[-1:] or ids
            tokens = (llama.llama_token * len(given))(*given)  # the batch only points to them
            assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, len(given))) == 0
            written.append(int(llama.llama_sampler_sample(greedy, context, -1)))
        return written

    return write


def write_gguf(path: Path, c: GPTConfig, kind: str) -> None:
    """Write a Llama of about our size with random weights, in llama.cpp's format."""
    import gguf

    out = gguf.GGUFWriter(str(path), "llama")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(c.n_embd)
    out.add_block_count(c.n_layer)
    out.add_feed_forward_length(wide := 8 * c.n_embd // 3 // 8 * 8)
    out.add_head_count(c.n_head)
    out.add_head_count_kv(c.n_kv_head)
    out.add_rope_dimension_count(c.head_size)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_vocab_size(c.vocab_size)
    out.add_tokenizer_model("none")
    packed, random = gguf.GGMLQuantizationType[kind], np.random.default_rng(1)

    def add(name: str, *shape: int) -> None:
        if len(shape) == 1:  # the gains of norms
            out.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
            return
        weights = random.normal(scale=0.05, size=shape).astype(np.float32)
        out.add_tensor(f"{name}.weight", gguf.quants.quantize(weights, packed), raw_dtype=packed)

    narrow = c.n_kv_head * c.head_size
    add("token_embd", c.vocab_size, c.n_embd)
    add("output_norm", c.n_embd)
    add("output", c.vocab_size, c.n_embd)
    for layer in range(c.n_layer):
        for name, shape in {
            "attn_norm": (c.n_embd,),
            "attn_q": (c.n_embd, c.n_embd),
            "attn_k": (narrow, c.n_embd),
            "attn_v": (narrow, c.n_embd),
            "attn_output": (c.n_embd, c.n_embd),
            "ffn_norm": (c.n_embd,),
            "ffn_gate": (wide, c.n_embd),
            "ffn_up": (wide, c.n_embd),
            "ffn_down": (c.n_embd, wide),
        }.items():
            add(f"blk.{layer}.{name}", *shape)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
