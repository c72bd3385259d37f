"""Input of the lesion networks in training and inference: window, lung mask, neighbours (rows Y1, C1)."""

from __future__ import annotations

import torch

# Value outside the lungs before windowing (papers.md, Yoo: HU outside the lung set to −3024).
OUTSIDE_HU = -3024.0
# Window about aerated lung, and its CT number where there is none.
_AROUND_HU, _NO_LUNG_HU = 600.0, -850.0


def window(hu: torch.Tensor, low: float, high: float, lungs: torch.Tensor | None = None) -> torch.Tensor:
    """Map Hounsfield units through a window.

    Args:
        hu: any shape, any number type.
        low: HU that becomes 0; everything below too.
        high: HU that becomes 1; everything above too.
        lungs: same shape, non-zero inside the lungs. Outside they count as −3024 HU, the window's bottom.

    Returns:
        float32 0..1 of the same shape, a new tensor.

    Raises:
        ValueError: the window is empty or does not lie above −3024 HU.
    """
    if not OUTSIDE_HU <= low < high:
        raise ValueError(f"no window from {low} to {high} HU")
    # The one copy; the rest happens in place.
    shown = hu.to(torch.float32, copy=True).sub_(low).div_(high - low).clamp_(0.0, 1.0)
    return shown if lungs is None else shown.masked_fill_(lungs == 0, 0.0)


def neighbour_indices(
    slices: int, distance: float, count: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """For each slice, which slices are its channels in a 2.5D network; beyond the ends the last slice is repeated.

    Args:
        slices: of the volume.
        distance: slices between channels; channels lie at the nearest whole slice, so that a distance given in
            millimetres over the spacing need not be whole.
        count: channels, odd; the slice itself is the middle one, the first is nearest to the feet.
        device: of the result.

    Returns:
        Slice numbers ``[k, count]``.
    """
    steps = torch.arange(count, device=device) - count // 2
    # Round half away from zero, so that the channels are symmetric.
    offsets = torch.sign(steps) * torch.floor(steps.abs() * distance + 0.5)
    middle = torch.arange(slices, device=device)[:, None]
    return (middle + offsets.long()).clamp_(0, max(slices - 1, 0))


def volume_input(
    hu: torch.Tensor, window_hu: tuple[float, float], lungs: torch.Tensor, usual_hu: float
) -> torch.Tensor:
    """Input of a network for volumes: a patch shows neither the other lung nor how well either is inflated.

    Args:
        hu: CT numbers ``[k, j, i]``.
        window_hu: those that become 0 and 1 in the first channel.
        lungs: same shape, non-zero inside the lungs; outside both channels are 0.
        usual_hu: of :func:`usual_lung_hu`; in the second channel 0.25, 600 HU wide.

    Returns:
        float32 0..1 ``[2, k, j, i]``.
    """
    low = usual_hu - 0.25 * _AROUND_HU
    return torch.stack([window(hu, *window_hu, lungs), window(hu, low, low + _AROUND_HU, lungs)])


def usual_lung_hu(hu: torch.Tensor, lungs: torch.Tensor) -> float:
    """The CT number that 30 % of the lungs' points lie below: of aerated lung, whatever up to two thirds are."""
    inside = hu[lungs > 0].float()
    if not len(inside):
        return _NO_LUNG_HU
    return float(inside.kthvalue(1 + int(0.3 * (len(inside) - 1))).values)
