"""A made chest CT as sample data: computed on this computer, nothing is downloaded."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

_NAME = "COVIDQuantPhantom"
_ICON = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / f"{_NAME}.png"


def make_sample(settings=None):
    """A phantom with pneumonia and moving heart and diaphragm as a new volume node.

    Args:
        settings: ``PhantomSettings``; None for the sample that is offered.
    """
    from COVIDQuantLib.phantom import PhantomSettings, make_phantom
    from COVIDQuantLib.scene.volumes import node_of_ct

    settings = settings or PhantomSettings(seed=2019, thickness_mm=2.5, matrix=256, extent_percent=12.0, motion=True)
    name = slicer.mrmlScene.GenerateUniqueName(_NAME)
    return node_of_ct(slicer.mrmlScene, make_phantom(settings).ct, name)


def register():
    """Offer the sample in Slicer's Sample Data."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="COVIDQuant",
        sampleName=_NAME,
        thumbnailFileName=str(_ICON),
        uris="",
        fileNames=f"{_NAME}.nrrd",
        nodeNames=_NAME,
        customDownloader=_make_and_show,
    )


def _make_and_show(_source):
    """What Sample Data calls in the place of a download."""
    slicer.util.showStatusMessage(_("Making a chest CT …"), 3000)
    with slicer.util.tryWithErrorDisplay(_("The sample could not be made."), waitCursor=True):
        volume = make_sample()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return [volume]
