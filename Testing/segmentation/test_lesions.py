"""Model-free lesions: a plain chest with known truth, phantoms, and real CTs."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.segmentation.lesions.model_free import find_lesions
from COVIDQuantLib.segmentation.lesions.normal_lung import lung_level
from COVIDQuantLib.segmentation.lungs.model_free import find_lungs
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

SIZE_MM = (150.0, 170.0, 250.0)


class Chest:
    """Two ellipsoid lungs in soft tissue, with a dependent gradient, vessels, a fissure and noise.

    What is added keeps its shape in millimetres at any spacing, so that the same chest can be scanned twice.
    """

    def __init__(self, spacing_kji=(2.0, 1.5, 1.5), level=-860.0, noise=25.0):
        self.spacing = spacing_kji
        self.shape = tuple(round(size / mm) for size, mm in zip(SIZE_MM, spacing_kji, strict=True))
        self.z, self.y, self.x = np.meshgrid(
            *(
                (np.arange(n, dtype=np.float32) + 0.5) * mm - size / 2
                for n, mm, size in zip(self.shape, spacing_kji, SIZE_MM, strict=True)
            ),
            indexing="ij",
        )
        self.noise = noise
        self.lungs = np.zeros(self.shape, np.uint8)
        for label, centre in ((1, -60.0), (2, 60.0)):
            self.lungs[((self.x - centre) / 45) ** 2 + (self.y / 65) ** 2 + (self.z / 60) ** 2 < 1] = label
        self.hu = np.where(self.lungs > 0, level + 0.2 * self.y, 40.0).astype(np.float32)
        self.truth = np.zeros(self.shape, bool)
        self._add_thin_structures()

    def _add_thin_structures(self):
        for side in (-1, 1):
            for angle in np.linspace(-1.2, 1.2, 7):
                along = side * (self.x - side * 20) * np.cos(angle) + self.y * np.sin(angle)
                across = np.hypot(-side * (self.x - side * 20) * np.sin(angle) + self.y * np.cos(angle), self.z)
                radius = np.clip(4.5 - along / 15, 0.8, 4.5)
                self._fill((along > 0) & (across < radius) & (self.lungs > 0), 30.0)
        self._fill((np.abs(self.y + 0.5 * self.z) < 0.8) & (self.lungs > 0), -300.0)

    def _fill(self, where, hu):
        self.hu = np.where(where, np.maximum(self.hu, hu), self.hu)

    def add_ball(self, centre, radius, hu):
        z, y, x = centre
        ball = (self.z - z) ** 2 + (self.y - y) ** 2 + (self.x - x) ** 2 < radius**2
        ball &= self.lungs > 0
        self._fill(ball, hu)
        self.truth |= ball
        return self

    def scan(self):
        """The CT: blurred by about a millimetre, noisy."""
        blurred = ndimage.gaussian_filter(self.hu, [0.8 / mm for mm in self.spacing])
        noisy = blurred + np.random.default_rng(7).normal(0, self.noise, self.shape)
        return CTVolume.from_values(noisy.astype(np.float32), Geometry(self.shape, self.spacing[::-1]))


def sick_chest(**settings):
    chest = Chest(**settings)
    chest.add_ball((0, 40, -75), 22, -600)  # ground glass, posterior
    chest.add_ball((-20, 10, 100), 18, -20)  # consolidation at the pleura
    return chest.add_ball((25, -25, 60), 14, -550)


@pytest.fixture(scope="module")
def sick():
    chest = sick_chest()
    return chest, chest.scan()


def test_lesions_of_known_shape_are_found(sick):
    chest, ct = sick
    found = find_lesions(ct, chest.lungs)
    assert dice(found, chest.truth) > 0.85
    labels, count = ndimage.label(chest.truth)
    for label in range(1, count + 1):
        assert found[labels == label].mean() > 0.8


def test_vessels_fissures_and_gradient_are_not_lesions():
    chest = Chest()
    found = find_lesions(chest.scan(), chest.lungs)
    assert found.sum() < 0.002 * np.count_nonzero(chest.lungs)


@pytest.mark.parametrize("level", [-900.0, -780.0])
def test_threshold_follows_the_patients_own_lung(level):
    chest = Chest(level=level)
    assert find_lesions(chest.scan(), chest.lungs).sum() < 0.005 * np.count_nonzero(chest.lungs)


def test_noise_of_a_sharp_kernel_is_not_ground_glass():
    healthy, sick = Chest(noise=80.0), sick_chest(noise=80.0)
    assert find_lesions(healthy.scan(), healthy.lungs).sum() < 0.005 * np.count_nonzero(healthy.lungs)
    assert dice(find_lesions(sick.scan(), sick.lungs), sick.truth) > 0.8


@pytest.mark.parametrize("spacing", [(5.0, 0.9, 0.9), (1.5, 1.5, 1.5), (4.0, 4.0, 4.0)])
def test_volume_hardly_depends_on_spacing(spacing):
    chest = sick_chest(spacing_kji=spacing)
    found = find_lesions(chest.scan(), chest.lungs)
    assert found.sum() == pytest.approx(chest.truth.sum(), rel=0.25)
    assert dice(found, chest.truth) > 0.75


def test_left_and_right_are_treated_alike(sick):
    chest, ct = sick
    mirrored = CTVolume(np.ascontiguousarray(ct.hu[:, :, ::-1]), ct.geometry)
    lungs = np.where(chest.lungs > 0, 3 - chest.lungs, 0).astype(np.uint8)[:, :, ::-1]
    assert dice(find_lesions(mirrored, lungs)[:, :, ::-1], find_lesions(ct, chest.lungs)) > 0.98


def test_lesions_stay_in_the_lungs_and_out_of_airways_and_padding(sick):
    chest, ct = sick
    padding = chest.x > 95
    hu = np.where(padding, -1024, ct.hu).astype(np.int16)
    airways = np.hypot(chest.y - 40, chest.x + 75) < 5
    found = find_lesions(CTVolume(hu, ct.geometry, padding), chest.lungs, airways)
    assert found.any()
    assert not found[(chest.lungs == 0) | padding | airways].any()


def test_arguments_are_left_alone_and_the_result_repeats(sick):
    chest, ct = sick
    hu, lungs = ct.hu.copy(), chest.lungs.copy()
    first = find_lesions(ct, chest.lungs)
    assert np.array_equal(first, find_lesions(ct, chest.lungs))
    assert np.array_equal(ct.hu, hu)
    assert np.array_equal(chest.lungs, lungs)


def test_no_lungs_no_lesions(sick):
    _, ct = sick
    assert not find_lesions(ct, np.zeros(ct.hu.shape, np.uint8)).any()


def test_a_lung_without_air_is_no_failure(sick):
    chest, ct = sick
    solid = CTVolume(np.full_like(ct.hu, 40), ct.geometry)
    found = find_lesions(solid, chest.lungs)
    assert found.shape == ct.hu.shape
    assert found.dtype == bool


def test_masks_of_another_shape_are_refused(sick):
    _, ct = sick
    with pytest.raises(ValueError, match="grid"):
        find_lesions(ct, np.zeros((2, 2, 2), np.uint8))


@pytest.mark.parametrize("limit", [0.0, 0.2, 0.5])
def test_cancel_is_heard(sick, limit):
    chest, ct = sick
    told = []

    def report(fraction):
        told.append(fraction)
        if fraction > limit:
            raise Cancelled

    with pytest.raises(Cancelled):
        find_lesions(ct, chest.lungs, report=report)
    assert told == sorted(told)


def test_progress_rises_to_the_end(sick):
    chest, ct = sick
    told = []
    find_lesions(ct, chest.lungs, report=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_level_is_that_of_the_aerated_lung_even_when_most_is_diseased():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(-850, 30, 3000), rng.normal(-500, 90, 6000), rng.normal(0, 40, 3000)])
    assert lung_level(values) == pytest.approx(-850, abs=15)
    assert lung_level(np.array([])) == -850.0


def phantom_lungs(phantom):
    """The lungs of a phantom as the lung step gives them: 1 right, 2 left."""
    return np.where(np.isin(phantom.lobes, (4, 5)), 2, phantom.lobes > 0).astype(np.uint8)


@pytest.mark.parametrize(("seed", "extent"), [(1021, 0.0), (1022, 15.0)])
def test_phantoms_lesions(seed, extent):
    phantom = make_phantom(PhantomSettings(seed=seed, thickness_mm=5.0, matrix=128, extent_percent=extent))
    lungs = phantom_lungs(phantom)
    found = find_lesions(phantom.ct, lungs)
    if extent:
        assert dice(found, phantom.lesions) > 0.75
    else:
        assert np.count_nonzero(found) < 0.015 * np.count_nonzero(lungs)


def as_ct(image):
    return CTVolume.from_values(sitk.GetArrayFromImage(image), Geometry.of_image(image)).canonical()[0]


def read_slab(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return as_ct(reader.Execute())


@pytest.mark.shared
def test_covid_slab_agrees_with_a_published_network(shared_data):
    ct = read_slab(shared_data / "ricord1a_dicom_slab")
    probability = sitk.ReadImage(shared_data / "ricord1a_slab_minisegP20_prob255.nrrd")
    turn = Reorientation.of(Geometry.of_image(probability))
    lungs = find_lungs(ct)
    likely = (turn.apply(sitk.GetArrayFromImage(probability)) > 127) & (lungs.mask > 0)
    found = find_lesions(ct, lungs.mask, lungs.airways)
    # Not truth: the network misses dense consolidation, which is found here.
    assert np.count_nonzero(found & likely) > 0.75 * np.count_nonzero(likely)
    assert dice(found, likely) > 0.7


@pytest.mark.shared
def test_normal_lungs_of_the_labelled_ct_hold_no_pneumonia(shared_data):
    ct = as_ct(sitk.ReadImage(shared_data / "cip_ct64_ct.nrrd"))
    labels = sitk.ReadImage(shared_data / "cip_ct64_lungs_L1_R2.nrrd")
    sides = Reorientation.of(Geometry.of_image(labels)).apply(sitk.GetArrayFromImage(labels))
    lungs = np.choose(sides, (0, 2, 1)).astype(np.uint8)
    assert find_lesions(ct, lungs).sum() < 0.015 * np.count_nonzero(lungs)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("lungfcp0001_ct_upperlungs_1mm.nrrd", slice(0, 40)),
        ("tcia_9328.50.1.0117_ct_lowerlungs_1mm.nrrd", slice(30, 70)),
    ],
)
def test_aerated_lungs_hold_little_pneumonia(shared_data, name, sections):
    ct = as_ct(sitk.ReadImage(shared_data / name)[:, :, sections])
    lungs = find_lungs(ct)
    aerated = (lungs.mask > 0) & (ndimage.uniform_filter(ct.hu, (1, 5, 5)) < -100)
    found = find_lesions(ct, np.where(aerated, lungs.mask, 0).astype(np.uint8), lungs.airways)
    assert found.sum() < 0.03 * np.count_nonzero(aerated)
