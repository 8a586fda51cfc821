import inspect
import itertools
import json
import math
from collections import Counter

import pytest
import torch
from helpers import CHAIN

import modelcraft
from modelcraft.bigram import BigramConfig, BigramLanguageModel, create_model, estimate_loss, get_batch, train_model
from modelcraft.data import Corpus
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.support.errors import ConfigError
from modelcraft.tokenizer import CharTokenizer

DEVICE = "cpu"


def conditional_entropy(pairs) -> float:
    """Nats of the second of a pair where the first is known, by counting."""
    pairs = list(pairs)
    both, first = Counter(pairs), Counter(a for a, _ in pairs)
    return -sum(n * math.log(n / first[a]) for (a, _), n in both.items()) / len(pairs)


def test_the_lessons_signatures():
    created = {name: p.default for name, p in inspect.signature(create_model).parameters.items()}
    assert (created["vocab_size"], created["block_size"], created["n_embd"]) == (65, 8, 32)
    trained = {name: p.default for name, p in inspect.signature(train_model).parameters.items()}
    assert list(trained)[:3] == ["model", "train_data", "val_data"]
    assert (trained["max_iters"], trained["block_size"], trained["batch_size"]) == (3000, 8, 32)
    assert trained["learning_rate"] == 1e-2


def test_the_parts_have_the_videos_names():
    model = create_model(device=DEVICE)
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == {
        "token_embedding_table.weight": (65, 32),
        "position_embedding_table.weight": (8, 32),
        "lm_head.weight": (65, 32),
        "lm_head.bias": (65,),
    }
    assert model.num_parameters == 4_481


@pytest.mark.parametrize("seed", [0, 1, 1337])
def test_the_first_loss_is_that_of_guessing(seed):
    model = create_model(device=DEVICE, seed=seed)
    data = torch.randint(65, (2_000,), generator=torch.Generator().manual_seed(seed))
    _, loss = model(*get_batch(data, 8, 512, torch.Generator().manual_seed(seed)))
    assert loss.item() == pytest.approx(math.log(65), abs=0.02)


def test_a_seed_makes_the_model_and_torchs_own_generator_is_left_alone():
    before = torch.get_rng_state()
    first, second, other = (create_model(device=DEVICE, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_it_looks_at_one_character_and_its_place():
    model = create_model(device=DEVICE)
    x = torch.tensor([[1, 2, 3, 4], [9, 2, 7, 4]])
    logits, _ = model(x)
    assert torch.equal(logits[0, 1], logits[1, 1]) and torch.equal(logits[0, 3], logits[1, 3])
    by_hand = model.lm_head(model.token_embedding_table.weight[7] + model.position_embedding_table.weight[2])
    torch.testing.assert_close(logits[1, 2], by_hand)


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="n_embd must be a whole number"):
        BigramConfig(n_embd=0)
    with pytest.raises(ConfigError, match="block_size must be a whole number"):
        create_model(block_size=1.5, device=DEVICE)
    with pytest.raises(ConfigError, match="There is no device 'no-such-device' here"):
        create_model(device="no-such-device")


def test_one_batch_is_learned_as_well_as_it_can_be():
    model = BigramLanguageModel(BigramConfig(vocab_size=5, block_size=8, n_embd=16))
    data = torch.tensor(CharTokenizer(CHAIN.alphabet).encode(CHAIN.text(400, seed=3)))
    x, y = get_batch(data, 8, 16, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0)
    for _ in range(300):
        _, loss = model(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    known, follows = x.flatten().tolist(), y.flatten().tolist()
    places = [t for _ in range(16) for t in range(8)]
    least = conditional_entropy(zip(zip(known, places, strict=True), follows, strict=True))
    assert least <= loss.item() <= conditional_entropy(zip(known, follows, strict=True)) + 0.005


def test_the_lessons_call_approaches_the_entropy_of_the_text(chain, chain_text, loss_of):
    train_data, val_data = Corpus("chain", chain_text).splits(CharTokenizer(chain.alphabet), 8)
    model = create_model(device=DEVICE)
    before = loss_of(model, val_data)
    trained, records = train_model(
        model=model,
        train_data=train_data,
        val_data=val_data,
        max_iters=500,
        eval_interval=200,
        eval_iters=50,
        block_size=8,
        batch_size=32,
        learning_rate=1e-2,
    )
    assert trained is model
    assert before == pytest.approx(math.log(65), abs=0.02)
    assert loss_of(model, val_data) == pytest.approx(chain.entropy, abs=0.02)
    keys = {"step", "train_loss", "val_loss", "learning_rate", "seconds", "characters"}
    assert all(set(record) == keys for record in records)
    assert [record["step"] for record in records] == [0, 200, 400, 500]
    assert [record["characters"] for record in records] == [0, 51_200, 102_400, 128_000]
    assert {record["learning_rate"] for record in records} == {1e-2}
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(records))
    assert records[0]["val_loss"] == pytest.approx(math.log(65), abs=0.03)
    assert records[-1]["val_loss"] == estimate_loss(model, val_data, 50, 32, 8)
    assert records[-1]["val_loss"] == pytest.approx(chain.entropy, abs=0.04)
    assert records[-1]["train_loss"] == pytest.approx(chain.entropy, abs=0.04)


def test_the_same_seed_trains_the_same_model(chain, chain_text):
    train_data, val_data = Corpus("chain", chain_text).splits(CharTokenizer(chain.alphabet), 8)

    def train(seed):
        model, _ = train_model(create_model(device=DEVICE), train_data, val_data, 20, 10, 2, seed=seed)
        return model.lm_head.weight

    assert torch.equal(train(1), train(1))
    assert not torch.equal(train(1), train(2))


def test_the_model_that_is_left_writes_the_chains_text(chain, chain_text):
    """No transition that the chain never makes is likely, after a short training."""
    tokenizer = CharTokenizer(chain.alphabet)
    train_data, val_data = Corpus("chain", chain_text).splits(tokenizer, 8)
    model = create_model(vocab_size=5, device=DEVICE)
    train_model(model, train_data, val_data, max_iters=500, eval_interval=500, eval_iters=1, batch_size=64)
    start = torch.zeros((1, 1), dtype=torch.long)
    text = tokenizer.decode(model.generate(start, 3_000, generator=torch.Generator().manual_seed(0))[0].tolist())
    impossible = sum(a == b for a, b in itertools.pairwise(text))  # a chain's character never follows itself
    assert impossible < 60


def test_the_issues_own_call(corpus_text, loss_of):
    train_data, val_data = Corpus("shakespeare", corpus_text).splits(CharTokenizer.of(corpus_text), 8)
    model, records = train_model(
        model=create_model(device=DEVICE),
        train_data=train_data,
        val_data=val_data,
        max_iters=3000,
        eval_interval=300,
        eval_iters=200,
        block_size=8,
        batch_size=32,
        learning_rate=1e-2,
    )
    assert loss_of(model, val_data) <= 2.52
    assert len(records) == 11


def test_the_bundled_weights_are_as_good_as_they_say(corpus_text, loss_of):
    model, tokenizer = modelcraft.load("bigram", device=DEVICE)
    _, val_data = Corpus("shakespeare", corpus_text).splits(tokenizer, model.block_size)
    said = json.loads((WEIGHTS_DIR / "bigram" / "config.json").read_text(encoding="utf-8"))["losses"]["disjoint"]
    loss = loss_of(model, val_data)
    assert loss == pytest.approx(said["nats_per_character"], abs=0.001)
    assert loss <= 2.487
    assert said["characters"] == len(val_data) - 1
    assert said["window"] == model.block_size
