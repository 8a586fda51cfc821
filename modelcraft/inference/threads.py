"""How many threads a step takes: as many as the process set, or as there are cores, whichever was faster when tried.

With two threads a step of a large model for many texts takes half as long, if the cores are idle. If readers, other
models or other programs keep the cores busy, each product ends when its last thread gets a core, and one thread is
faster. Nobody can see that from outside, so an engine tries both now and then.

OpenMP keeps a team of threads for each thread that computes with several. As soon as the teams have more threads than
there are cores, these no longer wait for the next product by spinning but fall asleep, and a step takes three times as
long. So `compute_with` changes the number of the calling thread only, and the app's other threads compute alone.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PERIOD = 512  # steps from one trial to the next
TRIAL = 8  # of these, the first: by turns with few threads and with many


class Threads:
    """Chooses the number of threads for each step of one engine: `few`, which the process set, or `many`."""

    def __init__(self, few: int, many: int) -> None:
        self.few, self.many = few, max(few, many)
        self.best = self.many
        self._steps = 0
        self._took = {self.few: 0.0, self.many: 0.0}  # seconds a text in this trial

    def read(self, rows: int) -> None:
        """Let this thread read prompts, with which there are `rows` texts, with as many as their steps will take."""
        compute_with(self.best if rows > 1 else self.few, self.few)

    @contextmanager
    def step(self, rows: int) -> Iterator[None]:
        """Let the block take a step of `rows` texts with the number chosen for it."""
        if rows == 1:  # its step may be compiled, for the few
            compute_with(self.few, self.few)
            yield
            return
        place = self._steps % PERIOD
        self._steps += 1
        threads = (self.few, self.many)[place % 2] if place < TRIAL else self.best
        compute_with(threads, self.few)
        started = time.perf_counter()
        yield
        if place < TRIAL:
            self._took[threads] += (time.perf_counter() - started) / rows
        if place == TRIAL - 1:
            self.best = min(self._took, key=lambda number: self._took[number])
            self._took = dict.fromkeys(self._took, 0.0)


def compute_with(threads: int, others: int) -> None:
    """Let PyTorch compute with `threads` threads for the calling thread, and for all new ones with `others`."""
    if threads == torch.get_num_threads():
        return
    torch.set_num_threads(threads)  # of this thread, and of all threads that have not computed yet
    back = threading.Thread(target=torch.set_num_threads, args=(others,))
    back.start()
    back.join()
