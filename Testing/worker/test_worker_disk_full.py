"""The disk fills up while the whole command line writes: told in one line, and nothing is half written."""

import subprocess
import sys

import pytest

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.simulation.phantom.files import write_phantom

pytest.importorskip("resource", reason="this system cannot limit the size of files")

# No file of this process may grow beyond so many bytes: the system's own refusal in the middle of a write.
LIMITED = (
    "import resource, sys; size = int(sys.argv.pop(1)); resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
    "from COVIDQuantLib.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, once):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0), folder)
    masks = [f"--{name}={folder / name}.nrrd" for name in ("lobes", "lesions")]
    return ["quantify", str(folder / "ct.nrrd"), *masks, "--quiet", "--no-picture"]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [100, 4000])
@pytest.mark.parametrize("before", [False, True], ids=["new", "again"])
def test_what_was_there_stays_and_the_user_is_told(arguments, tmp_path, size, before):
    out = tmp_path / "out"
    if before:
        assert main([*arguments, "--out", str(out)]) == 0
    was = content(tmp_path)
    command = [sys.executable, "-c", LIMITED, str(size), *arguments, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "file is larger than allowed" in done.stderr or "disk is full" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert content(tmp_path) == was
