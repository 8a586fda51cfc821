"""A model on disk: a folder with `config.json`, `model.safetensors` and `README.md`, without pickle.

Loading is strict: it checks the config, then checks the header of the weights against the config, and only then
allocates anything.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from modelcraft.gpt import GPTConfig
from modelcraft.ladder import RUNGS, rung_named
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.store import nanochat
from modelcraft.support.device import pick_device
from modelcraft.support.errors import CheckpointError, ConfigError, VocabularyError, shown
from modelcraft.support.files import HOME, INSTALLED, check_is_file, replacing, write_text
from modelcraft.tokenizer import CharTokenizer

FORMAT = "modelcraft-1"
CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
PICTURE_FILE = "loss_curve.png"  # beside them, if there is one
STATE_FILE = "training_state.safetensors"  # beside them, during and after training
TENSORBOARD_DIR = "tensorboard"  # beside them, if the training was tracked there
WEIGHTS_DIR = HOME / "weights"
LFS_POINTER = b"version https://git-lfs"  # the start of a file that git-lfs has not fetched yet
MAX_CONFIG_BYTES = 4 << 20
SNIPPETS, SNIPPET = 4, 40  # how many there are at most, and the most characters of one
WHOLE_NUMBERS = {torch.int64: ("I64",), torch.int32: ("I32", "I16"), torch.int16: ("I16",)}


@dataclass(frozen=True)
class ModelInfo:
    """The content of `config.json`: the model, its training text and settings, and its exact losses."""

    rung: str
    config: ModelConfig
    vocabulary: str
    corpus: dict[str, Any] = field(default_factory=dict)  # name, sha256, characters, snippets
    training: dict[str, Any] = field(default_factory=dict)  # the TrainConfig and the progress
    losses: dict[str, Any] = field(default_factory=dict)  # protocol → ExactLoss on the validation split
    parameters: int | None = field(default=None, compare=False)  # as written there; a loaded model counts its own

    @property
    def quoted_loss(self) -> Mapping[str, Any]:
        """The ExactLoss that is quoted for this rung, as a dict; empty if it was not measured."""
        loss = self.losses.get(rung_named(self.rung).model_class.protocols[0])
        return loss if isinstance(loss, dict) else {}

    @property
    def snippets(self) -> list[str]:
        """How a few lines of the training text begin, for texts to begin with; empty if the config does not say."""
        said = self.corpus.get("snippets")
        given = said if isinstance(said, list) else []
        return [line for line in given[:SNIPPETS] if isinstance(line, str) and 0 < len(line) <= SNIPPET]

    @property
    def validation_loss(self) -> float | None:
        """The exact validation loss in nats per character, if it was measured."""
        loss = self.quoted_loss.get("nats_per_character")
        return loss if isinstance(loss, float) else None


def save_folder(
    folder: Path,
    model: LanguageModel,
    info: ModelInfo,
    card: str | None,
    dtype: torch.dtype = torch.float32,
    for_transformers: bool = False,
) -> None:
    """Write the model folder; each file appears whole or not at all, and `config.json`, its marker, last.

    If `card` is None, the caller writes the card afterwards.
    Floats are stored as `dtype`; round the model to it (`round_to`) before you measure it. A GPT that is written
    `for_transformers` is a model of transformers, too (nanochat.py).
    """
    weights = weights_of(model, dtype)
    theirs: dict[str, Any] = {}
    if for_transformers:
        config = as_gpt(info)
        weights, theirs = nanochat.their_weights(weights, config), nanochat.their_config(config)
        for name, content in nanochat.their_files(info.vocabulary, config).items():
            write_text(folder / name, content)
    with replacing(folder / WEIGHTS_FILE) as aside:
        save_file(weights, aside, metadata={"format": "pt"})
    if card is not None:
        write_text(folder / CARD_FILE, card)
    parameters = {"parameters": model.num_parameters}
    described = {"format": FORMAT} | parameters | asdict(info) | parameters  # twice: for its place, then for its value
    described |= theirs
    write_text(folder / CONFIG_FILE, json.dumps(described, indent=2, ensure_ascii=False) + "\n")


def weights_of(model: LanguageModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors of a model as a file has them: on the CPU, and the floats as `dtype`."""
    # Clones, because safetensors refuses tensors that share memory, such as tied weights.
    return {
        name: tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).clone().contiguous()
        for name, tensor in model.state_dict().items()
    }


def is_gpt(info: ModelInfo) -> bool:
    """Say whether the model is a GPT, which transformers knows; the encoder–decoder's config is a GPT's, too."""
    return type(info.config) is GPTConfig


