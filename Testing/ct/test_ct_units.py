"""Hounsfield units are told by how values are spread: shifted or scaled CTs are refused, real ones never."""

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import chest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.hu_normalisation import HUBuffer
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

HU = chest((16, 64, 80)).astype(np.int32)


def check(values):
    """The codes of the warnings, or the refusal."""
    buffer = HUBuffer(values.shape)
    for k, picture in enumerate(values):
        buffer.put(k, picture)
    ct = CTVolume(buffer.hu, Geometry(values.shape, (4.0, 4.0, 4.0)), buffer.padding)
    facts = HeaderFacts("ct", lowest=buffer.lowest, highest=buffer.highest, filler=buffer.filler)
    return {w.code for w in check_ct(ct, facts)}


def refused(values):
    with pytest.raises(UnfitInputError) as caught:
        check(values)
    assert caught.value.code == "not-hounsfield", caught.value


def bordered(values, value):
    framed = values.copy()
    framed[:, :4] = framed[:, -4:] = value
    framed[:, :, :4] = framed[:, :, -4:] = value
    return framed


WRONG = {
    "+1024": lambda hu: hu + 1024,
    "+1000": lambda hu: hu + 1000,
    "-1000": lambda hu: hu - 1000,
    "-1024": lambda hu: hu - 1024,
    "-1024 clipped": lambda hu: np.clip(hu - 1024, -1024, None),
    "twice": lambda hu: hu * 2,
    "twice clipped": lambda hu: np.clip(hu * 2, -1024, 3071),
    "half": lambda hu: hu // 2,
    "tenfold": lambda hu: hu * 10,
    "a tenth": lambda hu: hu // 10,
    "unsigned": lambda hu: np.where(hu < 0, hu + 65536, hu),
    "inverted": lambda hu: -hu,
    "window": lambda hu: np.clip((hu + 160) * 255 // 400, 0, 255),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("border", [None, -1024, -2000, -3024, 0])
def test_other_scales_are_refused(name, border):
    if name == "-1024 clipped" and border == 0:
        pytest.skip("nothing but the border is left between −1000 and 1000")
    values = WRONG[name](HU)
    refused(values if border is None else bordered(values, border))


@settings(max_examples=20, deadline=None)
@given(shift=st.integers(-30, 30), noise=st.floats(0, 120), clip=st.sampled_from([-1100, -1024, -1000, -980]))
def test_a_chest_in_hounsfield_units_is_read(shift, noise, clip):
    noisy = HU + np.random.default_rng(1).normal(0, noise, HU.shape)
    check(np.clip(noisy + shift, clip, 3071).round().astype(np.int32))


@pytest.mark.parametrize("border", [-1024, -3024, 62512])
def test_a_chest_with_a_border_of_filler_is_read(border):
    check(bordered(HU, border))


@pytest.mark.parametrize("place", [np.s_[:, 12:52, 12:68], np.s_[4:12], np.s_[:, 8:56, 6:40]])
def test_parts_of_a_chest_are_read(place):
    check(HU[place])


def test_lungs_full_of_disease_are_read():
    sick = HU.copy()
    sick[(HU < -700) & (np.indices(HU.shape)[1] > 24)] = -80
    check(sick)


@pytest.fixture(scope="module")
def phantom(once):
    """HU of a chest with fat, muscle, vessels, disease and edges that are averaged."""
    made = once.phantom(seed=2, matrix=96, thickness_mm=8.0, extent_percent=25.0, circle=False)
    return made.ct.hu.astype(np.int32)


@pytest.mark.parametrize("lowest", [-1024, -1000])
@pytest.mark.parametrize("factor", [1.7, 2, 2.5])
def test_stretched_and_clipped_is_refused(phantom, factor, lowest):
    stretched = np.clip(np.rint(phantom * factor), lowest, 3071).astype(np.int32)
    refused(stretched)
    refused(bordered(stretched, lowest))


def test_a_clipped_background_is_read(phantom):
    """Air of one value around the body is as much of the picture as clipping leaves; lung and peaks tell them apart."""
    clean = np.where(phantom < -930, -1024, phantom)
    check(clean)
    # Lungs without air, in blood with contrast medium: no lung is left, but fat and muscle lie where they should.
    white = np.where((phantom < -300) & (phantom >= -930), 60, clean)
    white[(phantom > 10) & (phantom < 60)] += np.where(np.indices(white.shape)[2] % 3 == 0, 100, 0)[
        (phantom > 10) & (phantom < 60)
    ]
    white[:, 1:3] = -850
    check(white)


WHOLE = (
    "acrinflt013_ct", "c3n00704_wholebody_2mm_ct", "cip_ct64_ct", "lidc0001_ct", "lidc0003_ct",
    "lungdx_a0001_soft_5mm_ct", "lungfcp0001_ct_upperlungs_1mm", "ricord1a_whole_1p4mm_ct",
    "tcia_9328.50.1.0117_ct_lowerlungs_1mm", "ts_aorta_ct_cropped", "ts_pulmonary_ct_cropped",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", WHOLE)
def test_real_cts_and_their_parts(shared_data, name):
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / f"{name}.nrrd"))).astype(np.int32)[:, ::2, ::2]
    values = values[:: max(1, len(values) // 30)]
    _, j, i = values.shape
    parts = (
        values,
        values[: len(values) // 2],
        values[len(values) // 2 :],
        values[:, j // 4 : -j // 4, i // 6 : -i // 6],
    )
    for part in parts:
        if min(part.shape[1:]) >= 32:
            check_unit_only(part)
    for wrong in ("+1024", "+1000", "-1000", "-1024 clipped", "twice", "twice clipped", "half"):
        refused(WRONG[wrong](values))
        refused(bordered(WRONG[wrong](values), -1024))


def check_unit_only(values):
    """Thinned slices may not fit each other; only the values are asked about."""
    code = ""
    try:
        check(values)
    except UnfitInputError as error:
        code = error.code
    assert code != "not-hounsfield"


def test_section_thickness_is_told_by_the_distance_of_slices():
    hu = chest((16, 64, 80))
    for spacing in ((5.3, 5.3, 1.2), (5.3, 1.2, 5.3), (1.2, 5.3, 5.3)):
        ct = CTVolume(hu, Geometry(hu.shape, spacing))
        assert not {"thick-sections", "very-thick-sections", "large-spacing"} & {
            w.code for w in check_ct(ct, HeaderFacts("ct"))
        }
    ct = CTVolume(hu, Geometry(hu.shape, (5.2273, 5.2273, 5.0)))
    assert "very-thick-sections" not in {w.code for w in check_ct(ct, HeaderFacts("ct"))}


@pytest.mark.parametrize("spacing", [(2.0, 4.0, 1.0), (4.0, 2.0, 2.0), (1.0, 4.0, 4.0)])
def test_the_distance_that_a_series_tells_is_believed(spacing):
    hu = chest((16, 64, 80))
    told = {w.code for w in check_ct(CTVolume(hu, Geometry(hu.shape, spacing)), HeaderFacts("ct", distance=spacing[2]))}
    assert ("thick-sections" in told) is (spacing[2] > 1.5)
