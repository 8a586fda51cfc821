"""Choose the device to compute on, and ask what it does well."""

import contextlib
import ctypes
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from modelcraft.support.errors import ConfigError, ModelCraftWarning, shown
from modelcraft.support.surroundings import on_zero_gpu

READ_AT_ONCE = 16_384  # characters on a CPU: a batch that fits its caches is faster than a larger one
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun for each process
COMPILER_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")  # CXX may name one before the compiler
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
SMALL_PARAMETERS = 500_000  # below it, threads help a model little, and cost much if other programs run
_M_ARENA_MAX = -8  # from malloc.h
BYTES_A_CHARACTER = 1 << 17  # memory to read one: the scores of six heads over 1,024 characters, and a margin


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return `device`; without one, return the accelerator if there is one, else the CPU, also on ZeroGPU hardware.

    Raises ConfigError for a device that this machine does not have.
    """
    if device is None or device == "auto":
        if on_zero_gpu():  # its GPU is there for single calls only, though PyTorch says that there is one
            return torch.device("cpu")
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        chosen = torch.device(device)
        if chosen.type == "meta":
            raise RuntimeError("nothing is computed there")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"There is no device {str(device)!r} here; leave --device out, or use 'cpu'.") from error
    return chosen


def read_at_once(device: torch.device) -> int:
    """Return how many characters to read at once to measure a loss: enough to be fast, few enough to fit."""
    if device.type != "cuda":
        return READ_AT_ONCE
    free, _ = torch.cuda.mem_get_info(device)
    return min(64 * READ_AT_ONCE, max(READ_AT_ONCE, free // BYTES_A_CHARACTER))


def has_compiler(device: torch.device) -> bool:
    """Say whether torch.compile finds the compiler that it needs: for C++, or on a GPU for C."""
    return _compiler(device) is not None


def name_compiler(device: torch.device) -> None:
    """Tell PyTorch which compiler `has_compiler` found: it takes all of CXX, such as `ccache g++`, for one program."""
    from torch._inductor import config  # a slow import that only compiling needs

    if device.type == "cpu" and (compiler := _compiler(device)):
        config.cpp.cxx = (None, compiler)


def _compiler(device: torch.device) -> str | None:
    variable, usual = ("CXX", "g++") if device.type == "cpu" else ("CC", "gcc")
    named = os.environ.get(variable) or usual
    words = (word for word in named.split() if Path(word).stem not in COMPILER_LAUNCHERS)
    return next(filter(shutil.which, (named, *words, "clang++", "clang", "cl")), None)


def check_compile_cache() -> None:
    """Let PyTorch cache compiled code in the temporary folder if TORCHINDUCTOR_CACHE_DIR cannot be written.

    PyTorch creates that folder before it creates an optimizer, even if it never compiles anything.
    """
    named = os.environ.get(_CACHE)
    if named is None:
        return
    with contextlib.suppress(OSError):
        Path(named).mkdir(parents=True, exist_ok=True)
    if not (Path(named).is_dir() and os.access(named, os.W_OK | os.X_OK)):
        del os.environ[_CACHE]
        warnings.warn(
            f"{_CACHE} names {shown(named)}, which cannot be written, so the temporary folder is taken instead.",
            ModelCraftWarning,
            stacklevel=2,
        )


def usable_cores() -> int:
    """Return how many cores this process may use: those it is bound to, up to the quota of its control group."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, int(min(_quotas(), default=bound))))


def launched() -> tuple[int, int]:
    """Return the rank of this process and the number of processes, as torchrun sets them; (0, 1) if it is alone.

    There is a launcher only if all its variables are set: a stray one in the environment means nothing.
    """
    if not all(os.environ.get(name) for name in LAUNCHER):
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def threads_for_serving() -> int:
    """Return how many threads a product uses while the app serves a page: half of the cores, at most four.

    With as many threads as cores, each answer to a browser delays all of them: at the end of a product they wait for
    the last one.
    """
    return max(1, min(4, usable_cores() // 2))


def threads_for_many(device: torch.device) -> int:
    """Return the most threads that a step for many texts takes: one for each core, up to eight, or OMP_NUM_THREADS."""
    if device.type != "cpu":
        return 1
    named = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(8, usable_cores(), int(named) if named.isdecimal() else usable_cores()))


def threads_for(parameters: int) -> int:
    """Return how many threads train and measure a model of this size; OMP_NUM_THREADS overrides the choice.

    Without it a small model uses one: a second one hardly helps, and if another program runs too, the threads wait
    for each other after each of the model's thousands of small products.
    """
    now = torch.get_num_threads()
    if os.environ.get("OMP_NUM_THREADS"):
        return now
    return 1 if parameters < SMALL_PARAMETERS else min(now, usable_cores())


@contextlib.contextmanager
def threads_by_size(parameters: int) -> Iterator[None]:
    """Use `threads_for(parameters)` threads within the block, and restore the earlier number after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(parameters))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _quotas(mounted: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Yield the CPU quota, in cores, of each control group around this process, in either version of Linux's."""
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = mounted / controllers
            group = top / path.lstrip("/")
            for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
                for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
                    with contextlib.suppress(OSError, ValueError):  # no such file, or no limit: "max" or -1
                        quota, period = " ".join((folder / file).read_text() for file in files).split()
                        if int(quota) > 0:
                            yield int(quota) / int(period)


def share_one_heap() -> None:
    """Let all threads use one heap if the C library is glibc; call this before other threads exist.

    Otherwise each thread has its own heap and keeps the memory that it frees: the app grew by a tenth.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return free memory to the system if the C library is glibc, which otherwise keeps as much as it ever took.

    This takes 0.2 ms, or a few ms after many clients have sent large requests.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def gains_from_bf16(device: torch.device) -> bool:
    """Say whether `device` multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