def as_gpt(info: ModelInfo) -> GPTConfig:
    """Return the config of a GPT; raise ConfigError for another rung."""
    if not is_gpt(info):
        raise ConfigError(
            f"transformers has no model like the rung {info.rung}; the GPTs it has: gpt, gpt-mini and gpt-video."
        )
    assert isinstance(info.config, GPTConfig)
    return info.config


def round_to(model: LanguageModel, dtype: torch.dtype) -> None:
    """Round every weight to a value of `dtype`; the model still computes in float32."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(dtype))


def load_folder(
    folder: Path, device: torch.device | str | None = None
) -> tuple[LanguageModel, CharTokenizer, ModelInfo]:
    """Load a model folder strictly: anything missing, extra, misshapen or absurd raises CheckpointError."""
    info = read_info(folder)
    rung = rung_named(info.rung)
    expected = rung.build(info.config, device="meta").state_dict()
    weights = _read_weights(folder / WEIGHTS_FILE, expected, as_gpt(info) if is_gpt(info) else None)
    # Build the model only after all these checks; building it also makes what is not a weight, such as a mask.
    parts = [part for part, _ in load_parts(rung.parts, folder, info.vocabulary)]
    model = rung.build(info.config, parts=parts)
    model.load_state_dict(weights, strict=True)
    return model.to(pick_device(device)).eval(), CharTokenizer(info.vocabulary), info


def load_parts(names: Sequence[str], folder: Path, vocabulary: str) -> list[tuple[LanguageModel, ModelInfo]]:
    """Load the models `names` that the one in `folder` consists of: those beside it, or else the bundled ones."""
    parts = []
    for name in names:
        beside = folder.resolve().parent / name
        part, tokenizer, info = load_folder(beside if (beside / CONFIG_FILE).exists() else WEIGHTS_DIR / name, "cpu")
        if info.rung != name or tokenizer.vocabulary != vocabulary:
            raise CheckpointError(
                f"{str(folder)!r} needs a {name!r} that knows the same characters; train {name!r} on the same text, "
                f"and put it at {str(beside)!r}."
            )
        parts.append((part, info))
    return parts


def read_info(folder: Path) -> ModelInfo:
    """Read and check `config.json` of a model folder without reading its weights."""
    path = folder / CONFIG_FILE
    try:
        check_is_file(path)
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{str(path)!r} is far too large for a config; get the model again.")
        described = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse, parse_float=_finite)
    except FileNotFoundError as error:
        raise CheckpointError(_no_config(folder)) from error
    except OSError as error:
        raise CheckpointError(_unreadable(path, error)) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{str(path)!r} is not valid JSON; get the model again.") from error
    try:
        return _checked_info(described)
    except (ConfigError, VocabularyError) as error:
        raise CheckpointError(f"{str(path)!r} is not a model's config: {error}") from error


def why_unread(path: Path, missing: str, again: str) -> str:
    """Say why a file of tensors cannot be read: `missing` if it does not exist; `again` helps if it is damaged.

    safetensors calls a file without read permission missing.
    """
    try:
        check_is_file(path)
        with path.open("rb") as file:
            pointer = file.read(len(LFS_POINTER)) == LFS_POINTER
    except FileNotFoundError:
        return missing
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    if pointer:
        fix = "run `git lfs pull` where it is"
        if INSTALLED and path.is_relative_to(WEIGHTS_DIR):
            fix = "install git-lfs, then ModelCraft again (pip install --force-reinstall --no-deps --no-cache-dir)"
        return f"{str(path)!r} is a pointer of git-lfs, not the file itself; {fix}."
    return f"{str(path)!r} is damaged or cut short; {again}."


def _unreadable(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return f"{str(path)!r} cannot be read ({reason}); check the file and its permissions."


def _no_config(folder: Path) -> str:
    if (folder / STATE_FILE).exists():
        return f"{str(folder)!r} holds a training that is not finished; continue it with --resume."
    if not folder.is_dir():
        return f"There is no model folder {str(folder)!r}; train one with `python -m modelcraft.train`."
    return f"{str(folder)!r} is no model folder: {CONFIG_FILE} is missing."


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(written: str) -> float:
    number = float(written)
    return number if math.isfinite(number) else _refuse(written)


def _of_a_newer_version(described: dict[str, Any]) -> str | None:
    """Name something unknown that a newer version may have added: a format, key, rung or rung's setting."""
    if described.get("format", FORMAT) != FORMAT:
        return f"its format is {shown(described['format'])}, and this version reads {FORMAT!r}"
    theirs = described.get("model_type") == nanochat.MODEL_TYPE  # transformers adds keys of its own
    if unknown := [] if theirs else sorted(set(described) - {"format", *ModelInfo.__dataclass_fields__}):
        return f"it has an unknown key {shown(unknown[0])}"
    name, settings = described.get("rung"), described.get("config")
    if not isinstance(name, str) or not isinstance(settings, dict):
        return None
    if name not in RUNGS:
        return f"there is no rung {shown(name)} here"
    unknown = sorted(set(settings) - set(RUNGS[name].config.__dataclass_fields__))
    return f"the rung {name!r} has no setting {shown(unknown[0])}" if unknown else None


