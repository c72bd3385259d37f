"""What the node's real process does in tests: as the double, unless a series' description wants it to fail."""

import os
import signal
import time

from node_double import quantified as noted
from pydicom import dcmread

from COVIDQuantLib.node.durable import images_in

_served = []


def quantified(images, out, plan, thresholds, objects, report):
    """As ``job.quantified``; the result's warning is the ID of this process."""
    _served.append(images)
    wanted = dcmread(images_in(images)[0], stop_before_pixels=True).SeriesDescription
    report(0.25)
    if wanted == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == "needs all memory" and len(_served) > 1:
        raise MemoryError
    if wanted == "long":
        # Until somebody ends it, in its first try.
        tried = out.with_name("tried")
        while not tried.exists():
            time.sleep(0.01)
    if wanted == "keeps its networks":
        _load(plan.networks())
    noted(images, out, plan, thresholds, objects, report, [str(os.getpid())])


def _load(networks):
    """Load a network as the first series does, and fail if a later one had to."""
    from COVIDQuantLib.inference.lesions import AXIAL

    loaded = ("lesions", AXIAL) in networks._loaded
    assert loaded == (len(_served) > 1)
    networks._network("lesions", AXIAL)
