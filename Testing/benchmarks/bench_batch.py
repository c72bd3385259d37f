"""Throughput of ``covidquant batch`` against workers, what the batch layer costs, and the check of finished exams.

    python Testing/benchmarks/bench_batch.py [--exams 8] [--matrix 128] [--rows 10000]

Phantoms are made once into a temporary folder. The bare work is a loop over the same exams in a process of its own that
reads, quantifies and writes each; both are timed by the clock and by the processor, so that a busy machine shows.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from COVIDQuantLib.cohort.exams.fingerprint import Fingerprint, stamp_of
from COVIDQuantLib.cohort.exams.folder import exam_folder
from COVIDQuantLib.cohort.exams.record import DoneRecord, Figures, written_files
from COVIDQuantLib.cohort.settings import BatchSettings
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom, write_phantom

EXPORTS = ("segmentation", "metrics")
BARE = """
import sys, time
from pathlib import Path
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.pipeline import Plan, quantify_ct
out, *paths = map(Path, sys.argv[1:])
begun, cpu = time.perf_counter(), time.process_time()
for number, path in enumerate(paths):
    write_exam(quantify_ct(read_ct(path), plan=Plan("model-free")), out / str(number), ("segmentation", "metrics"))
print(time.perf_counter() - begun, time.process_time() - cpu)
"""


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}


def bare(folder, paths):
    """Clock and processor seconds of the loop, without starting."""
    command = [sys.executable, "-c", BARE, str(folder / "bare"), *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    return tuple(map(float, done.stdout.split()))


def batch(folder, manifest, workers, threads=None):
    """Clock seconds of the whole command and of the making, and processor seconds of all processes."""
    command = [sys.executable, "-m", "COVIDQuantLib.cli", "batch", str(manifest), "--method", "model-free"]
    command += ["--out", str(folder / f"out{workers}-{threads}"), "--no-picture", "--workers", str(workers)]
    if threads is not None:
        command += ["--threads", str(threads)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment())
    whole = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = next(line for line in done.stdout.splitlines() if " made in this run in " in line)
    making = float(line.partition(" in this run in ")[2].split()[0])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return whole, making, cpu


def write_manifest(folder, rows):
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("patient", "exam", "path"), *rows])
    return path


def throughput(folder, exams, matrix):
    paths = []
    for seed in range(exams):
        phantom = make_phantom(PhantomSettings(seed=2000 + seed, matrix=matrix, thickness_mm=5.0))
        write_phantom(phantom, folder / f"ct{seed}")
        paths.append(folder / f"ct{seed}" / "ct.nrrd")
    manifest = write_manifest(folder, [(f"P{n}", "E1", path) for n, path in enumerate(paths)])
    print(f"{exams} phantoms {phantom.ct.hu.shape}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    clock, cpu = bare(folder, paths)
    print(f"bare loop: {clock:.1f} s, {cpu:.1f} s of a processor")
    found = {}
    # By default one worker has the threads of all processors; with one thread each, workers are what is compared.
    for workers, threads in ((1, None), (1, 1), (2, 1)):
        whole, making, busy = batch(folder, manifest, workers, threads)
        found[workers, threads] = making
        print(
            f"{workers} workers of {threads or 'all'} threads: {making:.1f} s ({whole:.1f} with starting), "
            f"{busy:.1f} s of processors in all"
        )
    seconds = [read_seconds(folder / "out1-1", n) for n in range(exams)]
    one, two = found[1, 1], found[2, 1]
    print(
        f"two workers are {one / two:.2f} times as fast as one of one thread, {found[1, None] / two:.2f} as one of all"
    )
    print(f"outside the exams, one worker: {100 * (1 - sum(seconds) / one):.1f} % of the clock (its start included)")


def read_seconds(out, number):
    record = json.loads((out / exam_folder(f"P{number}", "E1") / "exam.json").read_text(encoding="utf-8"))
    return record["seconds"]


def check(folder, rows):
    """Seconds of the command on so many finished exams, each a file of its own of 2 MiB (sparse)."""
    settings = BatchSettings.of(Plan(MODEL_FREE), Thresholds(), EXPORTS)
    made = folder / "bare" / "0"
    figures = Figures.of_file(read_metrics(made))
    out = folder / "finished"
    (folder / "cts").mkdir()
    # One record serves as the pattern of all; written one by one they would each be flushed to the disk.
    files = written_files(made, settings.files)
    marks = Fingerprint("CONTENT", "STAMP")
    DoneRecord(settings.key, marks, settings.model, settings.version, 1.0, figures, files).write(folder / "record.json")
    pattern = (folder / "record.json").read_text(encoding="utf-8")
    for number in range(rows):
        path = folder / "cts" / f"{number}.nrrd"
        with path.open("wb") as file:
            file.truncate(2 << 20)
        target = out / exam_folder(f"P{number}", "E1")
        target.mkdir(parents=True)
        for name in settings.files:
            os.link(made / name, target / name)
        text = pattern.replace("CONTENT", f"{number:064x}").replace("STAMP", stamp_of(path))
        (target / "exam.json").write_text(text, encoding="utf-8")
    manifest = write_manifest(folder, [(f"P{n}", "E1", folder / "cts" / f"{n}.nrrd") for n in range(rows)])
    command = [sys.executable, "-m", "COVIDQuantLib.cli", "batch", str(manifest), "--method", "model-free"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(out), "--no-picture"], check=True, capture_output=True, text=True, env=environment()
    )
    seconds = time.perf_counter() - begun
    assert f"{rows} exams: {rows} done" in done.stdout, done.stdout
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, peak = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, used.ru_maxrss / 2**20
    print(f"{rows} finished exams checked, their data set written: {seconds:.1f} s, {cpu:.1f} s of a processor")
    print(f"largest process so far: {peak:.2f} GiB, load {os.getloadavg()[0]:.1f}")


def main() -> int:
    """Run the benchmark and print a line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=8)
    parser.add_argument("--matrix", type=int, default=128)
    parser.add_argument("--rows", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        throughput(folder, arguments.exams, arguments.matrix)
        check(folder, arguments.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
