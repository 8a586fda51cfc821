import json
import math

import pytest
from ladders import NAMES, WELL, make_ladder

from modelcraft.serving import catalogue as catalogue_module
from modelcraft.serving.catalogue import Figures
from modelcraft.ui.labels import choices, label, share


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        (Figures("gpt", "", 4_738_881, 1.41239), "gpt · 4.7 M parameters · loss 1.412"),
        (Figures("gpt", "", 999_999, 2.0), "gpt · 999,999 parameters · loss 2.000"),
        (Figures("gpt", "", 0, None), "gpt · 0 parameters · loss not measured"),
        (Figures("gpt", ""), "gpt"),
    ],
)
def test_a_model_in_one_line(figures, says):
    assert label(figures) == says


def test_a_bar_is_as_long_as_the_loss_and_guessing_fills_it():
    assert share(Figures("gpt", "", 1, math.log(65) / 2)) == 0.5
    assert share(Figures("gpt", "", 1, 9.0)) == 1
    assert share(Figures("gpt", "", 1, None)) == share(Figures("gpt", "")) == 0


def test_the_chooser_tells_the_figures_and_loads_nothing(tmp_path, monkeypatch):
    models = make_ladder(monkeypatch, tmp_path)
    monkeypatch.setattr(catalogue_module, "load_folder", lambda *_: pytest.fail("weights were loaded"))
    config = tmp_path / WELL[1] / "config.json"
    described = json.loads(config.read_text())
    config.write_text(json.dumps({**described, "parameters": 4_738_881, "losses": {}}))
    (tmp_path / WELL[2] / "config.json").write_text("{")
    listed = choices(models)
    assert [name for _, name in listed] == NAMES
    count = json.loads((tmp_path / WELL[0] / "config.json").read_text())["parameters"]
    assert listed[0][0] == f"r-one · {count:,} parameters · loss 2.500"
    assert listed[1][0] == "r-two · 4.7 M parameters · loss not measured"
    assert listed[2][0] == "r-three"  # damaged: who chooses it will be told
    assert listed[6][0].startswith("r-broken · ")
