"""The ladder: every rung by its name, with what it adds and what it consists of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from modelcraft.averaging import AveragingConfig, AveragingLanguageModel
from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.blend import BlendConfig, BlendLanguageModel
from modelcraft.block import BlockLanguageModel
from modelcraft.counting import CountingConfig, CountingLanguageModel
from modelcraft.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from modelcraft.feedforward import FeedForwardLanguageModel
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.head import HeadConfig, HeadLanguageModel
from modelcraft.model import LanguageModel, ModelConfig, seeded
from modelcraft.multihead import MultiHeadConfig, MultiHeadLanguageModel
from modelcraft.residual import BlockConfig, ResidualLanguageModel
from modelcraft.support.errors import ConfigError, is_plain, shown

MAX_BYTES = 2 << 30  # of memory for one model


@dataclass(frozen=True)
class Rung:
    """One rung: `model_class(config)` makes the model, and `below` names the best rung to compare it with.

    `stored_as` is the type of its floats on disk, `bundled` says whether `weights/` has it, and `parts` names the rungs
    that it consists of.
    """

    name: str
    adds: str
    model_class: type[Any]
    config: ModelConfig
    below: str | None = None
    stored_as: torch.dtype = torch.float32
    bundled: bool = True
    parts: tuple[str, ...] = ()

    def configure(self, settings: Mapping[str, Any]) -> ModelConfig:
        """Return a config of this rung's type with `settings`; raise ConfigError for an unknown setting."""
        known = self.config.__dataclass_fields__
        if unknown := sorted(set(settings) - set(known)):
            raise ConfigError(f"The rung {self.name!r} has no setting {shown(unknown[0])}; it has {', '.join(known)}.")
        return type(self.config)(**settings)

    def check_size(self, config: ModelConfig) -> None:
        """Raise ConfigError if a model of these sizes would need more than MAX_BYTES, before it is made."""
        # On `meta` a model of any size costs nothing, so its memory can be counted before it is made.
        if (size := memory_of(self.build(config, device="meta"))) > MAX_BYTES:
            raise ConfigError(
                f"the model would take {size / 2**30:,.0f} GiB, and {MAX_BYTES >> 30} is the limit; make it smaller."
            )

    def build(
        self,
        config: ModelConfig,
        device: torch.device | str = "cpu",
        seed: int = 1337,
        parts: Sequence[LanguageModel] = (),
    ) -> LanguageModel:
        """Make the untrained model; the same seed gives the same numbers on every device.

        `parts` are the trained models that it consists of, if any. On the device `meta` nothing is allocated, which
        allows checking a config before trusting it.
        """
        if torch.device(device).type == "meta":
            with torch.device("meta"), _NoInit():
                model: LanguageModel = self.model_class(config, *parts)
            return model
        with seeded(seed):
            model = self.model_class(config, *parts)
        return model.to(device)


def memory_of(model: LanguageModel) -> int:
    """Return the least number of bytes that a model needs while it generates one text.

    These are its weights and masks (the GPT needs its weights twice: its steps use a second layout), the keys and
    values of a whole context, and, unless it reads each character alone, each head's weights for all character pairs.
    """
    looks_alone = type(model) in (BigramLanguageModel, CountingLanguageModel)
    heads = 0 if looks_alone else getattr(model.config, "n_head", 1)
    kept = [*model.parameters(), *model.buffers()]
    if isinstance(model, GPTLanguageModel):
        kept += model.parameters()
    size = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    width = getattr(model.config, "n_layer", 0) * getattr(model.config, "n_embd", 0)
    past = 2 * width * model.block_size  # keys and values
    return size + 4 * (past + heads * model.block_size**2)


class _NoInit(TorchFunctionMode):
    """Skips `torch.nn.init`: on `meta` there is nothing to fill, and the first call would cost a second of imports."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


RUNGS: Mapping[str, Rung] = {
    rung.name: rung
    for rung in (
        Rung(
            name="counting",
            adds="how often each character followed the six before it (Kneser–Ney)",
            model_class=CountingLanguageModel,
            config=CountingConfig(),
        ),
        Rung(
            name="bigram",
            adds="a table of what follows each character, learned by gradient",
            model_class=BigramLanguageModel,
            config=BigramConfig(),
        ),
        Rung(
            name="averaging",
            adds="the past, every character of it with the same weight",
            below="bigram",
            model_class=AveragingLanguageModel,
            config=AveragingConfig(),
        ),
        Rung(
            name="head",
            adds="weights that depend on what is there: one head of self-attention",
            below="averaging",
            model_class=HeadLanguageModel,
            config=HeadConfig(),
        ),
        Rung(
            name="multihead",
            adds="several heads side by side, and a projection",
            below="head",
            model_class=MultiHeadLanguageModel,
            config=MultiHeadConfig(),
        ),
        Rung(
            name="feedforward",
            adds="thinking on what was gathered",
            below="multihead",
            model_class=FeedForwardLanguageModel,
            config=MultiHeadConfig(),
        ),
        Rung(
            name="residual",
            adds="residual paths, so that three blocks can follow each other",
            below="feedforward",
            model_class=ResidualLanguageModel,
            config=BlockConfig(),
        ),
        Rung(
            name="block",
            adds="layer norm: the transformer block",
            below="residual",
            model_class=BlockLanguageModel,
            config=BlockConfig(),
        ),
        Rung(
            name="gpt-mini",
            adds="a GPT, small enough to train in a minute and a half",
            below="block",
            model_class=GPTLanguageModel,
            config=GPTConfig(block_size=128, n_embd=128, n_layer=4, n_head=4, n_kv_head=2, dropout=0.0, noise=0.0),
            stored_as=torch.bfloat16,
        ),
        Rung(
            name="gpt",
            adds="the block repeated, with what the years since GPT-2 found out",
            below="gpt-mini",
            model_class=GPTLanguageModel,
            config=GPTConfig(),
            stored_as=torch.bfloat16,
        ),
        Rung(
            name="encoder-decoder",
            adds="a second text: the encoder reads a line without its vowels, the decoder writes it whole",
            below="gpt",
            model_class=EncoderDecoder,
            config=EncoderDecoderConfig(),
            stored_as=torch.bfloat16,
        ),
        Rung(
            name="blend",
            adds="what counting remembers, mixed into what the GPT learned",
            below="gpt",
            model_class=BlendLanguageModel,
            config=BlendConfig(),
            parts=("gpt", "counting"),
        ),
        Rung(
            name="gpt-video",
            adds="the video's last model, 384 wide, six layers: for a GPU",
            below="block",
            model_class=BlockLanguageModel,
            config=BlockConfig(block_size=256, n_embd=384, n_head=6, n_layer=6, dropout=0.2),
            bundled=False,
        ),
    )
}

DEFAULT_RUNG = "gpt"
QUICK_RUNG = "gpt-mini"  # the rung that "train it yourself" trains


def rung_named(name: str) -> Rung:
    """Return the rung `name`; for an unknown name, raise ConfigError, which lists all names."""
    try:
        return RUNGS[name]
    except (KeyError, TypeError):
        named = repr(str(name)[:40]) if is_plain(str(name)) else "of that name"
        raise ConfigError(f"There is no rung {named}; the rungs are {', '.join(RUNGS)}.") from None
