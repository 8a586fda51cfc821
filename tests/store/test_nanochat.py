"""A GPT in transformers: the genuine library loads what is pushed, with no code of ours, and writes the same text."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import spread
from safetensors.torch import load_file, save_file

import modelcraft
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.store.folder import WEIGHTS_DIR, ModelInfo, load_folder, save_folder
from modelcraft.store.nanochat import mirrored, their_name
from modelcraft.support.errors import CheckpointError, ConfigError
from modelcraft.tokenizer import CharTokenizer

# Runs where only transformers is imported, offline, and prints what it finds as JSON.
THEIRS = """
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch, transformers
folder, prompts, length, again = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
model = transformers.AutoModelForCausalLM.from_pretrained(folder)
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
write = transformers.pipeline("text-generation", folder)
how = {"max_new_tokens": length, "do_sample": False, "return_full_text": False}
greedy = [write(p, **how)[0]["generated_text"] for p in prompts]
transformers.set_seed(1)
sampled = write(prompts[0], max_new_tokens=40, temperature=0.8)[0]["generated_text"]
with torch.no_grad():
    logits = [model(**tokenizer(p, return_tensors="pt", truncation=True)).logits[0, -1].tolist() for p in prompts]
model.save_pretrained(again)
tokenizer.save_pretrained(again)
print(json.dumps({
    "class": type(model).__name__, "dtype": str(model.dtype), "greedy": greedy, "sampled": sampled, "logits": logits,
    "ids": [tokenizer(p)["input_ids"] for p in prompts], "ours": [m for m in sys.modules if m == "modelcraft"],
}))
"""
pytest.importorskip("transformers")


def theirs(folder: Path, prompts: list[str], length: int, again: Path) -> dict:
    command = [sys.executable, "-c", THEIRS, str(folder), json.dumps(prompts), str(length), str(again)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=again.parent, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def written_for_transformers(source: Path, folder: Path) -> Path:
    model, _, info = load_folder(source, "cpu")
    save_folder(folder, model, info, None, torch.bfloat16, for_transformers=True)
    return folder


@pytest.mark.parametrize(("name", "length"), [("gpt-mini", 512), ("gpt", 300)])
def test_the_same_text_from_transformers(tmp_path, name, length):
    """Greedy, far beyond the context, from prompts with characters that the model does not know."""
    folder = written_for_transformers(WEIGHTS_DIR / name, tmp_path / name)
    model, tokenizer = modelcraft.load(name, "cpu")
    prompts = ["ROMEO:\n", "What – “Café” said Ærø; ½ of\r\nit…\u2028Who’s there?\u00a0Ţ日本"]
    found = theirs(folder, prompts, length, tmp_path / "again")
    assert (found["class"], found["dtype"], found["ours"]) == ("NanoChatForCausalLM", "torch.float32", [])
    params = modelcraft.SamplingParams(max_new_tokens=length, temperature=0.0)
    for prompt, ids, text, logits in zip(prompts, found["ids"], found["greedy"], found["logits"], strict=True):
        normal = tokenizer.encode(tokenizer.normalize(prompt).text)
        assert ids == normal
        assert text == tokenizer.decode(list(modelcraft.stream(model, normal, params)))
        with torch.no_grad():
            ours = model(torch.tensor([normal]))[0][0, -1]
        assert torch.allclose(torch.tensor(logits), ours, atol=2e-4)
    assert found["sampled"].startswith(prompts[0]) and len(found["sampled"]) == len(prompts[0]) + 40

    # What transformers saves is still a model of ours, bit by bit, and so is what was written for it.
    for there in (folder, tmp_path / "again"):
        loaded, again = modelcraft.load(there, "cpu")
        assert again.vocabulary == tokenizer.vocabulary
        assert all(torch.equal(w, model.state_dict()[key]) for key, w in loaded.state_dict().items()), there


def test_a_small_gpt_of_ones_own(tmp_path):
    """Other sizes, another alphabet with accents of its own, and weights in float32."""
    vocabulary = "".join(sorted("\n abcdeéäß"))
    config = GPTConfig(vocab_size=len(vocabulary), block_size=8, n_embd=24, n_layer=2, n_head=3, n_kv_head=1)
    model = spread(GPTLanguageModel(config), std=0.3).eval()
    info = ModelInfo("gpt", config, vocabulary)
    save_folder(tmp_path / "mine", model, info, None, for_transformers=True)
    prompts = ["ab é ä ß cde", "e\u0301à ö\tB"]
    found = theirs(tmp_path / "mine", prompts, 30, tmp_path / "again")
    tokenizer = CharTokenizer(vocabulary)
    for prompt, ids, text in zip(prompts, found["ids"], found["greedy"], strict=True):
        normal = tokenizer.encode(tokenizer.normalize(prompt).text)
        assert ids == normal
        params = modelcraft.SamplingParams(max_new_tokens=30, temperature=0.0)
        if len(normal) <= config.block_size:  # a longer prompt is exact with truncation only: the card says so
            assert text == tokenizer.decode(list(modelcraft.stream(model, normal, params)))


def test_turned_twice_is_not_turned():
    weight = torch.randn(12, 5)
    turned = mirrored("blocks.0.sa.key.weight", weight, 4)
    assert torch.equal(mirrored("blocks.0.sa.key.weight", turned, 4), weight)
    assert torch.equal(turned[[0, 1, 4, 5]], weight[[0, 1, 4, 5]]) and torch.equal(turned[2:4], -weight[2:4])
    assert mirrored("blocks.0.sa.value.weight", weight, 4) is weight
    assert their_name("blocks.11.ffwd.fc.weight") == "model.layers.11.mlp.fc1.weight"


def test_other_rungs_are_refused_and_damage_is_still_found(tmp_path):
    model, _, info = load_folder(WEIGHTS_DIR / "encoder-decoder", "cpu")
    with pytest.raises(ConfigError, match="transformers has no model like the rung encoder-decoder"):
        save_folder(tmp_path / "no", model, info, None, for_transformers=True)
    folder = written_for_transformers(WEIGHTS_DIR / "gpt-mini", tmp_path / "mini")
    config = json.loads((folder / "config.json").read_text())
    assert config["sliding_window"] == 128 and config["rung"] == "gpt-mini"
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.fc1.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks the tensor 'model.layers.1.mlp.fc1.weight'"):
        modelcraft.load(folder, "cpu")
