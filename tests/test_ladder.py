import dataclasses

import pytest
import torch
from helpers import assert_one_sentence

from modelcraft.checkpoint import WEIGHTS_DIR
from modelcraft.errors import ConfigError
from modelcraft.ladder import DEFAULT_RUNG, RUNGS, rung_named
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.recipe import TrainConfig

every_rung = pytest.mark.parametrize("name", RUNGS)


def test_the_default_is_a_rung():
    assert rung_named(DEFAULT_RUNG) is RUNGS[DEFAULT_RUNG]


@every_rung
def test_a_rung_says_what_it_is(name):
    rung = RUNGS[name]
    assert rung.name == name
    assert rung.adds and rung.adds.isprintable()
    assert issubclass(rung.model_class, LanguageModel)
    assert isinstance(rung.config, ModelConfig)
    assert isinstance(rung.recipe, TrainConfig)
    assert rung.model_class.__doc__


@every_rung
def test_a_rung_has_bundled_weights(name):
    assert {"config.json", "model.safetensors", "README.md"} <= {p.name for p in (WEIGHTS_DIR / name).iterdir()}


@every_rung
def test_a_seed_makes_the_model(name):
    rung = RUNGS[name]
    before = torch.get_rng_state()
    first, second, other = (rung.build(rung.config, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), before)


@every_rung
def test_on_meta_it_has_the_same_shapes_and_no_numbers(name):
    rung = RUNGS[name]
    real, meta = rung.build(rung.config), rung.build(rung.config, device="meta")
    assert all(tensor.is_meta for tensor in meta.state_dict().values())
    assert {k: (t.shape, t.dtype) for k, t in meta.state_dict().items()} == {
        k: (t.shape, t.dtype) for k, t in real.state_dict().items()
    }
    assert meta.num_parameters == real.num_parameters
    assert meta.config == real.config == rung.config


def test_a_seed_gives_what_the_lessons_call_gives():
    from modelcraft.bigram import create_model

    rung = RUNGS["bigram"]
    lesson = create_model(device="cpu", seed=7).state_dict()
    assert all(torch.equal(tensor, lesson[key]) for key, tensor in rung.build(rung.config, seed=7).state_dict().items())


@every_rung
def test_a_config_is_made_from_its_settings(name):
    rung = RUNGS[name]
    settings = dataclasses.asdict(rung.config)
    assert rung.configure(settings) == rung.config
    assert rung.configure({**settings, "block_size": 3}).block_size == 3
    with pytest.raises(ConfigError) as caught:
        rung.configure({**settings, "n_wings": 2})
    assert_one_sentence(caught.value, f"{name!r} has no setting 'n_wings'", "block_size")
    with pytest.raises(ConfigError) as caught:
        rung.configure({**settings, "block_size": True})
    assert_one_sentence(caught.value, "block_size")


@pytest.mark.parametrize("wrong", ["gpt-9", "", None, 5, ["bigram"], {}, "x" * 10_000], ids=lambda w: str(w)[:8])
def test_there_is_no_such_rung(wrong):
    with pytest.raises(ConfigError) as caught:
        rung_named(wrong)
    assert_one_sentence(caught.value, f"the rungs are {', '.join(RUNGS)}")
    assert len(str(caught.value)) < 1_000
