"""What one client may have: of an address, of a session, and again after a while."""

import contextlib

import pytest

from modelcraft.serving.clients import Allowance, Client, Shares, network
from modelcraft.support.errors import BusyError

pytestmark = pytest.mark.cases
ANA, BEN = Client("10.0.0.1", "a"), Client("10.0.0.2", "b")


@pytest.mark.parametrize(
    ("host", "known_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_is_what_one_subscriber_has(host, known_as):
    assert network(host) == known_as


def test_shares_have_three_bounds_and_are_given_back():
    shares = Shares(most=4, an_address=3, a_session=2, wait_s=7)
    with shares.hold(ANA), shares.hold(ANA):
        with pytest.raises(BusyError, match="in 7 seconds"):  # the session's
            shares.check(ANA)
        with shares.hold(Client(ANA.address, "another page")):
            with pytest.raises(BusyError):  # the address's
                shares.check(Client(ANA.address, "a third"))
            shares.check(BEN)
            with pytest.raises(BusyError):  # of all
                shares.check(BEN, 2)
    assert shares.total == 0
    shares.check(ANA, 2)
    with pytest.raises(ValueError, match="broke"), shares.hold(ANA):
        raise ValueError("broke")
    assert shares.total == 0


def test_an_allowance_comes_back_with_time(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    allowance = Allowance(most=3, a_second=0.5)
    for _ in range(3):
        allowance.spend("a")
    with pytest.raises(BusyError) as busy:
        allowance.spend("a")
    assert busy.value.seconds == 2
    allowance.spend("b")  # somebody else's
    now += busy.value.seconds
    allowance.spend("a")
    with pytest.raises(BusyError):
        allowance.spend("a")
    now += 1_000
    for _ in range(3):  # never more than the most
        allowance.spend("a")
    with pytest.raises(BusyError):
        allowance.spend("a")


def test_an_allowance_forgets_whom_it_has_not_seen_for_long(monkeypatch):
    monkeypatch.setattr("modelcraft.serving.clients.MAX_ADDRESSES", 2)
    allowance = Allowance(most=1, a_second=1e-9)
    for address in "abc":
        allowance.spend(address)
    allowance.spend("a")
    with pytest.raises(BusyError):
        allowance.spend("c")


def test_the_last_quarter_is_for_who_has_nothing():
    shares = Shares(most=8, an_address=8, a_session=8)
    with contextlib.ExitStack() as held:
        for number in range(6):
            held.enter_context(shares.hold(Client(f"10.0.0.{number % 2}")))
        with pytest.raises(BusyError):
            shares.check(Client("10.0.0.1"))
        held.enter_context(shares.hold(Client("10.0.0.7")))
        with pytest.raises(BusyError):
            shares.check(Client("10.0.0.7"))
        held.enter_context(shares.hold(Client("10.0.0.8")))
