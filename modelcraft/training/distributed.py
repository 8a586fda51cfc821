"""Train in several processes at once, started by `torchrun --nproc-per-node N -m modelcraft.train …`.

Training is data parallel: every process holds the whole model, draws the same batch and computes its share of the
rows, and PyTorch's DistributedDataParallel averages the gradients (over gloo on CPUs, NCCL on NVIDIA GPUs). So the
steps are the same, up to rounding, for any number of processes. Only the first process writes and prints.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from modelcraft.data import Batch, count_scored
from modelcraft.support.device import launched
from modelcraft.support.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """The rank of this process and the number of processes; it is alone unless `joined` says otherwise."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Wrap `model` so that its backward pass leaves the mean gradient of all processes."""
        return model if self.world == 1 else DistributedDataParallel(model, broadcast_buffers=False)

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """Return this process's rows of a batch, and the weight of their mean loss.

        With these weights the mean over the processes is the mean over all scored tokens, even if rows differ in how
        many they have.
        """
        if self.world == 1:
            return batch, 1.0
        rows = len(batch["targets"])
        if rows < self.world:
            raise ConfigError(f"A batch of {rows} has no row for each of {self.world} processes; change one.")
        mine = {name: tensor[self.rank :: self.world] for name, tensor in batch.items()}
        scored, all_scored = (count_scored(targets) for targets in (mine["targets"], batch["targets"]))
        return mine, self.world * scored / all_scored

    def any(self, here: bool) -> bool:
        """Say whether `here` is true in any of the processes; all of them must call this."""
        if self.world == 1:
            return here
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        flag = torch.tensor(float(here), device=device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        self.any(False)


@contextlib.contextmanager
def joined(device: str | None = None) -> Iterator[tuple[Ranks, str | None]]:
    """Join the processes that torchrun started, if any; yield this one's Ranks and the device it should use.

    On a machine with NVIDIA GPUs each process uses its own, unless `device` says otherwise.
    """
    _, world = launched()
    if world == 1:
        yield Ranks(), device
        return
    on_gpu = torch.cuda.is_available() and (device is None or device.startswith("cuda"))
    if on_gpu and device in (None, "cuda"):
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world), device
    finally:
        distributed.destroy_process_group()
