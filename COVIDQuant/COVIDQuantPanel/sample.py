"""A simulated chest CT as sample data: computed locally, nothing is downloaded."""

from datetime import date, timedelta
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.scene.followup.exams import set_day
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob
from COVIDQuantPanel.widgets.qt_calls import wait_dialog

_NAME = "COVIDQuantPhantom"
_ICON = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / f"{_NAME}.png"
_SETTINGS = {"seed": 2019, "thickness_mm": 2.5, "matrix": 256, "extent_percent": 12.0, "motion": True}
# A patient who comes twice: days since the first symptoms, whose date is made up, too.
_PATIENT = {"seed": 3, "thickness_mm": 2.5, "matrix": 256}
_DAYS, _ONSET = (5.0, 14.0), date(2020, 1, 27)
# Sample Data requests this address, and the phantom is created instead. It may differ between versions.
_ADDRESS = "covidquant:phantom"
_FILE = f"{_NAME}-{__version__}.nrrd"


def make_sample(settings=None):
    """A phantom with pneumonia and moving heart and diaphragm as a new volume node; returns when done.

    Args:
        settings: ``PhantomSettings``; None for those of the sample data.
    """
    from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom

    return node_of_sample(make_phantom(settings or PhantomSettings(**_SETTINGS)))


def begin_sample():
    """Create the sample in a background process: a ``BackgroundJob`` whose result is for :func:`node_of_sample`.

    Raises:
        COVIDQuantError: the process cannot be started.
    """
    return _begin("make:make_phantom", _SETTINGS)


def begin_two_exams():
    """Create two exams of one patient in a background process; the result is for :func:`nodes_of_exams`.

    Raises:
        COVIDQuantError: the process cannot be started.
    """
    return _begin("course:make_two_exams", _PATIENT, days=list(_DAYS))


def _begin(function, settings, **arguments):
    """Call a function of the phantom's room in a background process."""
    from COVIDQuantLib.simulation.phantom import PhantomSettings

    shared = SharedArguments({}, {"settings": PhantomSettings(**settings), **arguments})
    return BackgroundJob(f"COVIDQuantLib.simulation.phantom.{function}", shared, slicer.util.startupEnvironment())


def node_of_sample(phantom):
    """A phantom's CT as a new volume node."""
    return node_of_ct(slicer.mrmlScene, phantom.ct, slicer.mrmlScene.GenerateUniqueName(_NAME))


def nodes_of_sample(phantom):
    """The same as a list, as of :func:`nodes_of_exams`."""
    return [node_of_sample(phantom)]


def nodes_of_exams(phantoms):
    """The CTs of two exams as new volume nodes with their dates, the later one last."""
    nodes = []
    for day, phantom in zip(_DAYS, phantoms, strict=True):
        node = node_of_sample(phantom)
        set_day(node, _ONSET + timedelta(days=day))
        nodes.append(node)
    return nodes


def register():
    """Register the sample with Slicer's Sample Data, for its button and for ``downloadSample``."""
    import SampleData

    samples = SampleData.SampleDataLogic
    samples.registerUrlRewriteRule(_NAME, _made_in_cache)
    samples.registerCustomSampleDataSource(
        category="COVIDQuant",
        sampleName=_NAME,
        thumbnailFileName=str(_ICON),
        uris=_ADDRESS,
        fileNames=_FILE,
        nodeNames=_NAME,
        loadFileTypes="VolumeFile",
        customDownloader=_load_and_show,
    )


def _load_and_show(source):
    """Called by Sample Data's button instead of a download."""
    import SampleData

    with slicer.util.tryWithErrorDisplay(_("The sample could not be created."), waitCursor=False):
        try:
            nodes = SampleData.SampleDataLogic().downloadFromSource(source)
        except Cancelled:
            slicer.util.showStatusMessage(_("The sample was not created."), 3000)
            return []
        slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
        return nodes
    return []


def _made_in_cache(address):
    """Create the file for our address in the cache, where Sample Data looks before it downloads.

    ``downloadSample`` uses no custom downloader, but it rewrites every address and downloads only files that are not in
    its cache.
    """
    from COVIDQuantLib.simulation.phantom.files import write_phantom_ct

    path = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory(), _FILE)
    if address == _ADDRESS and not path.is_file():
        write_phantom_ct(_wait_for_phantom(), path)
    return address


def _wait_for_phantom():
    """Create the sample, with a progress dialog that can cancel it."""
    job = begin_sample()
    dialog = wait_dialog(_("COVIDQuant"), _("Creating a chest CT …"))
    try:
        while not job.is_done:
            dialog.value = round(100 * job.poll())
            slicer.app.processEvents()
            if dialog.wasCanceled:
                raise Cancelled
    finally:
        job.cancel()
        dialog.close()
    return job.result
