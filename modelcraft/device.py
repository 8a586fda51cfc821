"""Which device to compute on, and what it is good at."""

import contextlib
import ctypes
import os
import shutil
import warnings
from pathlib import Path

import torch

from modelcraft.errors import ConfigError, ModelCraftWarning, shown

READ_AT_ONCE = 16_384  # characters on a CPU: what goes through its caches at once is quicker than more
COMPILER_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")  # what CXX may name before the compiler
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
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


def threads_for_serving() -> int:
    """Return how many threads a product should take where a page is served, too: half of the cores, at most four.

    With as many threads as cores each answer to a browser holds up all of them: at the end of a product they wait for
    the last one.
    """
    return max(1, min(4, (os.cpu_count() or 1) // 2))


def share_one_heap() -> None:
    """Let all threads take memory from one heap, where the C library is glibc; to be called before there are others.

    Else each thread has a heap of its own, and what it has given back stays with it: the app grew by a tenth.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def gains_from_bf16(device: torch.device) -> bool:
    """Say whether `device` multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
