"""A made chest CT as sample data: computed on this computer, nothing is downloaded."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.worker.function_job import BesideJob, SharedArrays

_NAME = "COVIDQuantPhantom"
_ICON = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / f"{_NAME}.png"
_SETTINGS = {"seed": 2019, "thickness_mm": 2.5, "matrix": 256, "extent_percent": 12.0, "motion": True}
# Sample Data asks for this address; what it names is made instead. Another version may make another phantom.
_ADDRESS = "covidquant:phantom"
_FILE = f"{_NAME}-{__version__}.nrrd"


def make_sample(settings=None):
    """A phantom with pneumonia and moving heart and diaphragm as a new volume node; returns when it is made.

    Args:
        settings: ``PhantomSettings``; None for the sample that is offered.
    """
    from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom

    return node_of_sample(make_phantom(settings or PhantomSettings(**_SETTINGS)))


def begin_sample():
    """The sample being made by a process of its own: a ``BesideJob`` whose result is for :func:`node_of_sample`.

    Raises:
        COVIDQuantError: the process cannot be started.
    """
    from COVIDQuantLib.simulation.phantom import PhantomSettings

    shared = SharedArrays({}, {"settings": PhantomSettings(**_SETTINGS)})
    return BesideJob("COVIDQuantLib.simulation.phantom.make:make_phantom", shared, slicer.util.startupEnvironment())


def node_of_sample(phantom):
    """A phantom's CT as a new volume node."""
    return node_of_ct(slicer.mrmlScene, phantom.ct, slicer.mrmlScene.GenerateUniqueName(_NAME))


def register():
    """Offer the sample in Slicer's Sample Data, by its button and by ``downloadSample``."""
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
    """What Sample Data's button calls in the place of a download."""
    import SampleData

    with slicer.util.tryWithErrorDisplay(_("The sample could not be made."), waitCursor=False):
        try:
            nodes = SampleData.SampleDataLogic().downloadFromSource(source)
        except Cancelled:
            slicer.util.showStatusMessage(_("The sample was not made."), 3000)
            return []
        slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
        return nodes
    return []


def _made_in_cache(address):
    """Make the file that an address of ours stands for where Sample Data looks before it downloads.

    ``downloadSample`` asks no downloader but rewrites every address, and downloads only what its cache does not hold.
    """
    from COVIDQuantLib.simulation.phantom.files import write_phantom_ct

    path = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory(), _FILE)
    if address == _ADDRESS and not path.is_file():
        write_phantom_ct(_wait_for_phantom(), path)
    return address


def _wait_for_phantom():
    """The sample once it is made; the window shows how far it is and can be stopped."""
    job = begin_sample()
    dialog = slicer.util.createProgressDialog(
        labelText=_("Making a chest CT …"),
        windowTitle=_("COVIDQuant"),
        windowModality=qt.Qt.ApplicationModal,
        autoClose=False,
    )
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
