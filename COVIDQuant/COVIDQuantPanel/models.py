"""The model bundles that can be chosen."""

from slicer.i18n import tr as _

# A bundle for lungs only is enough: the atlas divides them into lobes.
_TASKS = {"lobes": ("lobes", "lungs"), "lesions": ("lesions",)}


def bundles_for(task):
    """Bundles for a task.

    Args:
        task: ``lobes`` or ``lesions``.

    Returns:
        Their names, the first empty for the default bundle; their labels; and why others are refused.
    """
    names, texts, refused = [""], [_("default")], []
    try:
        from COVIDQuantLib.models.catalogue import DEFAULTS, list_bundles
    except ImportError:
        # Reading bundles needs packages that may not be installed yet.
        return names, texts, refused
    for listed in list_bundles():
        if listed.bundle is None:
            refused.append(_("{name} cannot be used: {why}").format(name=listed.name, why=listed.refused))
        elif listed.bundle.task in _TASKS[task] and listed.name != DEFAULTS.get(task):
            names.append(listed.name)
            texts.append(listed.name)
    return names, texts, sorted(set(refused))
