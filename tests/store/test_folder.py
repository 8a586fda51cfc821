import ast
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from helpers import VOCABULARY, assert_one_sentence, without_rights
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

import modelcraft
from modelcraft.ladder import RUNGS
from modelcraft.store import folder as checkpoint
from modelcraft.store.folder import WEIGHTS_DIR, ModelInfo, load_folder, read_info, save_folder
from modelcraft.support.errors import CheckpointError, HubError

ROOT = Path(__file__).resolve().parents[2]
V = len(VOCABULARY)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def assert_refused(folder: Path, *parts: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_folder(folder, "cpu")
    assert_one_sentence(caught.value, *parts)
    assert len(str(caught.value)) < 1_000


def assert_works_or_is_refused(folder: Path) -> bool:
    """Load `folder`; whatever is in it, there is a model that writes, or one sentence and no other error."""
    try:
        model, tokenizer, _ = load_folder(folder, "cpu")
    except CheckpointError as error:
        assert_one_sentence(error)
        return False
    logits, _ = model(torch.zeros((1, model.block_size), dtype=torch.long))
    assert torch.isfinite(logits).all()
    assert logits.shape[-1] == tokenizer.vocab_size
    return True


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}


def test_a_model_comes_back_bit_for_bit(model_folder, tiny_model):
    model, tokenizer, info = load_folder(model_folder, "cpu")
    saved, loaded = tiny_model.state_dict(), model.state_dict()
    assert set(saved) == set(loaded)
    assert all(torch.equal(saved[n].view(torch.int32), loaded[n].view(torch.int32)) for n in saved)
    assert model.config == tiny_model.config
    assert tokenizer.vocabulary == info.vocabulary == VOCABULARY
    assert info.rung == "bigram"
    assert info.parameters == 119
    assert info.corpus == {"name": "synthetic", "sha256": "0" * 64, "characters": 1_000}
    assert info.training == {"steps": 10, "seed": 1}
    assert info.validation_loss == 2.5
    assert not model.training
    assert all(p.requires_grad for p in model.parameters())


def test_what_is_saved_again_is_the_same_file(model_folder, tmp_path):
    model, _, info = load_folder(model_folder, "cpu")
    save_folder(tmp_path / "again", model, info, "# A card\n")
    names = {"config.json", "model.safetensors", "README.md"}
    assert {p.name for p in (tmp_path / "again").iterdir()} == names
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (model_folder / name).read_bytes()


def test_a_config_is_readable_json(described):
    config = described.read()
    assert config["format"] == "modelcraft-1"
    assert config["parameters"] == 119
    assert config["config"] == {"vocab_size": V, "block_size": 4, "n_embd": 5}
    assert described.path.read_bytes().endswith(b"}\n")


def test_training_on_does_not_change_the_file(model_folder):
    before = (model_folder / "model.safetensors").read_bytes()
    model, _, _ = load_folder(model_folder, "cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (model_folder / "model.safetensors").read_bytes() == before


def test_every_bundled_model_loads_by_its_name():
    for name in (name for name, rung in RUNGS.items() if rung.bundled):
        model, tokenizer = modelcraft.load(name, device="cpu")
        assert model.config.vocab_size == tokenizer.vocab_size == 65
        assert read_info(WEIGHTS_DIR / name).rung == name
        assert (WEIGHTS_DIR / name / "model.safetensors").stat().st_size < 10_000_000


def test_a_folder_loads_by_its_path(model_folder, monkeypatch):
    for source in (model_folder, str(model_folder)):
        assert modelcraft.load(source, device="cpu")[1].vocabulary == VOCABULARY
    monkeypatch.chdir(model_folder.parent)
    assert modelcraft.load("tiny", device="cpu")[0].block_size == 4


def test_a_repository_is_pulled(model_folder, monkeypatch):
    from modelcraft.store import hub_client

    asked = []
    monkeypatch.setattr(hub_client, "pull", lambda *arguments: (asked.append(arguments), model_folder)[1])
    modelcraft.load("me/model", device="cpu")
    modelcraft.load("me/model@v1", device="cpu")
    modelcraft.load("me/model@v1", device="cpu", revision="v2")
    assert asked == [("me/model", None), ("me/model", "v1"), ("me/model", "v2")]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("nonsense", f"There is no model 'nonsense'; name a rung ({', '.join(RUNGS)}), a model folder"),
        ("a b", "There is no model 'a b'"),
        ("a/b/c", "There is no model"),
        ("a\0b", "There is no model"),
        ("", ""),
        (Path("no/such/folder"), "There is no model folder 'no/such/folder'"),
        (Path("a\0b"), ""),
        ("~no-such-user-here/model", "no-such-user-here"),
        pytest.param("a" * 5_000, "", id="long"),
        pytest.param(Path("a" * 5_000), "", id="long path"),
    ],
)
def test_there_is_no_such_model(tmp_path, monkeypatch, source, part):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((CheckpointError, HubError)) as caught:
        modelcraft.load(source)
    assert_one_sentence(caught.value, part)


