"""What this machine has: a compiler, and cores."""

import os
import platform
import shutil
import subprocess
import sys

import pytest
import torch
from torch._inductor import config

from modelcraft.ladder import RUNGS
from modelcraft.loss import exact_loss
from modelcraft.store.folder import WEIGHTS_DIR, read_info
from modelcraft.support import device
from modelcraft.support.device import has_compiler, name_compiler, pick_device
from modelcraft.training.recipes import TrainConfig
from modelcraft.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def programs(monkeypatch):
    """Let only the programs that are put into this set be installed; PyTorch's own setting comes back as it was."""
    there: set[str] = set()
    monkeypatch.setattr(shutil, "which", lambda name: name if name in there else None)
    with config.patch({"cpp.cxx": config.cpp.cxx}):
        yield there


@pytest.mark.cases
@pytest.mark.parametrize("cxx", ["ccache g++-13", "g++-13", "/usr/bin/ccache  g++-13 -m64", "distcc ccache g++-13"])
def test_a_compiler_is_found_behind_what_starts_it(programs, monkeypatch, cxx):
    programs |= {"ccache", "/usr/bin/ccache", "distcc", "g++-13"}
    monkeypatch.setenv("CXX", cxx)
    assert has_compiler(CPU)
    name_compiler(CPU)
    assert config.cpp.cxx == (None, "g++-13")


@pytest.mark.cases
def test_a_compiler_that_is_named_and_missing_is_none(programs, monkeypatch):
    programs |= {"ccache"}
    monkeypatch.setenv("CXX", "ccache g++-13")
    assert not has_compiler(CPU)


@pytest.mark.cases
def test_as_many_threads_as_cores_that_may_be_used():
    """Pinned to one core, whatever the machine has."""
    script = (
        "import os\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from modelcraft.support.device import threads_for, threads_for_serving, usable_cores\n"
        "print(usable_cores(), threads_for_serving(), threads_for(10**7))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "1 1 1\n"


@pytest.mark.cases
@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, [1.5]),
        ("0::/", {"cpu.max": "max 100000"}, []),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000", "cpu.max": "50000 100000"}, [2, 0.5]),
        ("0::/not/here", {}, []),
        ("3:cpuset:/\n2:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000"}, []),
        (
            "2:cpu,cpuacct:/seen/from/outside",
            {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            [3],
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
    ],
)
def test_a_control_groups_quota_counts(tmp_path, monkeypatch, line, files, expected):
    groups, mounted = tmp_path / "cgroup", tmp_path / "mounted"
    groups.write_text(f"{line}\n")
    for name, content in files.items():
        (mounted / name).parent.mkdir(parents=True, exist_ok=True)
        (mounted / name).write_text(content)
    assert list(device._quotas(mounted, groups)) == expected
    monkeypatch.setattr(device, "_quotas", lambda: iter(expected))
    bound = len(os.sched_getaffinity(0))
    assert device.usable_cores() == max(1, min([bound, *map(int, expected)]))


@pytest.mark.cases
@pytest.mark.parametrize(
    ("rung", "threads"), [("bigram", 1), ("block", 1), ("counting", 1), ("gpt-mini", 2), ("gpt", 2)]
)
def test_small_rungs_take_one_thread(monkeypatch, rung, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    parameters = read_info(WEIGHTS_DIR / rung).parameters
    assert device.threads_for(parameters) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "16")  # who says so is heard
    assert device.threads_for(parameters) == 16


@pytest.mark.cases
def test_a_small_model_is_trained_and_measured_on_one_thread(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    seen = []
    model = RUNGS["bigram"].build(RUNGS["bigram"].config)
    model.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    data = torch.arange(400) % 65
    try:
        torch.set_num_threads(2)
        Trainer(model, data, data, TrainConfig(steps=2, batch_size=2, eval_batches=1), tmp_path).train()
        exact_loss(model, data)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(seen) >= 7
    assert set(seen) == {1}


@pytest.mark.cases
@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps it")
def test_memory_that_is_free_goes_back_though_something_lies_above_it():
    script = """
from benchmarks.memory import resident
from modelcraft.support.device import give_back_memory
import os
import platform
pieces = [b"x" * 100_000 for _ in range(2_000)]
last = pieces[-1]
del pieces
kept = resident(os.getpid())[0]
give_back_memory()
print(kept - resident(os.getpid())[0])
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(answer.stdout) > 150  # of 190 MiB


@pytest.mark.parametrize(("says", "device"), [("true", "cpu"), ("", "cuda")])
def test_zero_gpu_hardware_says_that_it_has_a_gpu_and_the_cpu_is_taken(monkeypatch, says, device):
    monkeypatch.setenv("SPACES_ZERO_GPU", says)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    assert pick_device() == torch.device(device)
