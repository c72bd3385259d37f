"""Installation of the packages that the networks need, only at the reader's request."""

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

_REQUIREMENTS = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"
_TORCH = ">=2.4"
# Packages that the networks need; the others in the list of requirements are for extras.
_NEEDED = ("torch", "monai", "safetensors")
# Packages of Slicer itself, which an installation must not replace.
_OF_SLICER = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom", "torch")


def missing_packages():
    """Names of packages that the networks need and that are not installed."""
    importlib.invalidate_caches()
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def install():
    """Install PyTorch by Slicer's PyTorch extension, and the rest by pip.

    Returns:
        A message for the reader.

    Raises:
        RuntimeError: Slicer is too old.
    """
    if importlib.util.find_spec("torch") is None:
        message = _install_torch()
        if message:
            return message
    try:
        import slicer.packaging
    except ImportError as error:
        text = _("This Slicer cannot install packages for extensions; Slicer 5.12 or newer is needed.")
        raise RuntimeError(text) from error
    requirements = slicer.packaging.load_requirements(_REQUIREMENTS)
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(_installed(_OF_SLICER)) + "\n", encoding="utf-8")
        slicer.packaging.pip_ensure(requirements, constraints=constraints, requester="COVIDQuant")
    missing = missing_packages()
    if missing:
        return _("Still missing: {names}").format(names=", ".join(missing))
    return _("Installed. Everything works offline from now on.")


def _install_torch():
    """Install PyTorch.

    Returns:
        What the reader has to do first; empty if PyTorch is installed now.
    """
    try:
        import PyTorchUtils
    except ImportError:
        return _offer_extension()
    if PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=_TORCH) is None:
        return _("PyTorch was not installed. The model-free method works without it.")
    return ""


def _offer_extension():
    question = _("PyTorch is installed by Slicer's extension PyTorch. Install that extension now and restart Slicer?")
    manager = slicer.app.extensionsManagerModel()
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("COVIDQuant")):
        return _("PyTorch was not installed. The model-free method works without it.")
    if not manager.installExtensionFromServer("PyTorch", True):
        return _("Install the extension PyTorch in Slicer's Extensions Manager, then click here again.")
    return _("Restart Slicer, then click here again.")


def _installed(names):
    """Requirements that pin packages at their installed versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
