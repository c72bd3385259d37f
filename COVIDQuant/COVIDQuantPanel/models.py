"""The model bundles that can be chosen, as far as this computer can read them."""

from slicer.i18n import tr as _

# A bundle that knows the lungs only is enough: the atlas parts them into lobes.
_TASKS = {"lobes": ("lobes", "lungs"), "lesions": ("lesions",)}


def bundles_for(task):
    """Bundles for a task.

    Args:
        task: ``lobes`` or ``lesions``.

    Returns:
        Their names, the first empty for the one that ships; what to call them; and why others are refused.
    """
    names, texts, refused = [""], [_("the one that ships")], []
    try:
        from COVIDQuantLib.models.catalogue import DEFAULTS, list_bundles
    except ImportError:
        # Reading bundles needs packages that are installed on the reader's click.
        return names, texts, refused
    for listed in list_bundles():
        if listed.bundle is None:
            refused.append(_("{name} cannot be used: {why}").format(name=listed.name, why=listed.refused))
        elif listed.bundle.task in _TASKS[task] and listed.name != DEFAULTS.get(task):
            names.append(listed.name)
            texts.append(listed.name)
    return names, texts, sorted(set(refused))
