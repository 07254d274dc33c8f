"""Scoring and simulating on tensors, against SciPy's transform and the processor's simulator."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from isegbench.harness.engine import score_on_gpu
from isegbench.harness.engine.score import checked_mask
from isegbench.harness.engine.score_on_gpu import UNDECIDED, Assessment, DeepestError, assess, ious
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import datasets
from isegbench.harness.simulators.distance import deepest_on_gpu
from isegbench.harness.simulators.distance.deepest import Deepest
from isegbench.harness.simulators.distance.deepest_on_gpu import deepest_pixels, squared_depths
from isegbench.harness.simulators.distance.region import errors
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Click, Instance


def squares(region):
    """SciPy's transform of the padded region, squared."""
    padded = np.pad(region, 1)
    return np.rint(np.square(distance_transform_edt(padded))[1:-1, 1:-1]).astype(np.int64)


def clouds(seed, many, height, width, width_of_blobs, share):
    noise = np.random.default_rng(seed).standard_normal((many, height, width))
    noise = gaussian_filter(noise, (0, width_of_blobs, width_of_blobs))
    return noise > np.quantile(noise, 1 - share, axis=(1, 2), keepdims=True)


def deepest(region, avoid=()):
    """(largest squared depth, first pixel as y * W + x, how many have it) of the pixels left."""
    found = squares(region)
    for pixel in avoid:
        found[pixel] = 0
    most = found.max()
    return [most, found.argmax(), (found == most).sum()] if most else [0, 0, 0]


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def largest_error(mask, truth, avoid, distance):
    instance = Instance("d", "i", "i", np.zeros((*truth.shape, 3), np.uint8), truth)
    clicks = [Click(y, x, "positive") for y, x in avoid]
    rng = np.random.default_rng(0)
    return LargestError(distance).correct(instance, None, mask, clicks, rng)


def test_importing_needs_no_torch():
    code = "import sys, isegbench.harness.engine.score_on_gpu; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@st.composite
def stacks(draw, most=26):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, most), st.integers(1, most)))
    # Sparse holes in full frames are as likely as sparse pixels in empty ones.
    holes = draw(arrays(bool, shape, elements=st.booleans(), fill=st.just(False)))
    return ~holes if draw(st.booleans()) else holes


@settings(max_examples=200, deadline=None)
@given(stacks())
def test_small_stacks_are_transformed_exactly(regions):
    found = squared_depths(tensor(regions))
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found, [squares(region) for region in regions])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 97), (203, 329), (33_000, 3)])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_frames_are_transformed_exactly_piece_by_piece_too(shape, share, monkeypatch):
    regions = clouds(1, 3, *shape, 4, share) if 0 < share < 1 else np.full((3, *shape), share > 0)
    expected = [squares(region) for region in regions]
    np.testing.assert_array_equal(squared_depths(tensor(regions)), expected)
    monkeypatch.setattr(deepest_on_gpu, "_AT_ONCE", 10_000)
    np.testing.assert_array_equal(squared_depths(tensor(regions)), expected)
    found = deepest_pixels(tensor(regions))
    np.testing.assert_array_equal(found, [deepest(region) for region in regions])


def test_no_map_at_all():
    assert squared_depths(torch.zeros((0, 4, 5), dtype=torch.bool)).shape == (0, 4, 5)
    nothing = torch.zeros((0, 4, 5))
    assert assess(nothing, nothing.to(torch.uint8), 0.5, []) == []


