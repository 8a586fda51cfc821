"""Calibration: of a model that is too sure by a known factor, exactly that factor is found and taken off."""

import copy

import pytest
import torch
from helpers import CHAIN, VOCABULARY, spread

from modelcraft.bigram import BigramConfig, BigramLanguageModel
from modelcraft.gpt import GPTConfig, GPTLanguageModel
from modelcraft.ladder import RUNGS
from modelcraft.loss import exact_loss
from modelcraft.store.folder import load_folder
from modelcraft.support.errors import CorpusError
from modelcraft.tokenizer import CharTokenizer
from modelcraft.training.calibration import LEAST, MOST, calibrate
from modelcraft.training.run import TrainingRun
from modelcraft.training.state import read_state
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
            parameter.mul_(factor)
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


def test_the_best_number_is_found_for_a_model_with_a_cap_on_its_logits():
    model = spread(GPTLanguageModel(GPTConfig(vocab_size=9, block_size=8, n_embd=16, n_layer=1, n_head=2, n_kv_head=1)))
    data = model.eval().generate(torch.zeros(50, 1, dtype=torch.long), 7, generator=torch.Generator().manual_seed(1))
    data, learned, losses = data.flatten(), 2 * model.lm_head.weight.detach(), {}
    for t in torch.linspace(LEAST, MOST, 71).tolist():
        with torch.no_grad():
            model.lm_head.weight.copy_(learned / t)
        losses[t] = exact_loss(model, data).nats_per_character
    with torch.no_grad():
        model.lm_head.weight.copy_(learned)
    found = calibrate(model, data)
    assert found == pytest.approx(min(losses, key=losses.get), abs=0.06)
    assert exact_loss(model, data).nats_per_character <= min(losses.values()) + 1e-5


def test_what_is_held_out_is_not_learned_from(tmp_path, monkeypatch):
    """The beginning of the text has a character of its own: no batch has it, and what is written is calibrated."""
    text = "z" * 1_000 + CHAIN.text(59_000, seed=1)
    (tmp_path / "text.txt").write_text(text)
    tokenizer, drawn = CharTokenizer.of(text), []
    z = tokenizer.encode("z")[0]
    step = Trainer._train_step

    def watched(self):
        drawn.append(bool((self.lessons.data == z).any()))
        step(self)

    monkeypatch.setattr(Trainer, "_train_step", watched)
    written = {}
    for share, learned in ((0.02, False), (0.0, True), (0.01, True)):  # half of it would be too little to calibrate on
        drawn.clear()
        folder, recipe = tmp_path / f"run{share}", {"steps": 3, "batch_size": 2, "eval_batches": 1, "held_out": share}
        TrainingRun(RUNGS["bigram"], folder, str(tmp_path / "text.txt"), recipe).run()
        assert drawn == [learned] * 3
        written[share] = load_folder(folder, "cpu")
        assert ("temperature" in written[share][2].training) == (not learned)
    model, _, info = written[0.02]
    state = read_state(tmp_path / "run0.02")[1]
    assert torch.allclose(model.lm_head.weight, state["best/lm_head.weight"] / info.training["temperature"], rtol=1e-4)
    assert info.training["uncalibrated_loss"] != pytest.approx(info.validation_loss, abs=1e-6)
    card = (tmp_path / "run0.02" / "README.md").read_text()
    assert "| Trained on | 88.2 % (from 1.8 % to 90 %) of `text.txt` |" in card
    assert f"| The same before calibration, T = {info.training['temperature']:.2f} |" in card


def test_an_encoder_decoder_that_could_not_be_calibrated_is_refused_before_it_is_trained(tmp_path):
    (tmp_path / "text.txt").write_text("zzz " * 300 + "a line\n" * 7_796)
    run = TrainingRun(RUNGS["encoder-decoder"], tmp_path / "run", str(tmp_path / "text.txt"), {"held_out": 0.02})
    with pytest.raises(CorpusError, match=r"vowel|lines"):
        run.run()
    assert not (tmp_path / "run").exists()
