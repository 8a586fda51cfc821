"""What this machine has: a compiler, and cores."""

import shutil

import pytest
import torch
from torch._inductor import config

from modelcraft.device import has_compiler, name_compiler

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