def test_a_file_is_no_folder(model_folder):
    assert_refused(model_folder / "README.md", "README.md")


def test_a_folder_without_a_model(tmp_path):
    assert_refused(tmp_path, "config.json is missing")
    (tmp_path / "training_state.safetensors").touch()
    assert_refused(tmp_path, "--resume")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_and_a_folder_in_its_place(model_folder, name):
    (model_folder / name).unlink()
    assert_refused(model_folder, "missing")
    (model_folder / name).mkdir()
    assert_refused(model_folder, name)


@pytest.mark.cases
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "."])
def test_what_may_not_be_read_is_said_as_such(model_folder, name):
    (model_folder / name).chmod(0)
    with without_rights(model_folder.parent):
        assert_refused(model_folder, "cannot be read (Permission denied)")
        with pytest.raises(CheckpointError, match="Permission denied"):
            modelcraft.load(str(model_folder))
    (model_folder / name).chmod(0o755)


# ---------------------------------------------------------------- the weights


@pytest.mark.cases
def test_a_pointer_in_place_of_the_weights(model_folder):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (model_folder / "model.safetensors").write_text(pointer)
    assert_refused(model_folder, "is a pointer of git-lfs", "run `git lfs pull`")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda w: w.pop("lm_head.bias"), "lacks the tensor 'lm_head.bias'"),
        (lambda w: w.update(extra=torch.zeros(1)), "has a tensor 'extra'"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(V + 1)}), f"has the shape ({V + 1},)"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(V, 1)}), f"has the shape ({V}, 1)"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(())}), "has the shape ()"),
        (lambda w: w.update({"lm_head.weight": w["lm_head.weight"].T.contiguous()}), f"has the shape (5, {V})"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(V, dtype=torch.int32)}), "stored as I32"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(V, dtype=torch.bool)}), "stored as BOOL"),
        (lambda w: w.update({"lm_head.bias": torch.zeros(V, dtype=torch.float64)}), "stored as F64"),
        (lambda w: w["lm_head.bias"].fill_(torch.nan), "NaN or infinity"),
        (lambda w: w["lm_head.weight"][2].fill_(-torch.inf), "NaN or infinity"),
        (lambda w: w.clear(), "lacks the tensor"),
    ],
    ids=[
        *("missing", "extra", "longer", "deeper", "scalar", "transposed"),
        *("int", "bool", "double", "NaN", "infinity", "none"),
    ],
)
def test_weights_must_be_the_models(model_folder, change, part):
    weights = tensors(model_folder)
    change(weights)
    save_file(weights, model_folder / "model.safetensors")
    assert_refused(model_folder, part)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_may_be_stored_in_half_the_space(model_folder, dtype):
    halved = {name: tensor.to(dtype) for name, tensor in tensors(model_folder).items()}
    save_file(halved, model_folder / "model.safetensors")
    loaded = load_folder(model_folder, "cpu")[0].state_dict()
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, halved[name].float())


def test_a_file_that_is_cut_anywhere_is_refused(model_folder):
    path = model_folder / "model.safetensors"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert_refused(model_folder, "damaged or cut short")
    path.write_bytes(whole + b"\0")
    assert_refused(model_folder, "damaged")
    path.write_bytes(whole)
    assert assert_works_or_is_refused(model_folder)


@given(data=st.data())
def test_a_header_that_is_corrupted_anywhere(model_folder, data):
    path = model_folder / "model.safetensors"
    if not (model_folder / "whole").exists():
        (model_folder / "whole").write_bytes(path.read_bytes())
    raw = bytearray((model_folder / "whole").read_bytes())
    (length,) = struct.unpack("<Q", raw[:8])
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 7 + length))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    assert_works_or_is_refused(model_folder)