@settings(max_examples=200, deadline=None)
@given(stacks(), st.data())
def test_the_deepest_pixels_of_small_stacks(regions, data):
    many, height, width = regions.shape
    # Also pixels outside the image, which mean nothing.
    pixel = st.tuples(st.integers(-1, height), st.integers(-1, width))
    avoid = data.draw(st.lists(st.tuples(st.integers(0, many - 1), pixel), max_size=8))
    found = deepest_pixels(tensor(regions), [(number, y, x) for number, (y, x) in avoid])
    for number, region in enumerate(regions):
        inside = [
            (y, x) for n, (y, x) in avoid if n == number and 0 <= y < height and 0 <= x < width
        ]
        assert found[number].tolist() == deepest(region, inside)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(20, 200),
    st.integers(20, 260),
    st.sampled_from([0, 1, 3, 8, 20]),
    st.sampled_from([0.02, 0.3, 0.9, 0.99]),
)
def test_the_deepest_pixels_of_any_size_and_shape(seed, height, width, width_of_blobs, share):
    regions = clouds(seed, 3, height, width, width_of_blobs, share)
    avoid = [[], [], []]
    for _ in range(3):
        listed = [(number, *pixel) for number, pixels in enumerate(avoid) for pixel in pixels]
        found = deepest_pixels(tensor(regions), listed).tolist()
        for region, pixels, (squared, first, equals) in zip(regions, avoid, found, strict=True):
            assert [squared, first, equals] == deepest(region, pixels)
            at = divmod(first, width)
            assert Deepest(region, pixels, "exact").find() == (float(np.sqrt(squared)), at)
            pixels.append(at)


def test_shapes_full_of_ties():
    rows, columns = np.indices((321, 481))
    regions = np.stack(
        [
            rows % 30 < 29,
            columns % 90 > 10,
            (rows % 41 > 0) & (columns % 41 > 0),
            (rows < 13) | (columns > 460),
            (rows + columns) % 50 < 37,
            (rows - 150) ** 2 + (columns - 200) ** 2 < 140**2,
            (rows % 7 == 0) & (columns % 5 == 0),
            (rows + columns) % 2 == 0,
        ]
    )
    found = deepest_pixels(tensor(regions))
    np.testing.assert_array_equal(found, [deepest(region) for region in regions])


@settings(max_examples=100, deadline=None)
@given(st.data(), stacks())
def test_ious_are_those_of_the_metric(data, masks):
    values = st.sampled_from([0, 1, 255])
    truths = data.draw(arrays(np.uint8, masks.shape, elements=values))
    found = ious(tensor(masks), tensor(truths))
    assert found.dtype == np.float64
    expected = [iou(mask, truth) for mask, truth in zip(masks, truths, strict=True)]
    assert found.tolist() == expected
    told = assess(tensor(masks.astype(np.float32)), tensor(truths), 0.5, [[]] * len(masks))
    assert [one.iou for one in told] == expected


def scenes(seed, shape=(150, 171)):
    """Eight pairs of probabilities and truth, some of it ignored, with blobs of all sizes."""
    sizes = (2, 5, 12, 25)
    truths = np.concatenate(
        [clouds(seed + i, 2, *shape, size, 0.4) for i, size in enumerate(sizes)]
    ).astype(np.uint8)
    truths[clouds(seed + 10, 8, *shape, 5, 0.05)] = 255
    noise = np.concatenate(
        [clouds(seed + 20 + i, 2, *shape, size, 0.3) for i, size in enumerate(sizes)]
    )
    wrong = np.roll((truths == 1) ^ (noise & (np.arange(8) % 3 > 0)[:, None, None]), 7, axis=1)
    softness = np.random.default_rng(seed).uniform(0, 0.49, wrong.shape)
    return np.abs(wrong - softness).astype(np.float32), truths


@pytest.mark.parametrize("distance", ["exact", "opencv"])
def test_clicks_are_those_of_the_simulator(distance):
    decided = 0
    for seed in range(0, 1200, 100):
        maps, truths = scenes(seed)
        avoid = [[] for _ in maps]
        for _ in range(4):
            told = assess(tensor(maps), tensor(truths), 0.5, avoid)
            for one, values, truth, pixels in zip(told, maps, truths, avoid, strict=True):
                mask = checked_mask(values, values.shape, 0.5)
                assert one.in_range
                assert one.iou == iou(mask, truth)
                expected = largest_error(mask, truth, pixels, distance)
                click = one.click(distance)
                if click is UNDECIDED:
                    assert distance == "opencv"
                    assert_tied(one, mask, truth, pixels)
                else:
                    assert click == expected
                    decided += 1
                if expected is not None:
                    pixels.append(expected.pixel)
    assert decided == 384 if distance == "exact" else decided > 200


