"""Which device to compute on, and what it is good at."""

import contextlib
import ctypes
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from modelcraft.support.errors import ConfigError, ModelCraftWarning, shown

READ_AT_ONCE = 16_384  # characters on a CPU: what goes through its caches at once is quicker than more
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process
COMPILER_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")  # what CXX may name before the compiler
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
SMALL_PARAMETERS = 500_000  # below it threads gain a model little, and cost it much where they are not alone
_M_ARENA_MAX = -8  # malloc.h's
BYTES_A_CHARACTER = 1 << 17  # that a model needs for reading it: six heads' scores of 1,024 characters, and a margin


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return `device`, or the accelerator if there is one, else the CPU.

    Raises ConfigError for a device that this machine does not have.
    """
    if device is None or device == "auto":
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
    """Return how many characters to read together where a loss is measured: enough to be quick, few enough to fit."""
    if device.type != "cuda":
        return READ_AT_ONCE
    free, _ = torch.cuda.mem_get_info(device)
    return min(64 * READ_AT_ONCE, max(READ_AT_ONCE, free // BYTES_A_CHARACTER))


def has_compiler(device: torch.device) -> bool:
    """Say whether what torch.compile needs beside PyTorch is there: a compiler for C++, for a GPU one for C."""
    return _compiler(device) is not None


def name_compiler(device: torch.device) -> None:
    """Tell PyTorch which compiler `has_compiler` found: it takes all of CXX, `ccache g++` say, for one program."""
    from torch._inductor import config  # which takes a while, and is needed by whoever compiles

    if device.type == "cpu" and (compiler := _compiler(device)):
        config.cpp.cxx = (None, compiler)


def _compiler(device: torch.device) -> str | None:
    variable, usual = ("CXX", "g++") if device.type == "cpu" else ("CC", "gcc")
    named = os.environ.get(variable) or usual
    words = (word for word in named.split() if Path(word).stem not in COMPILER_LAUNCHERS)
    return next(filter(shutil.which, (named, *words, "clang++", "clang", "cl")), None)


def check_compile_cache() -> None:
    """Let PyTorch keep what it compiles in the temporary folder where TORCHINDUCTOR_CACHE_DIR cannot be written.

    It makes that folder before it makes an optimizer, whether or not anything will be compiled.
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
    """Return how many cores this process may use: those it is bound to, and no more than its control group pays for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, int(min(_quotas(), default=bound))))


def launched() -> tuple[int, int]:
    """Return the rank of this process, and how many there are, as torchrun says; (0, 1) if it is alone.

    Without all of its variables there is no launcher: one that is left in the environment says nothing.
    """
    if not all(os.environ.get(name) for name in LAUNCHER):
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def threads_for_serving() -> int:
    """Return how many threads a product should take where a page is served, too: half of the cores, at most four.

    With as many threads as cores each answer to a browser holds up all of them: at the end of a product they wait for
    the last one.
    """
    return max(1, min(4, usable_cores() // 2))


def threads_for(parameters: int) -> int:
    """Return how many threads a model of so many parameters is trained and measured with; OMP_NUM_THREADS decides.

    Without it a small one takes one: two gain it next to nothing, and where another program is at work, too, they
    wait for each other after each of its thousands of small products.
    """
    now = torch.get_num_threads()
    if os.environ.get("OMP_NUM_THREADS"):
        return now
    return 1 if parameters < SMALL_PARAMETERS else min(now, usable_cores())


@contextlib.contextmanager
def threads_by_size(parameters: int) -> Iterator[None]:
    """Take `threads_for` so many parameters within the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(parameters))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _quotas(mounted: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Yield how many cores' time each control group around this process allows it, by either version of Linux's."""
    with contextlib.suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = mounted / controllers
            group = top / path.lstrip("/")
            for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
                for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
                    with contextlib.suppress(OSError, ValueError):  # there is none; or "max", or -1
                        quota, period = " ".join((folder / file).read_text() for file in files).split()
                        if int(quota) > 0:
                            yield int(quota) / int(period)


def share_one_heap() -> None:
    """Let all threads take memory from one heap, where the C library is glibc; to be called before there are others.

    Else each thread has a heap of its own, and what it has given back stays with it: the app grew by a tenth.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return what is free to the system, where the C library is glibc: else it keeps as much as it ever took.

    It takes 0.2 ms, or some ms after a crowd has sent large requests.
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
