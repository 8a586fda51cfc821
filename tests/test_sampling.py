import math

import pytest
import torch
from helpers import assert_one_sentence
from hypothesis import assume, given
from hypothesis import strategies as st

from modelcraft.sampling import SamplingParams, distribution, sample, sample_rows
from modelcraft.support.errors import ConfigError

LOGITS = torch.tensor([[1.2, -0.3, 0.4, 2.0, -1.1, 0.9]])
DRAWS = 100_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def critical(df: int) -> float:
    """What chi-square exceeds once in ten thousand times (Wilson and Hilferty's approximation)."""
    return df * (1 - 2 / (9 * df) + 3.719 * math.sqrt(2 / (9 * df))) ** 3


def assert_drawn_from(drawn: torch.Tensor, probs: list[float]) -> None:
    counts = torch.bincount(drawn, minlength=len(probs)).double()
    expected = torch.tensor(probs, dtype=torch.float64) * len(drawn)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert expected[possible].min() > 5  # below that the statistic is not chi-square
    statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert statistic < critical(int(possible.sum()) - 1)


def slowly(logits: list[float], temperature: float, top_k: int | None, top_p: float) -> list[float] | None:
    """The distribution as the docstring says it, in plain Python; None where rounding would decide it."""
    weights = [math.exp((x - max(logits)) / temperature) for x in logits]
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    kept = order[: top_k or len(order)]
    total = sum(weights[i] for i in kept)
    before, nucleus = 0.0, []
    for i in kept:
        if nucleus and before >= top_p and top_p < 1:
            break
        if nucleus and top_p < 1 and abs(before - top_p) < 1e-5:
            return None
        nucleus.append(i)
        before += weights[i] / total
    if len(nucleus) < len(kept) and abs(before - top_p) < 1e-5:
        return None
    total = sum(weights[i] for i in nucleus)
    return [weights[i] / total if i in nucleus else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0),
        SamplingParams(temperature=0.6),
        SamplingParams(temperature=3.0),
        SamplingParams(temperature=1.0, top_k=3),
        SamplingParams(temperature=1.0, top_p=0.8),
        SamplingParams(temperature=1.5, top_k=5, top_p=0.7),
    ],
    ids=str,
)
def test_samples_are_drawn_from_the_exact_distribution(params):
    probs = slowly(LOGITS[0].tolist(), params.temperature, params.top_k, params.top_p)
    assert_drawn_from(sample(LOGITS.expand(DRAWS, -1), params, generator()), probs)


def test_one_draw_after_another_has_the_same_distribution():
    params, dice = SamplingParams(temperature=1.0), generator(1)
    drawn = torch.cat([sample(LOGITS, params, dice) for _ in range(10_000)])
    assert_drawn_from(drawn, slowly(LOGITS[0].tolist(), 1.0, None, 1.0))


def test_rows_of_a_batch_are_drawn_from_their_own_logits_and_independently():
    rows = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5], [-0.5, -0.5, 1.0]])
    drawn = sample(rows.repeat(DRAWS, 1), SamplingParams(temperature=1.0), generator()).view(DRAWS, 3)
    exact = [slowly(row, 1.0, None, 1.0) for row in rows.tolist()]
    for column, probs in enumerate(exact):
        assert_drawn_from(drawn[:, column], probs)
    assert_drawn_from(drawn[:, 0] * 3 + drawn[:, 1], [p * q for p in exact[0] for q in exact[1]])
    assert_drawn_from(drawn[:-1, 2] * 3 + drawn[1:, 2], [p * q for p in exact[2] for q in exact[2]])


@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=12, unique=True),
    st.floats(0.25, 4),
    st.none() | st.integers(0, 14),
    st.floats(0, 1),
)
def test_top_k_and_top_p_keep_exactly_the_right_characters(fifths, temperature, top_k, top_p):
    logits = [x / 5 for x in fifths]
    exact = slowly(logits, temperature, top_k, top_p)
    assume(exact is not None)
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p)
    other = logits[::-1]  # a second row, which must not meddle
    probs = distribution(torch.tensor([logits, other]), params)[0]
    assert [p > 0 for p in probs.tolist()] == [p > 0 for p in exact]
    assert probs.tolist() == pytest.approx(exact, rel=1e-3, abs=1e-7)
    assert float(probs.sum()) == pytest.approx(1, abs=1e-5)


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=8), st.floats(0, 1_000), st.floats(0, 1))
def test_any_logits_and_any_temperature_give_probabilities(logits, temperature, top_p):
    params = SamplingParams(temperature=temperature, top_p=top_p)
    probs = distribution(torch.tensor([logits]), params)
    assert torch.isfinite(probs).all() and (probs >= 0).all()
    assert float(probs.sum()) == pytest.approx(1, abs=1e-5)
    token = int(sample(torch.tensor([logits]), params, generator()))
    assert probs[0, token] > 0


@pytest.mark.parametrize(("top_p", "kept"), [(0.49, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.76, 3), (0.99, 4)])
def test_the_nucleus_is_the_smallest_that_holds_top_p(top_p, kept):
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    probs = distribution(logits, SamplingParams(temperature=1.0, top_p=top_p))
    assert int((probs > 0).sum()) == kept


