import dataclasses

import pytest
import torch
from helpers import assert_one_sentence

from modelcraft.ladder import DEFAULT_RUNG, MAX_BYTES, RUNGS, memory_of, rung_named
from modelcraft.model import LanguageModel, ModelConfig
from modelcraft.store.folder import WEIGHTS_DIR
from modelcraft.support.errors import ConfigError
from modelcraft.training.fit import FITS
from modelcraft.training.recipes import RECIPES

every_rung = pytest.mark.parametrize("name", RUNGS)


def made(rung, device="cpu", seed=1337):
    """The untrained model, with untrained parts if it is made of some."""
    return rung.build(rung.config, device, seed, [made(RUNGS[part], device) for part in rung.parts])


def test_the_default_is_a_rung():
    assert rung_named(DEFAULT_RUNG) is RUNGS[DEFAULT_RUNG]


@every_rung
def test_a_rung_says_what_it_is(name):
    rung = RUNGS[name]
    assert rung.name == name
    assert rung.adds and rung.adds.isprintable()
    assert issubclass(rung.model_class, LanguageModel)
    assert isinstance(rung.config, ModelConfig)
    assert (rung.name in RECIPES) != (rung.name in FITS)
    assert rung.model_class.__doc__


@pytest.mark.parametrize("name", [name for name, rung in RUNGS.items() if rung.bundled])
def test_a_rung_has_bundled_weights(name):
    assert {"config.json", "model.safetensors", "README.md"} <= {p.name for p in (WEIGHTS_DIR / name).iterdir()}


@every_rung
def test_on_meta_it_has_the_same_shapes_and_no_numbers(name):
    rung = RUNGS[name]
    real, meta = made(rung), made(rung, "meta")
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


@pytest.mark.cases
@pytest.mark.parametrize(
    ("rung", "settings"),
    [
        ("averaging", {"block_size": 100_000}),
        ("head", {"block_size": 100_000}),  # a mask of 40 GB
        ("multihead", {"n_embd": 64, "n_head": 64, "block_size": 8_192}),
        ("block", {"n_embd": 64, "n_head": 64, "n_layer": 64, "block_size": 1_024}),
        ("gpt", {"block_size": 1_000_000}),  # small weights, and a ring of gigabytes at its first text
        ("gpt", {"block_size": 32_768}),  # and shares of a gigabyte a head for a context
        ("encoder-decoder", {"block_size": 50_000}),
    ],
)
def test_what_would_not_fit_is_refused_before_it_is_allocated(rung, settings, monkeypatch):
    given = {**vars(RUNGS[rung].config), **settings}
    with pytest.raises(ConfigError, match=r"would take [\d,]+ GiB, and 2 is the limit; make it smaller\.") as error:
        RUNGS[rung].check_size(RUNGS[rung].configure(given))
    assert_one_sentence(error.value)


@pytest.mark.cases
def test_what_the_ladder_has_fits_by_far():
    for rung in RUNGS.values():
        assert memory_of(rung.build(rung.config, device="meta")) < MAX_BYTES / 20
