"""Time and peak memory of all our networks on one CT, beside lungmask's network on the same slices.

    python Testing/benchmarks/bench_networks.py [--matrix 512] [--slices 300] [--device cpu] [--repeat 3] [--whole-job]

The CT is a phantom with 1 mm sections, made once. Each side runs in a process of its own, one after the other. Ours is
everything from the CT in memory to lobes and lesions on its grid: sampling, three networks, tidying, the way back.
lungmask's is its network alone, built by its own package as for R231, with random weights since only time is measured,
on slices prepared by its own package, 20 at a time in float32 as its program does; then once more in our precision and
memory layout. Preparing is timed apart and counts for neither ratio. Needs the package lungmask.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

# Nothing heavy is imported above: a process counts its parent's memory as its own peak on some systems.

SIDES = ("make", "ours", "lungmask")
LUNGMASK_BATCH, LUNGMASK_SIDE = 20, 256
# Makers' figures for dense float16 matrix products, 10¹² operations a second.
NOMINAL_TFLOPS = {
    "H200": 989.4,
    "H100 PCIe": 756.0,
    "H100 80GB HBM3": 989.4,
    "A100": 312.0,
    "L4": 121.0,
    "L40S": 362.1,
    "V100": 125.0,
    "T4": 65.0,
}


def peak_memory_gib() -> float | None:
    """The most memory this process ever held; None where that cannot be asked."""
    try:
        import resource
    except ImportError:
        try:
            import psutil
        except ImportError:
            return None
        return psutil.Process().memory_info().peak_wset / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def make(arguments: argparse.Namespace) -> dict[str, Any]:
    """Write the CT, or describe the one given."""
    if arguments.ct:
        from COVIDQuantLib.ct.read import read_ct

        ct, _ = read_ct(arguments.ct).canonical()
        return {"shape": ct.hu.shape, "spacing": ct.geometry.spacing_kji}
    from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom, write_phantom

    settings = PhantomSettings(2000, thickness_mm=1.0, matrix=arguments.matrix, slices=arguments.slices)
    phantom = make_phantom(settings)
    write_phantom(phantom, arguments.folder)
    return {"shape": phantom.ct.hu.shape, "spacing": phantom.ct.geometry.spacing_kji}


class Watch:
    """Notes, while entered, every run of our networks: which, on what shape, how long."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.runs: list[tuple[Any, tuple[int, ...]]] = []
        self._since = 0.0

    def __enter__(self) -> Self:
        """Begin to watch."""
        from torch.nn.modules import module

        self._handles = [
            module.register_module_forward_pre_hook(self._begin),
            module.register_module_forward_hook(self._end),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        """Cease to watch."""
        for handle in self._handles:
            handle.remove()

    def _begin(self, module: Any, _: Any) -> None:
        if is_ours(module):
            synchronise()
            self._since = time.perf_counter()

    def _end(self, module: Any, given: Any, _: Any) -> None:
        if is_ours(module):
            synchronise()
            self.seconds += time.perf_counter() - self._since
            self.runs.append((module, tuple(given[0].shape)))

    def flops(self) -> int:
        """Operations of all runs, a multiplication and an addition counting as two."""
        return sum(flops_of(module, shape) for module, shape in self.runs)


def is_ours(module: Any) -> bool:
    """Whether a module is a whole network of ours."""
    from COVIDQuantLib.networks.blocks import AnyShape

    return isinstance(module, AnyShape)


def flops_of(network: Any, shape: tuple[int, ...]) -> int:
    """Operations of one run, counted on a copy that computes nothing."""
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    shadow = copy.deepcopy(network).to("meta").float()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(shape, device="meta"))
    return counter.get_total_flops()


