"""Calibration: of a model that is too sure by a known factor, exactly that factor is found and taken off."""

import copy

import pytest
import torch
from helpers import CHAIN, VOCABULARY, spread

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.loss import exact_loss
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.calibration import LEAST, MOST, calibrate
from modelcraft.training.run import TrainingRun
from modelcraft.training.trainer import Trainer


@pytest.fixture
def writer():
    """A model, and a text that it wrote itself: of that text it is exactly as sure as it should be."""
    model = spread(BigramLanguageModel(BigramConfig(vocab_size=len(VOCABULARY), block_size=1, n_embd=5))).eval()
    texts = model.generate(torch.zeros(20, 1, dtype=torch.long), 400, generator=torch.Generator().manual_seed(1))
    return model, texts.flatten()


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.5, 0.7])
def test_a_model_that_is_too_sure_is_found_out(factor, writer):
    model, text = writer
    honest = calibrate(copy.deepcopy(model), text)
    assert honest == pytest.approx(1.0, abs=0.1)
    sure = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in sure.lm_head.parameters():
            parameter *= factor
    before = exact_loss(sure, text).nats_per_character
    assert calibrate(sure, text) == pytest.approx(factor * honest, rel=2e-3)
    after = exact_loss(sure, text).nats_per_character
    assert after < before or factor == 1.0
    assert after == pytest.approx(exact_loss(model, text).nats_per_character, abs=2e-3)


def test_nothing_else_changes():
    model = spread(GPTLanguageModel(GPTConfig(vocab_size=9, block_size=8, n_embd=16, n_layer=1, n_head=2, n_kv_head=1)))
    idx = torch.randint(9, (4, 8), generator=torch.Generator().manual_seed(1))
    before, names = model.eval()(idx)[0], {name: value.clone() for name, value in model.state_dict().items()}
    found = calibrate(model, idx.flatten())
    assert LEAST <= found <= MOST
    assert torch.equal(model(idx)[0].argmax(-1), before.argmax(-1))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, names[name])}
    assert changed == {"lm_head.weight"}


def test_what_is_held_out_is_not_learned_from(tmp_path, monkeypatch):
    """The end of the training text has characters of its own: no batch has them, and the model says its number."""
    text = CHAIN.text(1_764, seed=1) + "z" * 36 + CHAIN.text(200, seed=2)
    (tmp_path / "text.txt").write_text(text)
    z, drawn = CharTokenizer.of(text).encode("z")[0], []
    step = Trainer._train_step

    def watched(self):
        drawn.append(bool((self.train_set.data == z).any()))
        step(self)

    monkeypatch.setattr(Trainer, "_train_step", watched)
    from modelcraft.ladder import RUNGS
    from modelcraft.store.folder import read_info

    for share, expected in ((0.02, False), (0.0, True)):
        drawn.clear()
        recipe = {"steps": 3, "batch_size": 2, "eval_batches": 1, "held_out": share}
        TrainingRun(RUNGS["bigram"], tmp_path / f"run{share}", str(tmp_path / "text.txt"), recipe).run()
        assert drawn == [expected] * 3
        training = read_info(tmp_path / f"run{share}").training
        assert ("temperature" in training) == ("uncalibrated_loss" in training) == (share > 0)
