"""What the views are fed with is what the model computes."""

import pytest
import torch
from helpers import spread

from modelcraft.attention import AveragingLanguageModel, Head, HeadLanguageModel, MultiHeadLanguageModel
from modelcraft.bigram import BigramConfig
from modelcraft.errors import VocabularyError
from modelcraft.gpt import GPTConfig, GPTLanguageModel, SelfAttention
from modelcraft.inside import look_inside
from modelcraft.ladder import RUNGS
from modelcraft.seq2seq import Attention, EncoderDecoder, EncoderDecoderConfig
from modelcraft.transformer import BlockLanguageModel

SIZES = {"vocab_size": 9, "block_size": 8, "n_embd": 16}
MODELS = {
    "head": (HeadLanguageModel, RUNGS["head"], 1),
    "multihead": (MultiHeadLanguageModel, RUNGS["multihead"], 4),
    "block": (BlockLanguageModel, RUNGS["block"], 3 * 4),
    "gpt": (GPTLanguageModel, RUNGS["gpt"], 6 * 2),
}


def ids(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(9, (length,), generator=torch.Generator().manual_seed(seed))


def made(name: str):
    model_class, rung, heads = MODELS[name]
    more = {"n_head": 2, "n_kv_head": 1} if name == "gpt" else {}
    return spread(model_class(rung.configure({**vars(rung.config), **SIZES, **more})), std=0.4).eval(), heads


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [1, 5, 8, 13])
def test_one_pass_gives_the_logits_and_every_head(name, length):
    model, heads = made(name)
    inside = look_inside(model, ids(length))
    T = min(length, 8)  # noqa: N806
    assert torch.equal(inside.ids, ids(length)[-8:])
    torch.testing.assert_close(inside.logits, model(ids(length)[None, -8:])[0][0])
    assert len(inside.heads) == heads
    for view in inside.heads:
        wei = view.weights()
        assert wei.shape == (T, T)
        torch.testing.assert_close(wei.sum(-1), torch.ones(T))
        assert (wei.triu(1) == 0).all()
    assert len({(view.part, view.layer, view.head) for view in inside.heads}) == heads
    assert not any(module._forward_pre_hooks for module in model.modules())  # nothing stays behind


def test_the_weights_are_those_that_gather():
    """From the weights and the values follows what a layer gives out."""
    model, _ = made("head")
    head, seen = model.sa_head, []
    head.register_forward_hook(lambda module, inputs, out: seen.append((inputs[0], out)))
    view = look_inside(model, ids(7)).head("self", 0, 0)
    (x, out), *_ = seen
    torch.testing.assert_close(view.weights() @ head.value(x)[0], out[0])
    assert isinstance(head, Head)

    model, _ = made("gpt")
    seen.clear()
    layer = model.blocks[3].sa
    layer.register_forward_hook(lambda module, inputs, out: seen.append((inputs, out)))
    inside = look_inside(model, ids(8))
    (inputs, out), *_ = seen
    _, _, v = layer.project(*inputs[:3])  # (1, 1, T, hs): both heads share it
    gathered = torch.cat([inside.head("self", 3, head).weights() @ v[0, 0] for head in range(2)], dim=-1)
    torch.testing.assert_close(layer.proj(gathered), out[0])
    assert isinstance(layer, SelfAttention)


def test_an_encoder_decoder_shows_three_kinds_of_looking():
    config = EncoderDecoderConfig(vocab_size=9, block_size=8, n_embd=16, n_head=2, n_layer=2)
    model = spread(EncoderDecoder(config), std=0.4).eval()
    seen = []
    layer = model.blocks[1].ca
    layer.register_forward_hook(lambda module, inputs, out: seen.append((inputs, out)))
    inside = look_inside(model, ids(6), source=ids(5, seed=1))
    torch.testing.assert_close(inside.logits, model(ids(6)[None], source=ids(5, seed=1)[None])[0][0])
    shapes = {(view.part, tuple(view.scores.shape)) for view in inside.heads}
    assert shapes == {("encoder", (6, 6)), ("self", (6, 6)), ("cross", (6, 6))}  # a newline goes before the speech
    assert len(inside.heads) == 3 * 2 * 2
    (inputs, out), *_ = seen
    v = inputs[2][0]  # (nh, S, hs)
    gathered = torch.cat([inside.head("cross", 1, head).weights() @ v[head] for head in range(2)], dim=-1)
    torch.testing.assert_close(layer.proj(gathered), out[0])
    assert isinstance(layer, Attention)
    assert (inside.head("encoder", 0, 0).weights() > 0).all()


def test_scaling_and_mask_can_be_switched_off():
    model, _ = made("multihead")
    view = look_inside(model, ids(8)).head("self", 0, 2)
    torch.testing.assert_close(view.weights(scaled=False, masked=False), view.scores.softmax(-1))
    assert (view.weights(masked=False) > 0).all()
    sharper = view.weights(scaled=False).amax(-1)
    assert (sharper[1:] >= view.weights().amax(-1)[1:]).all()


def test_averaging_gives_all_the_same():
    model = spread(AveragingLanguageModel(BigramConfig(**SIZES))).eval()
    wei = look_inside(model, ids(4)).head("self", 0, 0).weights()
    torch.testing.assert_close(wei[3], torch.full((4,), 0.25))
    torch.testing.assert_close(wei[1, :2], torch.full((2,), 0.5))


def test_the_band_is_seen():
    model = spread(GPTLanguageModel(GPTConfig(9, 8, 16, 1, 2, 1))).eval()
    assert look_inside(model, ids(20)).logits.shape == (8, 9)


def test_who_has_no_heads_shows_none():
    rung = RUNGS["bigram"]
    model = spread(rung.build(rung.configure({**vars(rung.config), **SIZES})))
    inside = look_inside(model, ids(4))
    assert inside.heads == [] and inside.head("self", 0, 0) is None
    with pytest.raises(VocabularyError):
        look_inside(model, torch.tensor([9]))