@given(change=st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), JSON, min_size=1))
def test_a_header_that_says_something_else(model_folder, change):
    path = model_folder / "model.safetensors"
    if not (model_folder / "whole").exists():
        (model_folder / "whole").write_bytes(path.read_bytes())
    raw = (model_folder / "whole").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header["lm_head.bias"] |= change
    written = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(written)) + written + raw[8 + length :])
    assert_works_or_is_refused(model_folder)


# ---------------------------------------------------------------- the config


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda c: c.update(surprise=1), "unknown key 'surprise'"),
        (lambda c: c["config"].update(n_wings=1), "no setting 'n_wings'"),
        *[(lambda c, k=k: c.pop(k), f"the key {k!r} is missing") for k in ("format", "rung", "vocabulary", "losses")],
        (lambda c: c["config"].pop("n_embd"), "the setting 'n_embd' is missing"),
        (lambda c: c.update(format="modelcraft-9"), "its format is 'modelcraft-9'"),
        (lambda c: c.update(rung="gpt-9"), "there is no rung 'gpt-9'"),
        (lambda c: c.update(rung=["bigram"]), "There is no rung"),
        (lambda c: c.update(config=[]), "'config' is not an object"),
        (lambda c: c.update(losses=None), "'losses' is not an object"),
        *[
            (lambda c, n=n: c.update(parameters=n), "'parameters' is not a number of parameters")
            for n in (None, "119", 1.5, True, -1, 10**400)
        ],
        (lambda c: c.update(vocabulary="ba" + VOCABULARY[2:]), "ascending"),
        (lambda c: c.update(vocabulary=VOCABULARY[0] + VOCABULARY[:-1]), "each character once"),
        (lambda c: c.update(vocabulary=VOCABULARY[:-1]), "does not have the 9 characters"),
        (lambda c: c.update(vocabulary=VOCABULARY + "h"), "does not have the 9 characters"),
        (lambda c: c.update(vocabulary=list(VOCABULARY)), "does not have the 9 characters"),
        (lambda c: c.update(vocabulary=VOCABULARY[:-1] + "\ud800"), "half a surrogate pair"),
        (lambda c: c["corpus"].update(name="\udfff"), "half a surrogate pair"),
        (lambda c: c["config"].update(block_size=5), "has the shape"),
    ],
)
def test_a_config_must_be_the_models(model_folder, described, change, part):
    config = described.read()
    change(config)
    described.write(config)
    assert_refused(model_folder, part)


@pytest.mark.cases
@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(surprise=1),
        lambda c: c.update(format="modelcraft-9", surprise=1),
        lambda c: c.update(rung="gpt-9"),
        lambda c: c["config"].update(n_wings=1),
    ],
    ids=["key", "format", "rung", "setting"],
)
def test_what_a_newer_version_may_have_made_says_to_update(model_folder, described, change):
    config = described.read()
    change(config)
    described.write(config)
    assert_refused(model_folder, "if a newer version made it, update ModelCraft")


@pytest.mark.parametrize(
    "size", [True, 4.0, "4", None, [4], {}, 0, -4, 1.5, 10**30, pytest.param("x" * 10**6, id="long")]
)
@pytest.mark.parametrize("name", ["vocab_size", "block_size", "n_embd"])
def test_a_size_is_a_whole_number(model_folder, described, name, size):
    config = described.read()
    config["config"][name] = size
    described.write(config)
    assert_refused(model_folder, f"{name} must be a whole number")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "1", '"x"', "{}", "NaN", '{"a": NaN}', "\ufeff{}", "{'a': 1}", "\0"),
        pytest.param("[" * 100_000, id="deep list"),
        pytest.param('{"a":' * 100_000, id="deep object"),
        pytest.param("1" * 10_000, id="long number"),
        pytest.param(" " * (checkpoint.MAX_CONFIG_BYTES + 1), id="too large"),
    ],
)
def test_what_is_no_config(model_folder, described, text):
    described.path.write_text(text, encoding="utf-8")
    assert_refused(model_folder, "config.json")


def test_bytes_that_are_no_text(model_folder, described):
    described.path.write_bytes(b'{"format": "\xff\xfe"}')
    assert_refused(model_folder, "not valid JSON")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_loss_is_a_number(model_folder, described, number):
    described.path.write_text(described.path.read_text().replace("2.5,", f"{number},"))
    assert number in described.path.read_text()
    assert_refused(model_folder, "not valid JSON")


