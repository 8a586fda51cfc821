"""The state of a training in one file: a description in JSON, all tensors, and a digest of both."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from modelcraft.store.folder import STATE_FILE, why_unread
from modelcraft.support.errors import CheckpointError
from modelcraft.support.files import check_is_file
from modelcraft.training.recipes import TrainConfig

STATE_FORMAT = "modelcraft-training-4"
STATE_KEYS: Mapping[str, type | tuple[type, ...]] = {  # the keys of the description, besides the format
    "about": dict,
    "config": dict,
    "step": int,
    "seconds": (int, float),
    "characters": int,
    "bf16": bool,
    "records": list,
    "optimizers": list,
}
AFRESH = "start again without --resume"


def read_state(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the description and the tensors of a training state, or raise CheckpointError."""
    with _opened_state(folder) as (described, tensors):
        # Copies: Windows cannot replace a file that is still mapped, and the run replaces this one.
        return described, {name: tensor.clone() for name, tensor in tensors.items()}


def describe_state(folder: Path) -> dict[str, Any]:
    """Return only the description of a training state, or raise CheckpointError."""
    with _opened_state(folder) as (described, _):
        return described


@contextlib.contextmanager
def _opened_state(folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    path = folder / STATE_FILE
    try:
        check_is_file(path)
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            described = json.loads(metadata["training"])
            _check_state(described, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            if metadata["sha256"] != digest(metadata["training"], tensors):
                raise ValueError("a bit of it is another")
            yield described, tensors
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        missing = f"There is no training to resume in {str(folder)!r}; leave --resume out to start one."
        raise CheckpointError(why_unread(path, missing, AFRESH)) from error


def digest(training: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the description and the tensors of a training state; any other bit changes it."""
    found = hashlib.sha256(training.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        found.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _check_state(described: Any, path: Path) -> None:
    """Raise CheckpointError if another version wrote this, ValueError if it is not a state's description."""
    if not isinstance(described, dict):
        raise ValueError("it is no object")
    another = CheckpointError(f"{str(path)!r} was written by another version; {AFRESH}.")
    if described.get("format") != STATE_FORMAT:
        raise another
    for key, kind in STATE_KEYS.items():
        if not isinstance(described[key], kind):
            raise ValueError(f"{key} is of another kind")
    if set(described["config"]) - set(TrainConfig.__dataclass_fields__):
        raise another


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
