"""The command that writes a GPT for other programs: what each of them gets is the same model."""

import json
import sys
from pathlib import Path

import pytest
import torch
from helpers import spread

import modelcraft
from modelcraft.export import export
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.store.folder import ModelInfo, save_folder
from modelcraft.support.cli import run
from modelcraft.tokenizer import CharTokenizer

VOCABULARY = "\n abcde"
CONFIG = GPTConfig(vocab_size=len(VOCABULARY), block_size=8, n_embd=16, n_layer=2, n_head=4, n_kv_head=2)


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "mine"
    save_folder(folder, spread(GPTLanguageModel(CONFIG), std=0.3), ModelInfo("gpt", CONFIG, VOCABULARY), "# A card\n")
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["export", *options])
        with pytest.raises(SystemExit) as left:
            run(export)
        out, err = capsys.readouterr()
        return left.value.code, out + err

    return call


def test_onnxruntime_writes_the_same_text(tmp_path, trained, command):
    """Step by step with its past, far beyond the context."""
    np, ort = pytest.importorskip("numpy"), pytest.importorskip("onnxruntime")
    code, said = command(str(trained), "--to", "onnx", "--out", str(tmp_path / "out"))
    assert code == 0 and "onnx/model.onnx" in said and "warning" not in said.lower(), said
    session = ort.InferenceSession(str(tmp_path / "out" / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs, outputs = ([one.name for one in part] for part in (session.get_inputs(), session.get_outputs()))
    assert outputs == ["logits", *(f"present.{layer}.{part}" for layer in (0, 1) for part in ("key", "value"))]
    past = [name for name in inputs if name.startswith("past_key_values.")]
    assert len(past) == 4
    ids = CharTokenizer(VOCABULARY).encode("a bead\n")
    known = {name: np.zeros((1, CONFIG.n_kv_head, 0, CONFIG.head_size), np.float32) for name in past}
    written, read, fresh = [], 0, ids
    for _ in range(40):
        given = {"input_ids": np.array([fresh]), "position_ids": np.arange(read, read + len(fresh))[None], **known}
        read += len(fresh)
        given["attention_mask"] = np.ones((1, read), np.int64)
        logits, *present = session.run(None, {name: given[name] for name in inputs})
        known = dict(zip(past, present, strict=True))
        assert present[0].shape[2] == min(read, CONFIG.block_size - 1)  # no more than the context is kept
        fresh = [int(logits[0, -1].argmax())]
        written += fresh
    model, _ = modelcraft.load(trained, "cpu")
    params = modelcraft.SamplingParams(max_new_tokens=40, temperature=0.0)
    assert written == list(modelcraft.stream(model, ids, params))


def test_a_folder_for_transformers_is_a_model_folder_too(tmp_path, trained, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = command(str(trained))
    assert code == 0 and "runs/mine-transformers/" in said
    folder = Path("runs/mine-transformers")
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "model.safetensors", "README.md", "tokenizer.json", "tokenizer_config.json"} | {
        "generation_config.json"
    }
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["NanoChatForCausalLM"]
    assert "transformers" in (folder / "README.md").read_text()
    first, again = (modelcraft.load(one, "cpu")[0].state_dict() for one in (trained, folder))
    assert all(torch.equal(first[name].bfloat16(), again[name].bfloat16()) for name in first)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["bigram"], "transformers has no model like the rung bigram"),
        (["encoder-decoder", "--to", "onnx"], "transformers has no model like the rung encoder-decoder"),
        (["nowhere"], "There is no model 'nowhere'"),
        (["gpt-mini", "--to", "tensorflow"], "transformers"),
        (["gpt-mini", "--out", "{full}"], "is not empty; name another folder with --out"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(tmp_path, command, options, says):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    code, said = command(*(option.replace("{full}", str(tmp_path / "full")) for option in options))
    assert code == 1 and says in said and len(said.strip().splitlines()) == 1, said
