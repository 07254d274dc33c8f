import pickle
from functools import partial

import numpy as np
import pytest

from isegbench.harness.errors import DataError, UserError
from isegbench.harness.types import (
    Blob,
    Click,
    InstanceRef,
    decode_array,
    encode_array,
    instance_from_arrays,
)

IMAGE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
MASK = np.array([[0, 1, 1, 255, 0]] * 4, np.uint8)


def test_click_refuses_an_unknown_kind():
    with pytest.raises(UserError, match="'left'.*positive, negative, corner, extreme"):
        Click(1, 2, "left")  # pyright: ignore


def test_instance_survives_travelling():
    ref = pickle.loads(pickle.dumps(instance_from_arrays("d", "a", IMAGE, MASK).held()))
    instance = ref.load()
    assert (instance.dataset, instance.name, instance.image_name) == ("d", "a", "a")
    np.testing.assert_array_equal(instance.image, IMAGE)
    np.testing.assert_array_equal(instance.mask, MASK)


@pytest.mark.parametrize(
    ("image", "mask", "complaint"),
    [
        (IMAGE, MASK[:, :4], "is 4x4 but image .* is 5x4"),
        (IMAGE, MASK * 0, "no object pixel"),
        (IMAGE[..., 0], MASK, r"\(4, 5\); must be uint8 \(H, W, 3\)"),
        (IMAGE.astype(float), MASK, "float64"),
    ],
)
def test_unusable_data_is_a_data_error(image, mask, complaint):
    with pytest.raises(DataError, match=complaint):
        instance_from_arrays("d", "a", image, mask).load()


def test_missing_and_broken_files_are_named(tmp_path):
    missing = tmp_path / "missing.png"
    broken = tmp_path / "broken.npy"
    broken.write_bytes(encode_array(IMAGE)[:50])
    mask = Blob(encode_array(MASK))
    for path, complaint in ((missing, "cannot read .*missing.png"), (broken, "broken.npy cannot")):
        ref = InstanceRef("d", "a", "a", Blob(path), mask, decode_array, decode_array)
        with pytest.raises(DataError, match=complaint):
            ref.load()


def test_a_held_blob_still_tells_its_origin(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"not an array")
    ref = InstanceRef("d", "a", "a", Blob(path), Blob(path), decode_array, partial(decode_array))
    with pytest.raises(DataError) as here:
        ref.load()
    with pytest.raises(DataError) as there:
        ref.held().load()
    assert str(here.value) == str(there.value)