def synchronise() -> None:
    """Wait for the GPU, if there is one at work."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """Our networks, and with ``--whole-job`` all of what ``covidquant quantify`` does between reading and writing."""
    import torch

    from COVIDQuantLib.ct.read import read_ct
    from COVIDQuantLib.pipeline import NETWORK, Plan, quantify_ct

    ct, _ = read_ct(arguments.ct or arguments.folder / "ct.nrrd").canonical()
    plan = Plan(NETWORK, arguments.device, arguments.lobes, arguments.lesions)
    started = time.perf_counter()
    networks = plan.networks()
    runs, notices = [], []
    for _ in range(arguments.repeat + 1):
        with Watch() as watch:
            begun = time.perf_counter()
            lobes = networks.lobes(ct, notices)
            halfway = time.perf_counter()
            lesions = networks.lesions(ct, lobes, notices)
            ended = time.perf_counter()
        runs.append({"lobes": halfway - begun, "lesions": ended - halfway, "inside": watch.seconds})
        if len(runs) == 1:
            first = ended - started
    record = {
        **machine(networks.device),
        "first": first,
        "runs": runs[1:],
        "gflop": watch.flops() / 1e9,
        "lung_voxels": int((lobes > 0).sum()),
        "lesion_voxels": int(lesions.sum()),
        "notices": [str(notice) for notice in notices],
    }
    if arguments.whole_job:
        begun = time.perf_counter()
        quantify_ct(ct, plan=plan)
        record["whole_job"] = time.perf_counter() - begun
    record["peak_gib"] = peak_memory_gib()
    if torch.cuda.is_available():
        record["peak_gpu_gib"] = torch.cuda.max_memory_reserved() / 2**30
    record["attainable_gflops"] = attainable_gflops(networks.device)
    return record


def lungmask(arguments: argparse.Namespace) -> dict[str, Any]:
    """lungmask's network in its own way and in ours."""
    import numpy as np
    import torch
    from lungmask import utils

    from COVIDQuantLib.ct.read import read_ct
    from COVIDQuantLib.inference.device import autocast, choose_device
    from COVIDQuantLib.networks.registry import build_network

    ct, _ = read_ct(arguments.ct or arguments.folder / "ct.nrrd").canonical()
    device = choose_device(arguments.device)
    chosen = (
        np.linspace(0, len(ct.hu) - 1, min(arguments.lungmask_slices or len(ct.hu), len(ct.hu))).round().astype(int)
    )
    started = time.perf_counter()
    slices, _ = utils.preprocess(ct.hu[chosen], resolution=[LUNGMASK_SIDE, LUNGMASK_SIDE])
    scaled = ((np.minimum(slices, 600) + 1024) / 1624).astype(np.float32)[:, None]
    prepared = time.perf_counter() - started
    torch.manual_seed(0)
    network = build_network("lungmask-unet").eval().to(device.torch)
    gflop = flops_of(network, (1, *scaled.shape[1:])) * len(scaled) / 1e9
    seconds = {}
    for way, layout, context in (
        ("own", torch.contiguous_format, nullcontext()),
        ("ours", torch.channels_last, autocast(device)),
    ):
        network = network.to(memory_format=layout)

        with torch.inference_mode(), context:
            run_in_batches(network, scaled[:LUNGMASK_BATCH], device, layout)
            begun = time.perf_counter()
            run_in_batches(network, scaled, device, layout)
            seconds[way] = time.perf_counter() - begun
    return {
        "slices": len(scaled),
        "of": len(ct.hu),
        "prepared": prepared,
        "seconds": seconds,
        "gflop": gflop,
        "peak_gib": peak_memory_gib(),
        "precision": device.precision,
    }


def run_in_batches(network: Any, slices: Any, device: Any, layout: Any) -> None:
    """Labels of slices ``[n, 1, j, i]``, as lungmask computes them."""
    import torch

    for first in range(0, len(slices), LUNGMASK_BATCH):
        batch = torch.from_numpy(slices[first : first + LUNGMASK_BATCH]).to(device.torch, memory_format=layout)
        network(batch).argmax(1).to(torch.uint8).cpu()


def machine(device: Any) -> dict[str, Any]:
    """What it ran on."""
    import torch

    return {
        "device": device.describe(),
        "precision": device.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "processors": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "nominal_gflops": next((t * 1e3 for name, t in NOMINAL_TFLOPS.items() if name in device.name), None),
    }


def attainable_gflops(device: Any) -> float:
    """What the device reaches in its precision on a large matrix product or convolution, 10⁹ operations a second.

    The better of both: some processors' matrix products lag behind their convolutions in float32.
    """
    import torch

    side, batch, times = (8192, 64, 20) if device.kind != "cpu" else (2048, 4, 3)
    kind = {"device": device.torch, "dtype": getattr(torch, device.precision)}
    matrix = torch.randn(side, side, **kind)
    convolve = torch.nn.Conv2d(256, 256, 3, padding=1, bias=False, **kind).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 256, 64, 64, **kind).contiguous(memory_format=torch.channels_last)
    operations = {matrix.matmul: (matrix, 2 * side**3), convolve: (images, 2 * images.numel() * 256 * 9)}
    with torch.inference_mode():
        return max(flops / best_seconds(run, given, times) for run, (given, flops) in operations.items()) / 1e9


