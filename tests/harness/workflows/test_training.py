"""What the harness does for any trainer: the file, the data sets, what the weights saw."""

import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.workflows.training import TrainingConfig, gather, read_training


def config(**keys):
    return TrainingConfig(**{"trainer": "iog", "datasets": "samples", "out": "o", **keys})


def names(material):
    return [ref.name for ref in material.refs]


def test_data_sets_are_taken_one_after_the_other():
    material = gather(config(datasets=["samples[3:5]", "samples[0:2]"]))
    everything = names(gather(config()))
    assert names(material) == everything[3:5] + everything[0:2]
    assert material.trained_on == ("samples",)
    assert sorted(entry.planned for entry in material.datasets.values()) == [2, 2]


def test_images_of_excluded_data_sets_are_left_out_with_all_their_objects():
    everything = gather(config()).refs
    held_out = everything[0].image_name
    material = gather(config(exclude="samples[0:1]"))
    assert 0 < len(material.refs) < len(everything)
    assert held_out not in {ref.image_name for ref in material.refs}
    assert len(material.refs) == sum(ref.image_name != held_out for ref in everything)
    with pytest.raises(UserError, match="no image is left to train on"):
        gather(config(exclude="samples"))


def test_an_image_is_taken_from_the_first_data_set_that_has_it():
    twice = {"datasets": [{"name": "samples", "label": "one"}, {"name": "samples", "label": "two"}]}
    assert len(gather(config(**twice)).refs) == 2 * len(gather(config()).refs)
    once = gather(config(**twice, distinct_images=True))
    assert {ref.dataset for ref in once.refs} == {"one"}
    assert names(once) == names(gather(config()))
    assert once.datasets["two"].planned == 0


def test_what_the_weights_saw_can_be_told():
    told = gather(config(trained_on=["coco_mval", "davis"], limit=3))
    assert told.trained_on == ("coco_mval", "davis")
    assert len(told.refs) == 3


def test_the_trainer_must_be_named_and_known(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text('datasets = "samples"\n')
    with pytest.raises(UserError, match=r"trainer is missing: .*known: .*iog"):
        read_training(path)
    path.write_text('trainer = "iogg"\n')
    with pytest.raises(UserError, match="unknown trainer 'iogg': did you mean 'iog'"):
        read_training(path)
    path.write_text('trainer = "iog"\n\ndata_sets = 3\n')
    with pytest.raises(UserError, match=r"t\.toml:3: unknown key 'data_sets'"):
        read_training(path)