def assert_tied(one, mask, truth, avoid):
    """More than one pixel has the largest squared depth, over both kinds of errors."""
    depths = np.stack([squares(region) for region in errors(mask, truth)])
    for y, x in avoid:
        depths[:, y, x] = 0
    assert (depths == depths.max()).sum() > 1
    assert depths.max() == max(one.missed.squared, one.spilled.squared)


def test_clicks_on_the_samples():
    """Errors as predictions make them, on frames of several sizes."""
    square, met = np.ones((9, 9), np.uint8), 0
    for ref in datasets.build("samples").instances():
        truth = ref.load().mask
        plain = (truth == 1).astype(np.uint8)
        noisy = plain ^ (np.random.default_rng(1).random(plain.shape) < 0.3)
        masks = np.stack(
            [
                cv2.erode(plain, square),
                cv2.dilate(plain, square),
                np.roll(plain, (6, -9), axis=(0, 1)),
                cv2.medianBlur(noisy.astype(np.uint8), 5),
                np.zeros_like(plain),
                np.ones_like(plain),
                plain,
            ]
        )
        truths = np.stack([truth] * len(masks))
        told = assess(tensor(masks.astype(np.float32)), tensor(truths), 0.5, [[]] * len(masks))
        for one, mask in zip(told, masks > 0, strict=True):
            assert one.iou == iou(mask, truth)
            assert one.click("exact") == largest_error(mask, truth, [], "exact")
            click = one.click("opencv")
            if click is UNDECIDED:
                assert_tied(one, mask, truth, [])
            else:
                assert click == largest_error(mask, truth, [], "opencv")
                met += 1
    assert met > 20


def test_parts_of_a_large_batch_give_the_same(monkeypatch):
    maps, truths = scenes(7)
    avoid = [[(n, 2 * n), (3, 3)] for n in range(8)]
    whole = assess(tensor(maps), tensor(truths), 0.5, avoid)
    monkeypatch.setattr(score_on_gpu, "_AT_ONCE", 6 * maps[0].size)
    assert assess(tensor(maps), tensor(truths), 0.5, avoid) == whole


def test_values_out_of_range_and_at_the_threshold():
    maps = np.full((6, 3, 4), 0.25, np.float32)
    maps[1, 2, 3], maps[2, 0, 0], maps[3, 1, 1] = np.nan, -1e-6, 1.0000001
    maps[4, 0, :2] = 0.0, 1.0
    maps[5, 1, 2:] = np.float32(0.49), np.nextafter(np.float32(0.49), np.float32(1))
    truths = np.ones((6, 3, 4), np.uint8)
    told = assess(tensor(maps), tensor(truths), 0.49, [[]] * 6)
    assert [one.in_range for one in told] == [True, False, False, False, True, True]
    # A value at the threshold is not above it, as on the processor.
    assert told[5].intersection == checked_mask(maps[5], (3, 4), 0.49).sum() == 1


def told(missed, spilled):
    return Assessment(True, 1, 2, DeepestError(*missed), DeepestError(*spilled))


