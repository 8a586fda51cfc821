import dataclasses
import math

import pytest
from helpers import assert_one_sentence
from hypothesis import given
from hypothesis import strategies as st

from modelcraft.support.errors import ConfigError
from modelcraft.training.recipes import TrainConfig

NUMBERS = [f.name for f in dataclasses.fields(TrainConfig) if f.name not in ("precision", "compile", "spread")]


def test_the_learning_rate_rises_stays_and_falls():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=9, decay_share=0.5)
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[:9] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert rates[9:51] == [1.0] * 42
    assert rates[51:] == pytest.approx([1 - k / 50 for k in range(1, 50)])


def test_no_warmup_and_no_decay_is_one_rate():
    config = TrainConfig(steps=50, learning_rate=0.3, warmup_steps=0, decay_share=0)
    assert {config.learning_rate_at(step) for step in range(50)} == {0.3}


def test_it_falls_linearly_to_the_final_share():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=0, decay_share=1.0, final_lr_share=0.5)
    assert [config.learning_rate_at(step) for step in (0, 50, 100)] == pytest.approx([1.0, 0.75, 0.5])


@given(
    st.integers(1, 300),
    st.integers(0, 400),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_the_learning_rate_stays_in_its_bounds(steps, warmup, decay, final):
    config = TrainConfig(steps=steps, learning_rate=0.5, warmup_steps=warmup, decay_share=decay, final_lr_share=final)
    rates = [config.learning_rate_at(step) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup < steps:
        assert all(rate >= 0.5 * final - 1e-12 for rate in rates[warmup:])


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1, True, "1", [1], pytest.param(10**400, id="huge")])
@pytest.mark.parametrize("name", NUMBERS)
def test_refuses_what_makes_no_sense(name, wrong):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**{name: wrong})
    assert_one_sentence(caught.value, f"{name} must be")


@pytest.mark.parametrize("name", ["steps", "batch_size", "eval_interval", "eval_batches", "save_interval", "patience"])
def test_nothing_at_all_is_too_little(name):
    assert getattr(TrainConfig(**{name: 1}), name) == 1
    for wrong in (0, 1.5):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number from 1"):
            TrainConfig(**{name: wrong})


@pytest.mark.parametrize("wrong", ["fp16", "", None, 16, ["fp32"]])
def test_precisions_have_names(wrong):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(precision=wrong)
    assert_one_sentence(caught.value, "precision must be one of auto, fp32, bf16")


def test_the_defaults_hold_and_nothing_changes_them():
    config = TrainConfig()
    assert TrainConfig(**dataclasses.asdict(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 1
