r"""The GPT as Hugging Face's transformers loads it, with no code of ours: there it is called NanoChat.

The two are the same model, written down in two ways. The names of the tensors differ; transformers turns queries and
keys the other way round (`mirrored`); and where ours reads a text longer than its context, transformers has a sliding
window. One repository serves both: its config.json has the keys of both, and `load` finds the tensors by either names.

The tokenizer becomes one of the library `tokenizers`: byte-pair encoding without a merge, one character a token. What
`CharTokenizer.normalize` would replace, it replaces by rules; what has no equivalent, it leaves out.
"""

import functools
import json
import unicodedata
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from modelcraft.gpt import ROPE_BASE, GPTConfig
from modelcraft.tokenizer import CharTokenizer

MODEL_TYPE = "nanochat"
TOKENIZER_FILE, TOKENIZER_CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
GENERATION_FILE = "generation_config.json"
EMBEDDING = "model.embed_tokens.weight"  # only transformers' files have a tensor of this name
OUTSIDE = {"token_embedding_table.weight": EMBEDDING, "lm_head.weight": "lm_head.weight"}
OF_A_BLOCK = {
    "sa.query.weight": "self_attn.q_proj.weight",
    "sa.key.weight": "self_attn.k_proj.weight",
    "sa.value.weight": "self_attn.v_proj.weight",
    "sa.proj.weight": "self_attn.o_proj.weight",
    "ffwd.fc.weight": "mlp.fc1.weight",
    "ffwd.proj.weight": "mlp.fc2.weight",
}
TURNED = ("sa.query.weight", "sa.key.weight")
LAST_CHARACTER = 0xFFFF  # of the plane that has all the letters and marks with an equivalent


def their_name(name: str) -> str:
    """Return the name in transformers of one of our GPT's tensors."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, number, part = name.split(".", 2)  # blocks.3.sa.key.weight
    return f"model.layers.{number}.{OF_A_BLOCK[part]}"


def mirrored(name: str, weight: Tensor, head_size: int) -> Tensor:
    """Negate the second half of each head of a query or key matrix (heads · hs, C); leave other tensors as they are.

    A head turns pairs of its numbers by an angle. With one of each pair negated, the other direction gives the same
    product of query and key. Done twice, it is undone, without a rounding.
    """
    if not name.endswith(TURNED):
        return weight
    heads = weight.view(-1, 2, head_size // 2, weight.shape[1]).clone()  # (heads, 2, hs/2, C)
    heads[:, 1].neg_()
    return heads.view_as(weight)


def their_weights(weights: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """Return the tensors of our GPT as those of transformers."""
    return {their_name(name): mirrored(name, weight, config.head_size) for name, weight in weights.items()}


def their_config(config: GPTConfig) -> dict[str, Any]:
    """Return what transformers has to read in config.json."""
    return {
        "architectures": ["NanoChatForCausalLM"],
        "model_type": MODEL_TYPE,
        "dtype": "float32",  # to compute in; the file may hold bfloat16
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": 4 * config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "hidden_act": "relu2",
        "rms_norm_eps": torch.finfo(torch.float32).eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": float(ROPE_BASE)},
        "max_position_embeddings": 16 * config.block_size,
        "sliding_window": config.block_size,
        "final_logit_softcapping": float(config.logit_cap),
        "attention_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "use_cache": True,
    }


def their_tokenizer(vocabulary: str) -> dict[str, Any]:
    """Return the content of tokenizer.json."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": normalizers(vocabulary)},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {character: token for token, character in enumerate(vocabulary)},
            "merges": [],
        },
    }


@functools.lru_cache(maxsize=16)
def normalizers(vocabulary: str) -> list[dict[str, Any]]:
    """Return the rules that fit a text to the vocabulary, as `CharTokenizer.normalize` does; it takes a second."""
    tokenizer, known = CharTokenizer(vocabulary), set(vocabulary)
    rules: list[dict[str, Any]] = []
    if "\r" not in known:
        rules.append({"type": "Replace", "pattern": {"String": "\r\n"}, "content": "\n"})
    if not any(map(unicodedata.combining, vocabulary)):  # it has letters with their accents, or none
        rules.append({"type": "NFC"})
    replaced: dict[str, list[str]] = {}
    for code in range(LAST_CHARACTER + 1):
        character = chr(code)
        if character in known or 0xD800 <= code < 0xE000:  # half a surrogate pair is no character
            continue
        if (text := tokenizer.normalize(character).text) and text != character:
            replaced.setdefault(text, []).append(character)
    for text, characters in replaced.items():
        pattern = f"[{''.join(map(_in_class, characters))}]"
        rules.append({"type": "Replace", "pattern": {"Regex": pattern}, "content": text})
    return rules


def _in_class(character: str) -> str:
    return f"\\{character}" if character in "\\]^[-&" else character


def their_files(vocabulary: str, config: GPTConfig) -> dict[str, str]:
    """Return the files besides config.json and the weights that transformers reads, by their names."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.block_size,
        "truncation_side": "left",
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    generation = {"do_sample": True, "temperature": 0.8, "top_k": 0, "max_new_tokens": 200}
    contents = {
        TOKENIZER_FILE: their_tokenizer(vocabulary),
        TOKENIZER_CONFIG_FILE: settings,
        GENERATION_FILE: generation,
    }
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in contents.items()}
