"""What is seen inside a forward pass is what happens there."""

import threading

import pytest
import torch
from helpers import spread

from modelcraft.gpt import Attention
from modelcraft.insight.attention import trace_attention
from modelcraft.ladder import RUNGS
from modelcraft.support.errors import VocabularyError

SIZES = {"vocab_size": 9, "block_size": 12, "n_embd": 16}
HEADS = {  # kind → (layers, heads of each)
    "averaging": {"self": (1, 1)},
    "head": {"self": (1, 1)},
    "multihead": {"self": (1, 4)},
    "feedforward": {"self": (1, 4)},
    "residual": {"self": (3, 4)},
    "block": {"self": (3, 4)},
    "encoder-decoder": {"encoder": (4, 4), "decoder": (4, 4), "cross": (4, 4)},
    "gpt": {"self": (6, 4)},
}
IDS, SOURCE = [1, 2, 3, 4, 5, 6, 7], [8, 7, 6, 5]


def small(rung):
    settings = {name: size for name, size in SIZES.items() if name in RUNGS[rung].config.__dataclass_fields__}
    return spread(RUNGS[rung].build(RUNGS[rung].configure(settings))).eval()


@pytest.mark.parametrize("rung", HEADS)
def test_every_head_is_seen_and_the_logits_are_the_models_own(rung):
    model = small(rung)
    trace = trace_attention(model, IDS, SOURCE)
    for kind, (layers, heads) in HEADS[rung].items():
        seen = [(view.layer, view.head) for view in trace.heads if view.kind == kind]
        assert seen == [(layer, head) for layer in range(layers) for head in range(heads)]
    assert len(trace.heads) == sum(layers * heads for layers, heads in HEADS[rung].values())
    idx = torch.tensor([IDS])
    more = {"source": torch.tensor([SOURCE])} if rung == "encoder-decoder" else {}
    torch.testing.assert_close(trace.logits, model(idx, **more)[0][0])
    assert trace.ids.tolist() == IDS


@pytest.mark.parametrize("rung", HEADS)
def test_the_weights_are_shares_and_nobody_looks_where_they_may_not(rung):
    for view in trace_attention(small(rung), IDS, SOURCE).heads:
        weights = view.weights()
        torch.testing.assert_close(weights.sum(-1), torch.ones(len(weights)))
        assert (weights[~view.visible] == 0).all()
        looks_ahead = view.kind in ("encoder", "cross")
        assert bool(view.visible.all()) is looks_ahead
        if not looks_ahead:
            assert view.visible.equal(torch.ones(len(IDS), len(IDS), dtype=torch.bool).tril())
            assert view.logits(masked=False).isfinite().all()
        if rung != "averaging":
            seen = view.visible  # -inf is the same at any scale
            torch.testing.assert_close((view.logits(scaled=False) * view.scale)[seen], view.logits()[seen])
            assert view.scale == pytest.approx((16 if rung == "head" else 4) ** -0.5)
        assert view.logits().isinf().equal(~view.visible)


def test_a_layer_gives_out_what_the_weights_say():
    model = small("multihead")
    given = []
    model.sa_heads.heads[2].register_forward_hook(lambda module, args, out: given.append((module.value(args[0]), out)))
    view = trace_attention(model, IDS).heads[2]
    (value, out), *_ = given
    torch.testing.assert_close(view.weights() @ value[0], out[0])

    model = small("gpt")
    attention = model.blocks[4].sa
    attention.register_forward_hook(
        lambda module, args, out: given.append((module.offer(*args[:3])[1], out)), with_kwargs=False
    )
    views = [view for view in trace_attention(model, IDS).heads if view.layer == 4]
    value, out = given[-1]  # (1, n_kv, T, hs), (1, T, C)
    shared = len(views) // value.shape[1]
    gathered = torch.cat([view.weights() @ value[0, view.head // shared] for view in views], dim=-1)  # (T, C)
    torch.testing.assert_close(attention.proj(gathered), out[0])


def test_cross_attention_looks_at_the_source(monkeypatch):
    model = small("encoder-decoder")
    given, gather = [], Attention.gather
    attention = model.blocks[1].ca
    monkeypatch.setattr(
        attention, "gather", lambda *args: given.append((args[2], gather(attention, *args))) or given[-1][1]
    )
    trace = trace_attention(model, IDS, SOURCE)
    assert trace.source.tolist() == SOURCE
    views = [view for view in trace.heads if view.kind == "cross" and view.layer == 1]
    value, out = given[0]
    gathered = torch.cat([view.weights() @ value[0, view.head] for view in views], dim=-1)
    torch.testing.assert_close(attention.proj(gathered), out[0])
    assert trace_attention(model, IDS).source.tolist() == [model.config.newline]


def test_a_model_without_heads_shows_its_logits():
    assert trace_attention(small("bigram"), IDS).heads == []


@pytest.mark.cases
@pytest.mark.parametrize("rung", HEADS)
def test_each_of_many_visitors_sees_their_own_text_only(rung):
    model = small(rung)
    texts = [[1, 2, 3, 4, 5, 6, 7], [7, 3, 7], [2, 2, 8, 1, 5, 5, 1, 6, 4]]
    alone = [trace_attention(model, ids, ids[::-1]) for ids in texts]
    faults, together = [], threading.Barrier(len(texts) + 1)

    def visit(number):
        together.wait()
        for _ in range(30):
            seen, own = trace_attention(model, texts[number], texts[number][::-1]), alone[number]
            same = len(seen.heads) == len(own.heads) and seen.logits.equal(own.logits)
            if not (same and all(a.scores.equal(b.scores) for a, b in zip(seen.heads, own.heads, strict=True))):
                faults.append(number)

    def write():  # whoever only writes with the model is not seen either
        together.wait()
        for _ in range(30):
            model(torch.tensor([[8, 8, 8, 8]]))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(len(texts))]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_only_the_context_is_read_and_strangers_are_refused():
    model = small("block")
    assert trace_attention(model, IDS * 3).ids.tolist() == (IDS * 3)[-12:]
    for ids in ([], [9]):
        with pytest.raises(VocabularyError):
            trace_attention(model, ids)
