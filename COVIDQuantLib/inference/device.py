"""Choose the networks' device and precision, and recover when its memory runs out.

Nothing here imports torch before it is needed, so that the command line may name the devices.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import COVIDQuantError, UsageError
from COVIDQuantLib.system.processors import usable_processors

DEVICES = ("auto", "cpu", "cuda", "mps")
# Code of the notice that the CPU was used instead.
CPU_INSTEAD = "cpu-instead"
# Memory for a batch of one, including CUDA's own; with less, the CPU is faster.
_LEAST_FREE_BYTES = 1 << 30
# Older ones have no tensor cores, and most of them compute float16 at a fraction of the speed of float32.
_FLOAT16_CAPABILITY = (7, 0)
# Turing without tensor cores; float16 convolutions are known to give NaN there.
_FLOAT16_UNSOUND = ("GTX 16",)
# torch 2.6 renamed these queries; processors that return true multiply bfloat16 in hardware.
_BFLOAT16_QUESTIONS = (
    "_is_avx512_bf16_supported",
    "_is_amx_tile_supported",
    "_is_cpu_support_avx512_bf16",
    "_is_cpu_support_amx_tile",
)
# Out-of-memory messages of allocators that raise a plain RuntimeError, in lower case.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "status_alloc_failed",
    "invalid buffer size",
)

Result = TypeVar("Result")


class MemoryRanOutError(COVIDQuantError):
    """Neither a smaller batch nor the CPU made the job fit into memory."""


@dataclass(frozen=True)
class Device:
    """Where networks compute.

    Attributes:
        kind: ``cpu``, ``cuda`` or ``mps``.
        index: which of several CUDA devices; 0 otherwise.
        name: the vendor's name; empty if unknown.
        precision: name of the torch type in which convolutions are computed: ``float32``, ``float16``, ``bfloat16``.
    """

    kind: str
    index: int = 0
    name: str = ""
    precision: str = "float32"

    @property
    def torch(self) -> Any:
        """The ``torch.device``."""
        import torch

        return torch.device(self.kind, self.index) if self.kind == "cuda" else torch.device(self.kind)

    def describe(self) -> str:
        """In words: ``NVIDIA H100 (CUDA)``, ``CPU, 2 threads``."""
        if self.kind != "cpu":
            return f"{self.name or 'GPU'} ({self.kind.upper()})"
        import torch

        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'' if threads == 1 else 's'}"


def choose_device(wanted: str = "auto") -> Device:
    """The requested device, or the best available one.

    ``auto`` is the first CUDA device that computes and has a gibibyte free, else Apple's GPU, else the CPU.

    Precision: float16 on CUDA from compute capability 7.0 (it keeps three bits more than bfloat16, and normalised
    activations stay far within its range), else float32; float32 on MPS, whose GPUs gain little by float16 and whose
    three-dimensional convolutions do not support it in every version; on the CPU bfloat16 only where the processor
    multiplies it in hardware, else float32.

    Args:
        wanted: one of ``DEVICES``.

    Raises:
        UsageError: there is no such device, or it cannot compute; lists the available ones.
    """
    if wanted not in DEVICES:
        raise UsageError(f"there is no device named {wanted!r}", remedy=f"Choose one of: {', '.join(DEVICES)}.")
    makers: dict[str, Callable[[], Device | None]] = {"cuda": _cuda, "mps": _mps, "cpu": cpu_device}
    if wanted == "auto":
        found: Device | None = _cuda(_LEAST_FREE_BYTES) or _mps() or cpu_device()
    else:
        found = makers[wanted]()
    if found is None:
        there = [device.describe() for device in (make() for make in makers.values()) if device is not None]
        raise UsageError(
            f"no {wanted.upper()} device is usable here",
            remedy=f"Available: {'; '.join(there)}. Choose one, or 'auto'.",
        )
    return found


def cpu_device() -> Device:
    """The CPU, with no more threads than the processors this process may run on."""
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), usable_processors())))
    return Device("cpu", precision="bfloat16" if _bfloat16_in_hardware() else "float32")


def autocast(device: Device) -> AbstractContextManager[Any]:
    """A context in which convolutions are computed in the device's precision."""
    if device.precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device.kind, getattr(torch, device.precision))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whichever device."""
    if isinstance(error, MemoryError):
        return True
    # Its subclass torch.OutOfMemoryError contains 'out of memory' too, whatever its name in a version of torch.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)


def with_less_memory(
    run: Callable[[int, Device], Result], device: Device, batch: int, notices: MutableSequence[CTWarning]
) -> Result:
    """Run a function, halving the batch whenever memory runs out, and falling back to the CPU below a batch of one.

    Args:
        run: computes with a batch size on a device; it is restarted after a failure, so it must have no side effects
            until it returns.
        device: first device to try.
        batch: initial batch size.
        notices: receives warnings: that the batch was reduced, or that the CPU was used.

    Raises:
        MemoryRanOutError: a batch of one does not fit on the CPU either.
    """
    whole = batch
    while True:
        # The failed attempt's tensors live as long as its traceback, so it is released before the next attempt.
        try:
            result = run(batch, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            if batch < whole:
                text = f"memory of {device.describe()} was short: the networks ran in batches of {batch}, not {whole}"
                _notice(notices, "smaller-batch", text)
            return result
        _give_back_memory(device)
        if batch > 1:
            batch //= 2
        elif device.kind != "cpu":
            text = f"memory of {device.describe()} was not enough: the networks ran on the CPU"
            _notice(notices, CPU_INSTEAD, text)
            device, batch = cpu_device(), whole
        else:
            raise MemoryRanOutError(
                "the computer has too little memory for the networks on this CT",
                remedy="Close other programs, or choose the model-free method.",
            )


def _notice(notices: MutableSequence[CTWarning], code: str, text: str) -> None:
    """Add a notice once, however many networks it applies to."""
    if all(notice.code != code for notice in notices):
        notices.append(CTWarning(code, text))


def _give_back_memory(device: Device) -> None:
    """Release memory that torch caches, for the next attempt and other programs."""
    if device.kind == "cuda":
        import torch

        torch.cuda.empty_cache()


def _cuda(least_free_bytes: int = 0) -> Device | None:
    """The first working CUDA device with this much free memory."""
    import torch

    if not torch.cuda.is_available():
        return None
    for index in range(torch.cuda.device_count()):
        try:
            # A driver may list a GPU that this build of torch does not support.
            torch.ones(1, device=f"cuda:{index}").add(1.0).item()
            free, _ = torch.cuda.mem_get_info(index)
        except RuntimeError:
            continue
        if free >= least_free_bytes:
            name = torch.cuda.get_device_name(index)
            sound = not any(part in name for part in _FLOAT16_UNSOUND)
            quick = torch.cuda.get_device_capability(index) >= _FLOAT16_CAPABILITY
            return Device("cuda", index, name, "float16" if sound and quick else "float32")
    return None


def _mps() -> Device | None:
    """Apple's GPU."""
    import torch

    if not torch.backends.mps.is_available():
        return None
    try:
        torch.ones(1, device="mps").add(1.0).item()
    except RuntimeError:
        return None
    return Device("mps", name="Apple GPU")


def _bfloat16_in_hardware() -> bool:
    """Whether the processor multiplies bfloat16 itself; torch's oneDNN query is also true where it is only emulated."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    for name in _BFLOAT16_QUESTIONS:
        ask = getattr(torch.cpu, name, None)
        if ask is not None and ask():
            return True
    return False