@pytest.mark.parametrize(
    ("missed", "spilled", "exact", "opencv"),
    [
        ((0, (0, 0), 0), (0, (0, 0), 0), None, None),
        ((50, (3, 4), 1), (49, (5, 6), 9), Click(3, 4, "positive"), Click(3, 4, "positive")),
        ((50, (3, 4), 2), (49, (5, 6), 1), Click(3, 4, "positive"), UNDECIDED),
        ((50, (3, 4), 1), (50, (5, 6), 1), Click(5, 6, "negative"), UNDECIDED),
        ((36, (3, 4), 7), (36, (5, 6), 2), Click(5, 6, "negative"), Click(5, 6, "negative")),
        ((36, (3, 4), 7), (2, (5, 6), 2), Click(3, 4, "positive"), Click(3, 4, "positive")),
        ((2**19 - 1, (800, 800), 1), (1, (5, 6), 1), *[Click(800, 800, "positive")] * 2),
        ((2**19, (800, 800), 1), (1, (5, 6), 1), Click(800, 800, "positive"), UNDECIDED),
    ],
)
def test_what_is_decided(missed, spilled, exact, opencv):
    assert told(missed, spilled).click("exact") == exact
    assert told(missed, spilled).click() == opencv


def test_unequal_integers_stay_apart_in_float32():
    squared = np.arange(1, score_on_gpu.SURE_BELOW + 1)
    roots = np.sqrt(squared).astype(np.float32)
    # Steps of the larger one, which are the longer ones.
    assert (np.diff(np.sqrt(squared)) / np.spacing(roots[1:]) > 8).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_opencv_is_near_the_root(seed):
    """OpenCV's values are within the steps that the rule has room for: 4 on either side."""
    region = clouds(seed, 1, 700, 800, 40, 0.8)[0]
    cv2.setNumThreads(1)
    padded = np.pad(region, 1).astype(np.uint8)
    found = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    roots = np.sqrt(squares(region))
    steps = np.abs(found - roots)[region] / np.spacing(roots.astype(np.float32))[region]
    assert steps.max() < 4


class _OnCuda:
    """Runs a call with made-up CUDA tensors, and notes what would be fetched from the device.

    PyTorch's fake tensors have a device and a shape but no values: operations that mix devices, or
    whose result's shape depends on values, which makes the processor wait, raise.
    """

    def __init__(self, monkeypatch, answers):
        self.fetched = []
        monkeypatch.setattr(FakeTensor, "tolist", self._fetch(iter(answers)), raising=False)

    def _fetch(self, answers):
        def tolist(values):
            self.fetched.append((str(values.device.type), tuple(values.shape)))
            return next(answers)

        return tolist

    @staticmethod
    def tensors(*kinds):
        return [torch.empty((4, 60, 83), dtype=kind, device="cuda") for kind in kinds]


def test_the_device_is_waited_for_once_and_asked_once(monkeypatch):
    cuda = _OnCuda(monkeypatch, [[17, 9], [[1, 5, 9, 4, 3, 1, 0, 0, 0]] * 4])
    with FakeTensorMode():
        maps, truths = cuda.tensors(torch.float32, torch.uint8)
        found = assess(maps, truths, 0.5, [[(2, 3)], [], [], [(5, 6), (7, 8)]])
    assert cuda.fetched == [("cuda", (2,)), ("cuda", (4, 9))]
    assert found[0].click() == Click(0, 3, "positive")


def test_the_transform_waits_once(monkeypatch):
    cuda = _OnCuda(monkeypatch, [[3, 40, 5, 70, 12]])
    with FakeTensorMode():
        (regions,) = cuda.tensors(torch.bool)
        found = squared_depths(regions)
    assert cuda.fetched == [("cuda", (5,))]
    assert (found.device.type, found.shape, found.dtype) == ("cuda", regions.shape, torch.int32)


def test_a_value_dependent_operation_is_noticed():
    """What the two tests above rely on."""
    with FakeTensorMode(), pytest.raises(Exception, match="[Dd]ata.?[Dd]ependent|nonzero|dynamic"):
        torch.empty(4, dtype=torch.bool, device="cuda").nonzero()
    with FakeTensorMode(), pytest.raises(Exception, match="[Dd]ata.?[Dd]ependent|_local_scalar"):
        torch.empty(1, device="cuda").item()
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device="cuda") + torch.empty(3)
