"""The threads of a step: those of one thread alone, and as many as a trial found faster."""

import threading
import time

import pytest
import torch

from modelcraft.inference.threads import PERIOD, TRIAL, Threads, compute_with


@pytest.fixture(autouse=True)
def two_of_many():
    """Whatever a test sets ends with it; the process set two."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def on_a_thread(work):
    """Return what `work` returns on a new thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_only_the_thread_that_asks_computes_with_another_number():
    def asks():
        seen = []
        for number in (3, 1, 2):
            compute_with(number, 2)
            seen += [torch.get_num_threads(), on_a_thread(torch.get_num_threads)]
        return seen

    assert on_a_thread(asks) == [3, 2, 1, 2, 2, 2]
    assert torch.get_num_threads() == on_a_thread(torch.get_num_threads) == 2


def test_prompts_are_read_as_steps_are_taken():
    def reads():
        threads, taken = Threads(2, 4), []
        for rows in (1, 2, 1):
            threads.read(rows)
            taken.append(torch.get_num_threads())
        return taken

    assert on_a_thread(reads) == [2, 4, 2]


@pytest.mark.parametrize("fast", [2, 4])
def test_it_takes_what_was_faster_and_tries_again(fast):
    def steps():
        threads, taken = Threads(2, 4), []
        quick = fast
        for step in range(PERIOD + 2 * TRIAL):
            with threads.step(rows=5):
                taken.append(torch.get_num_threads())
                if step % PERIOD < TRIAL:
                    time.sleep(0.001 if taken[-1] == quick else 0.01)
            if step == TRIAL:
                quick = 6 - fast  # from now on the other number is faster
        return taken

    taken = on_a_thread(steps)
    assert taken[:TRIAL] == taken[PERIOD : PERIOD + TRIAL] == [2, 4] * (TRIAL // 2)
    assert set(taken[TRIAL:PERIOD]) == {fast}
    assert set(taken[PERIOD + TRIAL :]) == {6 - fast}


def test_a_single_text_has_the_few_for_which_its_step_was_compiled():
    def steps():
        threads, taken = Threads(2, 4), []
        for rows in (3, 1, 3, 1, 1):
            with threads.step(rows):
                taken.append(torch.get_num_threads())
        return taken

    assert on_a_thread(steps) == [2, 2, 4, 2, 2]


def test_no_more_than_the_process_set_is_all_that_there_is():
    threads = Threads(2, 1)
    for _ in range(2 * TRIAL):
        with threads.step(rows=2):
            assert torch.get_num_threads() == 2
