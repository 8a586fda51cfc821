"""The GPT as ONNX, for onnxruntime and Transformers.js: the next step of a text, with its past as inputs and outputs.

The names of the inputs and outputs are those that Transformers.js expects of a text model. The past (keys and values,
B × n_kv × S × hs for each layer) never holds more than the context, so a text goes on without end and is exact.

Needs the packages onnx and onnxscript.
"""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from modelcraft.gpt import GPTLanguageModel, norm
from modelcraft.support.errors import ConfigError
from modelcraft.support.files import replacing

OPSET = 20


class Step(nn.Module):
    """The GPT's forward with its past given: returns the logits (B, T, V) and the past of the next step."""

    def __init__(self, model: GPTLanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Read (B, T) more characters at `position_ids` (B, T) after S known ones; `attention_mask` is not used."""
        model, longest = self.model, self.model.block_size
        T, S = input_ids.shape[1], past[0].shape[2]
        apart = torch.arange(S, S + T)[:, None] - torch.arange(S + T)  # (T, S+T): how far back each key lies
        visible = (apart >= 0) & (apart < longest)
        cos, sin = model.angles(position_ids)  # (B, T, 1, hs/2)
        x = model.embed(input_ids)  # (B, T, C)
        present = []
        for block, keys, values in zip(model.blocks, past[::2], past[1::2], strict=True):
            k, v = block.sa.offer(norm(x), cos, sin)  # (B, n_kv, T, hs) each
            k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)  # (B, n_kv, S+T, hs)
            x = x + block.sa.gather(block.sa.ask(norm(x), cos, sin), k, v, visible)
            x = x + block.ffwd(norm(x))
            present += [k[:, :, 1 - longest :], v[:, :, 1 - longest :]]
        return model.score(x), *present


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Let the exporter tell nobody of its progress, nor of packages that it does without."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def save_onnx(model: GPTLanguageModel, path: Path) -> None:
    """Write `model` to `path` in one file, in float32; raise ConfigError if a package for it is missing."""
    try:
        importlib.import_module("onnxscript")  # torch.onnx needs it
    except ImportError as error:
        raise ConfigError("ONNX needs two packages more; install them with `pip install onnx onnxscript`.") from error
    c = model.config
    B, T, S = 1, 3, 5  # an example; T and S are free
    past = [torch.zeros(B, c.n_kv_head, S, c.head_size) for _ in range(2 * c.n_layer)]
    ids = torch.zeros(B, T, dtype=torch.long)
    example = (ids, torch.ones(B, S + T, dtype=torch.long), torch.arange(S, S + T)[None], past)
    layers = [f"{i}.{part}" for i in range(c.n_layer) for part in ("key", "value")]
    free = torch.export.Dim.DYNAMIC
    with _silently():
        program = torch.onnx.export(
            Step(model).eval(),
            example,
            dynamo=True,
            input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{n}" for n in layers)],
            output_names=["logits", *(f"present.{n}" for n in layers)],
            dynamic_shapes=({1: free}, {1: free}, {1: free}, [{2: free}] * len(past)),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    with replacing(path) as aside:
        program.save(str(aside), external_data=False)
