"""The views' pool: bounded, fair, and free again whoever leaves."""

import asyncio
import threading
import time

import pytest

from modelcraft.serving.clients import Client
from modelcraft.serving.pool import Pool
from modelcraft.support.errors import BusyError

pytestmark = pytest.mark.cases
ANA, BEN = Client("10.0.0.1"), Client("10.0.0.2")


def test_work_is_done_off_the_loop_and_its_result_or_error_comes_back():
    async def main():
        pool = Pool()
        assert await pool.run(ANA, lambda: threading.current_thread().name.startswith("view"))
        with pytest.raises(ZeroDivisionError):
            await pool.run(ANA, lambda: 1 / 0)
        assert await pool.run(ANA, pow, 2, 3) == 8

    asyncio.run(main())


def test_no_more_threads_than_were_asked_for_and_too_many_are_refused_at_once():
    at_once, most = 0, 0

    def work():
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1

    async def main():
        pool = Pool(threads=2, waiting=(8, 8, 8))
        began = time.monotonic()
        outcomes = await asyncio.gather(*(pool.run(ANA, work) for _ in range(20)), return_exceptions=True)
        assert time.monotonic() - began < 1
        assert sum(isinstance(one, BusyError) for one in outcomes) == 20 - 6 - 2
        assert sum(one is None for one in outcomes) == 8

    asyncio.run(main())
    assert most == 2


def test_who_has_had_least_comes_first():
    order = []

    async def main():
        pool = Pool()
        many = [
            asyncio.create_task(pool.run(ANA, lambda n=n: (time.sleep(0.01), order.append(f"ana {n}"))))
            for n in range(9)
        ]
        await asyncio.sleep(0)
        one = asyncio.create_task(pool.run(BEN, order.append, "ben"))
        await asyncio.gather(*many, one)

    asyncio.run(main())
    assert order.index("ben") <= 1
    assert [name for name in order if name != "ben"] == [f"ana {n}" for n in range(9)]


def test_one_session_and_one_address_have_their_bounds():
    async def main():
        pool = Pool(waiting=(8, 4, 2))
        pages = [Client("10.0.0.1", page) for page in "aaaabbbbcc"]
        looks = [asyncio.create_task(pool.run(page, time.sleep, 0.05)) for page in pages]
        other = asyncio.create_task(pool.run(Client("10.0.0.2", "z"), lambda: "done"))
        outcomes = await asyncio.gather(*looks, return_exceptions=True)
        assert sum(one is None for one in outcomes) <= 5
        assert await other == "done"

    asyncio.run(main())


@pytest.mark.parametrize("when", ["waiting", "working"])
def test_who_leaves_holds_no_place(when):
    async def main():
        pool = Pool()
        first = asyncio.create_task(pool.run(ANA, time.sleep, 0.1))
        second = asyncio.create_task(pool.run(ANA, time.sleep, 0.1))
        await asyncio.sleep(0.03)
        (first if when == "working" else second).cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert await asyncio.wait_for(pool.run(BEN, lambda: "here"), 1) == "here"

    asyncio.run(main())
