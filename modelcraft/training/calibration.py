"""Make a model as sure as it is right: calibration by one number (Guo et al. 2017, "temperature scaling").

A model that read its text many times has learned to be sure of what it says, because of that text it is nearly always
right. On a new text it is wrong more often, and as sure as before, which the loss punishes. Dividing its scores by a
number T > 1 makes it less sure and changes nothing else: what it finds likeliest stays the likeliest. T has to be found
on text that the model has not learned from.
"""

import math

import torch
from torch import Tensor, nn

from modelcraft.loss import exact_loss
from modelcraft.model import LanguageModel

LEAST, MOST = 0.5, 4.0  # the bounds of T
HALVINGS = 14  # of the interval of log T, to below a thousandth
GOLDEN = (math.sqrt(5) - 1) / 2


def calibrate(model: LanguageModel, held_out: Tensor) -> float:
    """Divide the scores of `model` by the T that suits `held_out` (N,) best, in place, and return T.

    T goes into the weights of the last layer, so that every program that uses them is calibrated, too. (Of a GPT it
    is taken off before the cap on the logits, which leaves all but the largest as they are.)
    """
    last = model.get_submodule("lm_head")
    assert isinstance(last, nn.Linear)
    parameters = list(last.parameters())
    learned = [parameter.detach().clone() for parameter in parameters]

    def divide(log_t: float) -> None:
        with torch.no_grad():
            for parameter, value in zip(parameters, learned, strict=True):
                parameter.copy_(value / math.exp(log_t))

    def loss(log_t: float) -> float:
        divide(log_t)
        return exact_loss(model, held_out).nats_per_character

    # The loss has one lowest point: golden section asks once for each smaller interval.
    low, high = math.log(LEAST), math.log(MOST)
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    of_a, of_b = loss(a), loss(b)
    for _ in range(HALVINGS):
        if of_a < of_b:
            high, b, of_b = b, a, of_a
            a = high - GOLDEN * (high - low)
            of_a = loss(a)
        else:
            low, a, of_a = a, b, of_b
            b = low + GOLDEN * (high - low)
            of_b = loss(b)
    divide((low + high) / 2)
    return math.exp((low + high) / 2)
