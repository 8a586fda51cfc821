"""The secrets of browsers: given out here, known again, and not to be made up."""

import pytest

from modelcraft.serving.visitors import GIVEN_OUT, Texts, Visitors
from modelcraft.support.errors import BusyError

pytestmark = pytest.mark.cases


def test_what_was_given_out_is_known_and_nothing_else():
    visitors, others = Visitors(), Visitors()
    secret = visitors.welcome("10.0.0.1")
    assert visitors.knows(secret)
    assert not others.knows(secret)  # another app, or this one after a new start
    name, signature = secret.split(".")
    forged = [
        *(
            secret[:place] + ("A" if secret[place] != "A" else "B") + secret[place + 1 :]
            for place in range(len(secret))
        ),
        *(f"{name}.{name}", f"{signature}.{signature}", name, f"{secret}x", f" {secret}", secret.encode()),
        *("", ".", None, 1, [], {"a": 1}, "é" * 49),
    ]
    assert not [one for one in forged if visitors.knows(one)]


def test_an_address_is_given_a_classful_and_no_more():
    visitors = Visitors()
    given = {visitors.welcome("10.0.0.1") for _ in range(GIVEN_OUT[0])}
    assert len(given) == 60
    with pytest.raises(BusyError, match="in 10 seconds"):
        visitors.welcome("10.0.0.1")
    visitors.welcome("10.0.0.2")


def test_nobodys_text_makes_another_address_lose_theirs():
    texts = Texts(most=5, an_address=3)
    texts.put("ben", "10.0.0.2", "ben.txt", "ben's")
    for number in range(20):
        texts.put(f"ann{number}", "10.0.0.1", "ann.txt", str(number))
    assert len(texts) == 4
    assert texts.get("ben") == ("ben.txt", "ben's")
    assert texts.get("ann19") == ("ann.txt", "19")
    assert texts.get("ann0") is None
    for number in range(3, 9):  # many addresses: the one with most gives way
        texts.put("cyn", f"10.0.0.{number}", "cyn.txt", "cyn's")
        texts.put(f"dan{number}", f"10.0.0.{number}", "dan.txt", "dan's")
    assert len(texts) == 5
    texts.put("cyn", "10.0.0.1", "new.txt", "new")
    assert texts.get("cyn") == ("new.txt", "new")
