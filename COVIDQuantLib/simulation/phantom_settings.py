"""What a phantom is asked to be."""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.errors import UsageError

KERNELS = ("soft", "standard", "sharp")
MAX_EXTENT_PERCENT = 60.0
ARMS_DOWN, ARMS_UP, STREAKS, CUT = "arms-down", "arms-up", "streaks", "cut"
SURROUNDINGS = ("table", "couch", "cushion", "blanket", "cables", ARMS_DOWN, ARMS_UP, STREAKS, CUT)
# These lie under the body in place of the plain table.
TABLES = ("table", "couch")


@dataclass(frozen=True)
class PhantomSettings:
    """The choices of the user; what is None is drawn from the seed.

    Attributes:
        seed: everything that varies follows from it.
        thickness_mm: section thickness and distance between sections, 0.6..10 mm.
        pixel_mm: width of a pixel; None fits the field of view to the patient.
        matrix: pixels along each side of a section.
        slices: exact number of sections, centred on the lungs; None covers the lungs with a margin.
        extent_percent: wanted extent of the pneumonia, 0..60; 0 is lesion free.
        motion: whether heart and diaphragm move during the scan.
        kernel: ``soft``, ``standard`` or ``sharp``.
        noise_hu: standard deviation of the noise in the middle of the chest, HU; 0 is noise free.
        table: whether the CT table is in the picture.
        circle: whether the scanner measured only the circle within each section, the corners being filler.
        surroundings: what else is around the body, of ``SURROUNDINGS``: ``table`` a curved shell with foam, ``couch``
            a flat one with air under the back, ``cushion``, ``blanket``, ``cables`` with electrodes, ``arms-down``,
            ``arms-up`` (both: one of each), ``streaks`` of contrast at a shoulder, ``cut`` a field of view too small
            for the body but not for the lungs. The lungs and their truth are the same with and without.
    """

    seed: int = 0
    thickness_mm: float = 1.5
    pixel_mm: float | None = None
    matrix: int = 256
    slices: int | None = None
    extent_percent: float | None = None
    motion: bool | None = None
    kernel: str | None = None
    noise_hu: float | None = None
    table: bool = True
    circle: bool | None = None
    surroundings: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse settings that no scanner or patient could have.

        Raises:
            UsageError: a setting is out of range; says which and the range.
        """
        ranges = (
            ("seed", self.seed, 0, 2**63 - 1),
            ("thickness_mm", self.thickness_mm, 0.5, 10.0),
            ("pixel_mm", self.pixel_mm, 0.3, 6.0),
            ("matrix", self.matrix, 48, 1024),
            ("slices", self.slices, 5, 2000),
            ("extent_percent", self.extent_percent, 0.0, MAX_EXTENT_PERCENT),
            ("noise_hu", self.noise_hu, 0.0, 300.0),
        )
        for name, value, low, high in ranges:
            if value is not None and not low <= value <= high:
                raise UsageError(f"{name} is {value}", "phantom", f"Choose a value from {low} to {high}.")
        unknown = sorted(set(self.surroundings) - set(SURROUNDINGS))
        if unknown:
            raise UsageError(
                f"no surrounding is called {unknown[0]!r}", "phantom", f"Choose of {', '.join(SURROUNDINGS)}."
            )
        if self.kernel is not None and self.kernel not in KERNELS:
            raise UsageError(f"no kernel is called {self.kernel!r}", "phantom", f"Choose one of {', '.join(KERNELS)}.")