def best_seconds(run: Any, given: Any, times: int) -> float:
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(times):
        synchronise()
        begun = time.perf_counter()
        run(given)
        synchronise()
        best = min(best, time.perf_counter() - begun)
    return best


def in_its_own_process(side: str, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Run one side and take its record."""
    out = folder / f"{side}.json"
    command = [sys.executable, __file__, *arguments, "--side", side, "--folder", str(folder)]
    subprocess.run(command, check=True)
    return json.loads(out.read_text(encoding="utf-8"))


def show(ct: dict[str, Any], our: dict[str, Any], their: dict[str, Any]) -> None:
    """A line per figure."""
    spacing = " × ".join(f"{step:.2f}" for step in ct["spacing"])
    print(f"CT [k, j, i] {' × '.join(map(str, ct['shape']))}, {spacing} mm")
    print(f"{our['platform']}, torch {our['torch']}, {our['processors']} processors, {our['threads']} threads")
    runs = sorted(our["runs"], key=lambda run: run["lobes"] + run["lesions"])
    best, worst = (run["lobes"] + run["lesions"] for run in (runs[0], runs[-1]))
    print(f"\nour networks on {our['device']}, {our['precision']}, {len(runs)} runs, warm")
    print(f"  {best:.2f} to {worst:.2f} s; best: lobes {runs[0]['lobes']:.2f}, lesions {runs[0]['lesions']:.2f} s")
    print(f"  first run, with loading: {our['first']:.2f} s")
    rate = our["gflop"] / runs[0]["inside"]
    print(f"  inside the networks {runs[0]['inside']:.2f} s: {our['gflop']:.0f} GFLOP, {rate:.0f} GFLOP/s")
    attainable = our["attainable_gflops"]
    print(f"  = {rate / attainable:.1%} of what large products reach ({attainable:.0f} GFLOP/s)")
    if our["nominal_gflops"]:
        print(f"  = {rate / our['nominal_gflops']:.1%} of the maker's figure ({our['nominal_gflops']:.0f} GFLOP/s)")
    for key, title in (("peak_gib", "peak memory"), ("peak_gpu_gib", "peak memory on the GPU")):
        if our.get(key) is not None:
            print(f"  {title}: {our[key]:.2f} GiB")
    if "whole_job" in our:
        print(f"  whole job, CT in memory to figures, warm: {our['whole_job']:.2f} s")
    print(f"  found: lungs {our['lung_voxels']} voxels, lesions {our['lesion_voxels']}")
    for notice in our["notices"]:
        print(f"  {notice}")
    scale = their["of"] / their["slices"]
    said = "" if scale == 1 else f", timed on {their['slices']} evenly chosen ones"
    print(
        f"\nlungmask's network, {their['of']} slices{said}; preparing them takes {their['prepared'] * scale:.1f} s more"
    )
    for way, precision in (("own", "float32 as its program runs it"), ("ours", f"{their['precision']}, our layout")):
        seconds = their["seconds"][way]
        print(f"  {precision}: {seconds * scale:.1f} s, {their['gflop'] / seconds:.0f} GFLOP/s; ", end="")
        print(f"{seconds * scale / best:.1f} times as long as all of ours")
    print(f"  {their['gflop'] * scale:.0f} GFLOP", end="")
    print("" if their["peak_gib"] is None else f"; peak memory {their['peak_gib']:.2f} GiB")


def main(words: list[str] | None = None) -> int:
    """Run the benchmark and print a line per figure."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, help="a CT of your own instead of the phantom")
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=3, help="warm runs of ours")
    parser.add_argument("--lobes", help="bundle, the shipped one by default")
    parser.add_argument("--lesions", help="bundle, the shipped one by default")
    parser.add_argument("--whole-job", action="store_true", help="time segmentation and figures together, too")
    parser.add_argument("--lungmask-slices", type=int, help="time lungmask's network on so many of the slices only")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.side:
        record = {"make": make, "ours": ours, "lungmask": lungmask}[arguments.side](arguments)
        (arguments.folder / f"{arguments.side}.json").write_text(json.dumps(record), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as name:
        show(*(in_its_own_process(side, words, Path(name)) for side in SIDES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
