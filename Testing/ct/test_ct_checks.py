"""What the reader is told about a CT, and about its lungs."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest, slice_datasets, write

from COVIDQuantLib.ct.checks.image_checks import foreign_slices, has_bright_blood, noise_hu
from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct, check_lungs
from COVIDQuantLib.ct.checks.sharp_kernels import is_sharp
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

HU = chest()


def codes(tmp_path, spacing_z=1.0, **tags):
    datasets = slice_datasets(HU, spacing=(4.0, 4.0, spacing_z), **{"SliceThickness": 1.0, **tags})
    return {w.code for w in read_ct(write(datasets, tmp_path)).warnings}


@pytest.mark.parametrize(
    ("spacing", "thickness", "expected"),
    [
        (1.0, 1.0, set()),
        (1.5, 1.5, set()),
        (0.8, 1.25, set()),
        (2.0, 2.0, {"thick-sections"}),
        (5.0, 5.0, {"thick-sections"}),
        (8.0, 8.0, {"very-thick-sections"}),
        (10.0, 1.0, {"section-gap"}),
        (12.0, 1.25, {"section-gap", "large-spacing"}),
        (1.0, 5.0, {"thick-sections", "section-overlap"}),
    ],
)
def test_sections(tmp_path, spacing, thickness, expected):
    assert codes(tmp_path, spacing, SliceThickness=thickness) == expected


def test_thickness_left_out_of_the_header_is_the_distance(tmp_path):
    assert codes(tmp_path, 3.0, SliceThickness=None) == {"thick-sections"}


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [
        ("B70f", True), ("B60s", True), ("B40f", False), ("B31f", False), ("I70f 3", True), ("I31f 3", False),
        ("Br40d", False), ("Bl64", True), ("Br59d 3", True), ("Qr40", False),
        ("STANDARD", False), ("SOFT", False), ("LUNG", True), ("BONEPLUS", True), ("BONE", True), ("EDGE", True),
        ("B", False), ("C", False), ("L", True), ("YC", True), ("A", False),
        ("FC08", False), ("FC13", False), ("FC52", True), ("FC30", True), ("FC81", True), ("", False),
    ],
)  # fmt: skip
def test_names_of_kernels(kernel, sharp):
    assert is_sharp(kernel) is sharp


def test_a_sharp_kernel_is_told(tmp_path):
    assert codes(tmp_path, ConvolutionKernel="LUNG") == {"sharp-kernel"}


def test_noise_is_measured_where_no_kernel_is_named():
    rng = np.random.default_rng(99)
    geometry = Geometry((20, 96, 128), (3.0, 3.0, 3.0))
    still = chest(geometry.shape).astype(float)
    for sigma, told in ((15.0, False), (90.0, True)):
        noisy = (still + rng.normal(0, sigma, still.shape)).clip(-1024, 3071).astype(np.int16)
        ct = CTVolume(noisy, geometry)
        assert noise_hu(ct) == pytest.approx(np.hypot(sigma, 8), rel=0.1)
        assert ("sharp-kernel" in {w.code for w in check_ct(ct, HeaderFacts("phantom"))}) is told


@pytest.mark.parametrize(("agent", "told"), [("OMNIPAQUE 350", True), ("", False), ("NONE", False), (None, False)])
def test_contrast_by_header(tmp_path, agent, told):
    assert ("contrast" in codes(tmp_path, ContrastBolusAgent=agent)) is told


def test_contrast_by_the_blood_but_not_by_marrow():
    geometry = Geometry((40, 120, 160), (2.0, 2.0, 2.0))
    plain = chest(geometry.shape)
    plain[(plain > 200)] = 40
    _, j, i = np.ogrid[:40, :120, :160]
    noise = np.random.default_rng(0).normal(0, 12, plain.shape)
    aorta = (i - 80) ** 2 + (j - 70) ** 2 < 12**2
    bright = np.where(aorta, 280 + noise, plain).astype(np.int16)
    ring = ((i - 80) ** 2 + (j - 70) ** 2 < 14**2) & ~aorta
    vertebra = np.where(ring, 900, np.where(aorta, 200 + noise, plain)).astype(np.int16)
    assert not has_bright_blood(CTVolume(plain, geometry))
    assert has_bright_blood(CTVolume(bright, geometry))
    assert not has_bright_blood(CTVolume(vertebra, geometry))


@pytest.mark.parametrize("k", [0, 1, 6, 11])
def test_a_foreign_slice_is_found(k):
    hu = HU.copy()
    hu[k] = np.random.default_rng(0).integers(-1000, 2000, hu[k].shape)
    assert foreign_slices(CTVolume(hu, Geometry(hu.shape, (4.0, 4.0, 5.0)))) == [k]
    assert foreign_slices(CTVolume(HU, Geometry(hu.shape, (4.0, 4.0, 5.0)))) == []


class TestLungs:
    GEOMETRY = Geometry(HU.shape, (5.0, 6.0, 20.0))

    def ct(self, padding=None):
        return CTVolume(HU, self.GEOMETRY, padding, {"name": "exam"})

    def lungs(self):
        mask = np.zeros(HU.shape, np.uint8)
        mask[2:-2, 10:40, 10:28] = 1
        mask[2:-2, 10:40, 36:54] = 2
        return mask

    def codes(self, mask, padding=None):
        return {w.code: w.message for w in check_lungs(mask, self.ct(padding))}

    def test_whole_lungs_need_no_word(self):
        assert self.codes(self.lungs()) == {}

    @pytest.mark.parametrize("voxels", [0, 10])
    def test_no_lungs_stop(self, voxels):
        mask = np.zeros(HU.shape, np.uint8)
        mask.reshape(-1)[:voxels] = 1
        with pytest.raises(UnfitInputError, match=r"exam: (no lungs|the lungs found are too small)"):
            check_lungs(mask, self.ct())

    @pytest.mark.parametrize(
        ("place", "name"),
        [
            (np.s_[0], "lowest slice"),
            (np.s_[-1], "highest slice"),
            (np.s_[:, 0], "front edge"),
            (np.s_[:, -1], "back edge"),
            (np.s_[:, :, 0], "right edge"),
            (np.s_[:, :, -1], "left edge"),
        ],
    )
    def test_lungs_cut_at_each_edge(self, place, name):
        mask = self.lungs()
        edge = mask[place]
        edge[tuple(slice(n // 3, 2 * n // 3) for n in edge.shape)] = 1
        assert name in self.codes(mask)["lungs-cut"]

    def test_lungs_cut_by_a_round_field_of_view(self):
        padding = np.zeros(HU.shape, bool)
        padding[:, :, 54:] = True
        assert "field of view" in self.codes(self.lungs(), padding)["lungs-cut"]

    def test_a_single_voxel_at_the_edge_is_no_cut(self):
        mask = self.lungs()
        mask[0, 20, 20] = 1
        assert self.codes(mask) == {}

    def test_small_lungs_are_told(self):
        mask = self.lungs()
        mask[3:] = 0
        assert set(self.codes(mask)) == {"small-lungs"}


@pytest.mark.parametrize("order", ["LPS", "SAR", "PSR", "ASL"])
def test_a_short_ct_is_judged_alike_in_any_order_of_axes(tmp_path, order):
    image = sitk.GetImageFromArray(chest((26, 96, 96)))
    image.SetSpacing((3.0, 3.0, 5.0))
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(tmp_path / "ct.nrrd"))
    assert {warning.code for warning in read_ct(tmp_path / "ct.nrrd").warnings} == {"thick-sections"}


@pytest.mark.parametrize("order", ["LPS", "SAR", "PSR"])
def test_a_foreign_slice_is_found_in_any_order_of_axes(tmp_path, order):
    hu = chest((26, 96, 96))
    hu[12] = np.random.default_rng(1).integers(-1000, 1000, hu.shape[1:])
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((3.0, 3.0, 5.0))
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(tmp_path / "ct.nrrd"))
    with pytest.raises(UnfitInputError, match="slice 13 of 26") as refused:
        read_ct(tmp_path / "ct.nrrd")
    assert refused.value.code == "foreign-slice"