def test_greedy_takes_the_likeliest_and_draws_nothing():
    dice = generator()
    before = dice.get_state()
    logits = torch.tensor([[0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])
    params = SamplingParams(temperature=0)
    assert sample(logits, params, dice).tolist() == [1, 0]
    assert torch.equal(dice.get_state(), before)
    assert distribution(logits, params).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-40, 1e-46, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tiny_temperature_is_greedy_without_nan(temperature, dtype):
    params = SamplingParams(temperature=temperature)
    logits = torch.tensor([[1.0, -2.0, 3.0, 0.0], [9.0, 0.0, -9.0, 1.0]], dtype=dtype)
    assert distribution(logits, params).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert sample(logits, params, generator()).tolist() == [2, 0]


def test_what_has_no_probability_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    drawn = sample(logits.expand(DRAWS, -1), SamplingParams(temperature=1.0), generator())
    assert set(drawn.tolist()) == {1, 3}


@pytest.mark.parametrize("dart", [0.0, 1 - 2**-24, 1.0])
def test_the_ends_of_the_line_are_no_way_out(monkeypatch, dart):
    """The smallest number that can be drawn, the largest, and one past it land on a character with a probability."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, dart))
    logits = torch.randn((2_000, 7), generator=generator())
    logits[:, 0] = logits[:, 6] = -torch.inf
    drawn = sample(logits, SamplingParams(temperature=1.0))
    assert ((drawn >= 1) & (drawn <= 5)).all()


def test_top_p_of_nothing_keeps_the_likeliest():
    assert distribution(LOGITS, SamplingParams(temperature=1.0, top_p=0)).tolist() == [[0, 0, 0, 1, 0, 0]]


def test_top_k_of_nothing_keeps_all():
    everything = distribution(LOGITS, SamplingParams(temperature=1.0))
    for top_k in (None, 0, 6, 100):
        assert torch.equal(distribution(LOGITS, SamplingParams(temperature=1.0, top_k=top_k)), everything)


def test_the_same_seed_draws_the_same():
    logits = torch.randn((50, 9), generator=generator())
    params = SamplingParams(temperature=1.0, seed=3)
    first, second = (sample(logits, params, params.make_generator()) for _ in range(2))
    other = sample(logits, params, SamplingParams(seed=4).make_generator())
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_row_draws_one_number_so_that_a_batch_draws_what_its_rows_would():
    logits = torch.randn((5, 9), generator=generator())
    params = SamplingParams(temperature=1.0)
    together, one, dice = sample(logits, params, generator(7)), [], generator(7)
    for row in logits:
        one.append(sample(row[None], params, dice))
    assert torch.equal(together, torch.cat(one))


def test_no_seed_is_another_text_each_time():
    params = SamplingParams(seed=None)
    assert params.make_generator().initial_seed() != params.make_generator().initial_seed()


@pytest.mark.parametrize(
    "wrong",
    [
        math.nan,
        math.inf,
        -math.inf,
        -1,
        True,
        "1",
        "",
        None,
        [1],
        1j,
        torch.tensor(1.0),
        pytest.param(10**400, id="huge"),
    ],
)
@pytest.mark.parametrize("name", ["max_new_tokens", "temperature", "top_k", "top_p", "seed"])
def test_refuses_what_makes_no_sense(name, wrong):
    if wrong is None and name in ("top_k", "seed"):
        assert getattr(SamplingParams(**{name: None}), name) is None
        return
    with pytest.raises(ConfigError) as caught:
        SamplingParams(**{name: wrong})
    assert_one_sentence(caught.value, f"{name} must be a")


@pytest.mark.parametrize("name", ["max_new_tokens", "top_k", "seed"])
def test_refuses_half_a_character(name):
    with pytest.raises(ConfigError) as caught:
        SamplingParams(**{name: 1.5})
    assert_one_sentence(caught.value, f"{name} must be a whole number")


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("max_new_tokens", 0, 10_000_000), ("temperature", 0, 1_000), ("top_k", 0, 1_000_000), ("top_p", 0, 1)],
)
def test_the_bounds_are_in(name, lowest, highest):
    for value in (lowest, highest):
        assert getattr(SamplingParams(**{name: value}), name) == value
    with pytest.raises(ConfigError):
        SamplingParams(**{name: highest + 1})


def test_seeds_go_as_far_as_a_generators_do():
    SamplingParams(seed=2**63 - 1).make_generator()
    with pytest.raises(ConfigError):
        SamplingParams(seed=2**63)


def test_min_p_keeps_what_is_likely_beside_the_likeliest():
    probs = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    kept = distribution(probs.log(), SamplingParams(temperature=1.0, min_p=0.3))
    torch.testing.assert_close(kept, torch.tensor([[0.5, 0.3, 0.15, 0.0]]) / 0.95)
    alone = distribution(probs.log(), SamplingParams(temperature=1.0, min_p=1.0))
    torch.testing.assert_close(alone, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    # After top-k, on what that left; two rows that differ in it alone are not drawn together.
    params = [SamplingParams(temperature=1.0, min_p=share, seed=3) for share in (0.0, 1.0)]
    logits = probs.log().expand(2, 4)
    for _ in range(20):
        drawn = sample_rows(logits, params, [p.make_generator() for p in params])
        assert int(drawn[1]) == 0


def test_a_stop_is_token_ids():
    assert SamplingParams(stop=[1, 2]).stop == (1, 2)
    for wrong in (None, 5, "ab", ["a"], [-1], [1.0], [True], {1: 2}):
        with pytest.raises(ConfigError) as caught:
            SamplingParams(stop=wrong)
        assert_one_sentence(caught.value, "stop")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "0.1"])
def test_min_p_is_a_share(share):
    with pytest.raises(ConfigError, match="min_p"):
        SamplingParams(min_p=share)
