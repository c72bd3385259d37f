"""Time and peak memory of ``covidquant quantify`` by the model-free path on a 512×512×300 phantom.

    python Testing/benchmarks/bench_quantify.py [--matrix 512] [--slices 300]

The phantom is made once into a temporary folder; the command then runs as a process of its own, as a user would.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom, write_phantom


def main() -> int:
    """Run the benchmark and print a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = PhantomSettings(seed=2000, matrix=arguments.matrix, slices=arguments.slices)
        phantom = make_phantom(settings)
        shape = phantom.ct.hu.shape
        write_phantom(phantom, folder)
        del phantom
        seconds = []
        for _ in range(arguments.runs):
            started = time.perf_counter()
            command = [sys.executable, "-m", "COVIDQuantLib.cli", "quantify", str(folder / "ct.nrrd")]
            subprocess.run([*command, "--out", str(folder / "out"), "--quiet"], check=True)
            seconds.append(time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # KiB on Linux
    print(f"CT [k, j, i] {shape}, {os.cpu_count()} processors")
    print(f"quantify, whole process: {min(seconds):.1f} to {max(seconds):.1f} s in {len(seconds)} runs")
    print(f"peak memory of the process: {peak:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