@pytest.mark.parametrize("key", ["format", "rung", "config", "vocabulary", "corpus", "training", "losses", "n_embd"])
def test_values_that_are_nested_as_deep_as_json_goes(model_folder, described, key):
    config = described.read()
    (config["config"] if key == "n_embd" else config)[key] = "@"
    text = json.dumps(config)
    for depth in [*range(1, 1_000, 97), *range(900, 1_010)]:
        described.path.write_text(text.replace('"@"', "[" * depth + "]" * depth))
        assert_refused(model_folder)


@given(data=st.data())
def test_a_config_that_is_corrupted_anywhere(model_folder, described, data):
    if not (model_folder / "whole").exists():
        (model_folder / "whole").write_bytes(described.path.read_bytes())
    raw = bytearray((model_folder / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place, byte = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 255))
        raw[place : place + data.draw(st.integers(0, 2))] = bytes([byte])
    described.path.write_bytes(raw)
    assert_works_or_is_refused(model_folder)


@given(data=st.data())
def test_a_config_with_any_other_value(model_folder, described, data):
    if not (model_folder / "whole").exists():
        (model_folder / "whole").write_bytes(described.path.read_bytes())
    config = json.loads((model_folder / "whole").read_text())
    where = data.draw(st.sampled_from([config, config["config"], config["losses"]]))
    where[data.draw(st.sampled_from(sorted(where)) | st.text(max_size=5))] = data.draw(JSON)
    described.write(config)
    assert_works_or_is_refused(model_folder)


class Allocations(TorchDispatchMode):
    """Remembers the largest tensor that is made anywhere but on `meta`."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not made.is_meta:
            self.largest = max(self.largest, made.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize(
    ("sizes", "part"),
    [
        ({"n_embd": 1_000_000, "block_size": 1_000_000}, "the model would take 3,725 GiB"),
        ({"n_embd": 1_000_000, "block_size": 600}, "the model would take 2 GiB"),
        ({"n_embd": 1_000_000, "block_size": 500}, "has the shape"),  # 1.9 GiB: allowed, but not what the weights are
        ({"vocab_size": 1_000_000, "n_embd": 1_000}, "vocabulary does not have"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(model_folder, described, sizes, part):
    config = described.read()
    config["config"].update(sizes)
    described.write(config)
    with Allocations() as allocations:
        assert_refused(model_folder, part.replace("3,725", f"{4 * (10**12 + 18 * 10**6) / 2**30:,.0f}"))
    assert allocations.largest < 10_000


def test_the_allocations_of_a_good_model_are_seen(model_folder):
    """The test above would be worthless if nothing were ever counted."""
    with Allocations() as allocations:
        load_folder(model_folder, "cpu")
    assert allocations.largest >= V * 5 * 4


def test_a_loss_that_was_not_measured_is_none(tiny_model):
    info = ModelInfo("bigram", tiny_model.config, VOCABULARY)
    assert info.validation_loss is None


def test_a_save_that_fails_leaves_the_old_model(model_folder, tiny_model, monkeypatch):
    before = {p.name: p.read_bytes() for p in model_folder.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    info = read_info(model_folder)
    with pytest.raises(OSError):
        save_folder(model_folder, tiny_model, info, "# Another card\n")
    assert {p.name: p.read_bytes() for p in model_folder.iterdir()} == before


def test_nothing_is_ever_pickled():
    sources = [ROOT / "app.py", *(ROOT / "modelcraft").rglob("*.py")]
    assert len(sources) > 10
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            for name in names:
                assert name.split(".")[0] not in {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}, (
                    source
                )
                assert name not in {"torch.load", "torch.save", "np.load", "numpy.load", "torch.jit.load"}, source


def test_loading_needs_no_right_to_write(model_folder):
    for path in model_folder.iterdir():
        path.chmod(0o444)
    model_folder.chmod(0o555)
    try:
        assert assert_works_or_is_refused(model_folder)
        assert sorted(os.listdir(model_folder)) == ["README.md", "config.json", "model.safetensors"]  # noqa: PTH208
    finally:
        model_folder.chmod(0o755)


@pytest.mark.cases
@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_ordinary_file_is_refused_at_once(model_folder, name, kind):
    path = model_folder / name
    path.unlink()
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    with pytest.raises(CheckpointError, match="it is no ordinary file") as refused:
        load_folder(model_folder, "cpu")
    assert_one_sentence(refused.value)
