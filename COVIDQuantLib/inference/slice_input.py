"""Input of the lesion networks in training and inference: window, lung mask, neighbours (rows Y1, C1)."""

from __future__ import annotations

import torch

# Value outside the lungs before windowing (papers.md, Yoo: HU outside the lung set to −3024).
OUTSIDE_HU = -3024.0


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


def neighbours(volume: torch.Tensor, distance: float, count: int) -> torch.Tensor:
    """Stack each slice with its neighbours as channels, for 2.5D networks.

    Args:
        volume: ``[k, j, i]``, of any type.
        distance: slices between neighbouring channels; channels lie at the nearest whole slice, so that a distance
            given in millimetres over the spacing need not be whole.
        count: channels, odd; the slice itself is the middle one, the first is nearest to the feet.

    Returns:
        ``[k, count, j, i]``; beyond the ends the last slice is repeated. For one channel a view of the volume.

    Raises:
        ValueError: the count is even or below 1, or the distance is negative.
    """
    if count < 1 or count % 2 == 0 or distance < 0:
        raise ValueError(f"no {count} channels {distance} slices apart: give an odd count")
    if count == 1:
        return volume[:, None]
    return volume[neighbour_indices(volume.shape[0], distance, count, volume.device)]


def neighbour_indices(
    slices: int, distance: float, count: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """Slice numbers ``[k, count]`` of :func:`neighbours`, to extract a few slices without stacking all."""
    steps = torch.arange(count, device=device) - count // 2
    # Round half away from zero, so that the channels are symmetric.
    offsets = torch.sign(steps) * torch.floor(steps.abs() * distance + 0.5)
    middle = torch.arange(slices, device=device)[:, None]
    return (middle + offsets.long()).clamp_(0, max(slices - 1, 0))