def _checked_info(described: Any) -> ModelInfo:
    if not isinstance(described, dict):
        raise ConfigError("it is not an object.")
    try:
        json.dumps(described, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError("it holds half a surrogate pair, which is no character.") from None
    except RecursionError:
        raise ConfigError("it is nested too deeply.") from None
    if newer := _of_a_newer_version(described):
        raise ConfigError(f"{newer}; if a newer version made it, update ModelCraft.")
    if missing := sorted({"format", *ModelInfo.__dataclass_fields__} - set(described)):
        raise ConfigError(f"the key {missing[0]!r} is missing.")
    for key in ("config", "corpus", "training", "losses"):
        if not isinstance(described[key], dict):
            raise ConfigError(f"{key!r} is not an object.")
    parameters = described["parameters"]
    if isinstance(parameters, bool) or not isinstance(parameters, int) or not 0 <= parameters <= 10**12:
        raise ConfigError("'parameters' is not a number of parameters.")
    rung = rung_named(described["rung"])
    if missing := sorted(set(rung.config.__dataclass_fields__) - set(described["config"])):
        raise ConfigError(f"the setting {missing[0]!r} is missing.")
    config = rung.configure(described["config"])
    vocabulary = described["vocabulary"]
    if not isinstance(vocabulary, str) or len(vocabulary) != config.vocab_size:
        raise ConfigError(f"its vocabulary does not have the {config.vocab_size} characters that vocab_size says.")
    CharTokenizer(vocabulary)
    rung.check_size(config)
    return ModelInfo(
        rung.name, config, vocabulary, described["corpus"], described["training"], described["losses"], parameters
    )


def _read_weights(path: Path, expected: Mapping[str, Tensor], gpt: GPTConfig | None) -> dict[str, Tensor]:
    """Read the tensors that a model expects after checking the header; floats become float32 from any stored type.

    Those of a `gpt` may also be stored as transformers has them (nanochat.py).
    """
    try:
        check_is_file(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            names = set(file.keys())
            theirs = gpt is not None and nanochat.EMBEDDING in names
            stored = {name: nanochat.their_name(name) if theirs else name for name in expected}
            if missing := sorted(set(stored.values()) - names):
                raise CheckpointError(f"{str(path)!r} lacks the tensor {missing[0]!r}; get the model again.")
            if extra := sorted(names - set(stored.values())):
                raise CheckpointError(f"{str(path)!r} has a tensor {extra[0]!r} that the model does not know.")
            for name, tensor in expected.items():
                header = file.get_slice(stored[name])
                shape, dtype = tuple(header.get_shape()), header.get_dtype()
                if shape != tuple(tensor.shape):
                    raise CheckpointError(
                        f"{str(path)!r}: the tensor {name!r} has the shape {shape}, and the config says "
                        f"{tuple(tensor.shape)}."
                    )
                if tensor.is_floating_point() and dtype not in ("F32", "BF16", "F16"):
                    raise CheckpointError(f"{str(path)!r}: the tensor {name!r} is stored as {dtype}, not as floats.")
                if not tensor.is_floating_point() and dtype not in WHOLE_NUMBERS.get(tensor.dtype, ()):
                    raise CheckpointError(
                        f"{str(path)!r}: the tensor {name!r} is stored as {dtype}, not as whole numbers."
                    )
            weights = {name: file.get_tensor(stored[name]).to(tensor.dtype) for name, tensor in expected.items()}
            if theirs and gpt is not None:
                weights = {name: nanochat.mirrored(name, tensor, gpt.head_size) for name, tensor in weights.items()}
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        gone = f"The weights {str(path)!r} are missing; get the model again."
        raise CheckpointError(why_unread(path, gone, "get the model again")) from error
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{str(path)!r}: the tensor {name!r} holds NaN or infinity; get the model again.")
    return weights
