"""Which device the networks get, in which precision, and what happens when its memory runs out."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.inference.device import (
    DEVICES,
    Device,
    MemoryRanOutError,
    autocast,
    choose_device,
    cpu_device,
    is_out_of_memory,
    with_less_memory,
)

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(autouse=True)
def _as_many_threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run_net(device, items=2):
    torch.manual_seed(0)
    net = torch.nn.Conv2d(1, 4, 3, padding=1).eval().to(device.torch)
    with torch.inference_mode(), autocast(device):
        return net(torch.ones(items, 1, 8, 8, device=device.torch))


def test_auto_is_a_device_that_computes_in_the_precision_it_names():
    device = choose_device()
    assert device.kind in DEVICES
    result = run_net(device)
    assert result.dtype == getattr(torch, device.precision)
    exact = run_net(Device("cpu"))
    np.testing.assert_allclose(result.float().cpu(), exact, atol=0.02)


@pytest.mark.parametrize("kind", [kind for kind in DEVICES if kind not in {"auto", "cpu"}])
def test_what_is_absent_is_refused_saying_what_there_is(kind):
    there = {"cuda": torch.cuda, "mps": torch.backends.mps}[kind].is_available()
    if there:
        assert choose_device(kind).kind == kind
        return
    with pytest.raises(UsageError, match=rf"no {kind.upper()} device .* Available: .*CPU") as caught:
        choose_device(kind)
    assert caught.value.exit_status == 2


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="auto, cpu, cuda, mps"):
        choose_device("tpu")


def test_devices_say_what_they_are():
    assert Device("cuda", 1, "NVIDIA H100 80GB HBM3").describe() == "NVIDIA H100 80GB HBM3 (CUDA)"
    assert Device("cuda", 1).torch == torch.device("cuda:1")
    torch.set_num_threads(1)
    assert Device("cpu").describe() == "CPU, 1 thread"
    assert cpu_device().name == ""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot tie a process to processors")
def test_no_more_threads_than_processors_allowed():
    code = (
        "import os, torch; torch.set_num_threads(8); os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from COVIDQuantLib.inference.device import choose_device\n"
        "print(choose_device('cpu').describe())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "CPU, 1 thread"


def test_naming_the_devices_needs_no_torch():
    code = "import sys; import COVIDQuantLib.inference.device; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bfloat16_only_where_the_processor_has_it():
    """By the processor's own flags where Linux shows them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="ascii", errors="replace").splitlines() if info.is_file() else []
    flags = next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), None)
    if flags is None:
        pytest.skip("this system does not list the processor's flags")
    has = bool(flags & {"avx512_bf16", "amx_bf16"}) and torch.backends.mkldnn.is_available()
    assert (cpu_device().precision == "bfloat16") == has


# ------------------------------------------------------------------------------------------------------- memory


def allocate_too_much(device):
    torch.empty(1 << 48, dtype=torch.uint8, device=device)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_real_lack_of_memory_is_known_as_such(device):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate_too_much(device)
    assert is_out_of_memory(caught.value)


def test_numpy_out_of_memory_is_known_as_such():
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_messages_of_every_allocator(error, wanted):
    assert is_out_of_memory(error) == wanted


def starved(fits):
    """A run that has the memory only where ``fits`` says so, and its record."""
    tried = []

    def run(batch, device):
        tried.append((device.kind, batch))
        if not fits(batch, device):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    return run, tried


CUDA = Device("cuda", 0, "a GPU", "float16")


def test_enough_memory_changes_nothing():
    run, tried = starved(lambda batch, device: True)
    notices = []
    assert with_less_memory(run, CUDA, 8, notices) == 8
    assert tried == [("cuda", 8)]
    assert notices == []


def test_the_batch_is_halved_and_said():
    run, tried = starved(lambda batch, device: batch <= 2)
    notices = []
    assert with_less_memory(run, CUDA, 8, notices) == 2
    assert tried == [("cuda", 8), ("cuda", 4), ("cuda", 2)]
    assert [notice.code for notice in notices] == ["smaller-batch"]
    assert "a GPU (CUDA)" in notices[0].message
    with_less_memory(run, CUDA, 8, notices)
    assert len(notices) == 1


def test_then_the_cpu_takes_over_and_it_is_said():
    run, tried = starved(lambda batch, device: device.kind == "cpu")
    notices = []
    assert with_less_memory(run, CUDA, 4, notices) == 4
    assert tried == [("cuda", 4), ("cuda", 2), ("cuda", 1), ("cpu", 4)]
    assert [notice.code for notice in notices] == ["cpu-instead"]


def test_when_nothing_helps_the_user_is_told_what_to_do():
    run, tried = starved(lambda batch, device: False)
    with pytest.raises(MemoryRanOutError, match="Close other programs"):
        with_less_memory(run, CUDA, 2, [])
    assert tried == [("cuda", 2), ("cuda", 1), ("cpu", 2), ("cpu", 1)]


def test_other_errors_pass():
    def run(batch, device):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        with_less_memory(run, CUDA, 8, [])


def test_a_real_lack_of_memory_on_the_cpu_ends_in_the_largest_batch_that_fits():
    """Items of 16 TiB: none fits; the attempt's own tensors are gone before the next."""
    alive = []

    class Kept:
        def __init__(self):
            alive.append(self)

        def __del__(self):
            alive.clear()

    def run(batch, device):
        assert not alive
        kept = Kept()
        alive[:] = ["kept"]
        torch.empty(batch << 44, dtype=torch.uint8, device=device.torch)
        return kept

    with pytest.raises(MemoryRanOutError):
        with_less_memory(run, Device("cpu"), 8, [])


@GPU
def test_a_full_gpu_ends_in_a_smaller_batch_then_on_the_cpu():
    device = choose_device("cuda")
    free, total = torch.cuda.mem_get_info(device.index)

    def run(share):
        def attempt(batch, device):
            size = int(batch * share * total) if device.kind == "cuda" else 1
            return torch.empty(size, dtype=torch.uint8, device=device.torch).device.type, batch

        return attempt

    notices = []
    assert with_less_memory(run(0.3 * free / total), device, 8, notices) == ("cuda", 2)
    assert with_less_memory(run(1.5), device, 8, notices) == ("cpu", 8)
    assert [notice.code for notice in notices] == ["smaller-batch", "cpu-instead"]


@GPU
def test_a_gpu_without_room_is_passed_over_unless_asked_for():
    device = choose_device("cuda")
    free, _ = torch.cuda.mem_get_info(device.index)
    hog = torch.empty(free - (1 << 29), dtype=torch.uint8, device=device.torch)
    try:
        if torch.cuda.device_count() == 1:
            assert choose_device("auto").kind != "cuda"
        assert choose_device("cuda").kind == "cuda"
    finally:
        del hog
        torch.cuda.empty_cache()
