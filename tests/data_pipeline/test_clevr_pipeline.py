"""Tests of CLEVR for set prediction, on official and on generated data."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from public_records import load

from slot_attention_tf.data import batching, pipelines
from slot_attention_tf.data.prepare import open_prepared
from slot_attention_tf.reference import data as release

NAME = "synthetic_clevr/tiny"
OFFICIAL_COUNTS = {"train": (3, 10, 5, 0, 7, 4), "validation": (6, 3), "test": (0, 0)}

with tfds.core.registered.skip_registration():

    class Clevr(tfds.core.GeneratorBasedBuilder):
        """Writes scenes of random content under the name of TFDS's own builder."""

        VERSION = tfds.core.Version("3.1.0")

        def _info(self):
            official = tfds.builder_cls("clevr")(data_dir=self.data_dir)
            return tfds.core.DatasetInfo(builder=self, features=official.info.features)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in OFFICIAL_COUNTS}

        def _generate_examples(self, split):
            rng = np.random.default_rng(len(split))
            for i, n in enumerate(OFFICIAL_COUNTS[split]):
                labels = {"color": 8, "material": 2, "shape": 3, "size": 2}
                objects = {k: rng.integers(c, size=n) for k, c in labels.items()}
                for name, shape in (
                    ("rotation", (n,)),
                    ("3d_coords", (n, 3)),
                    ("pixel_coords", (n, 3)),
                ):
                    objects[name] = rng.uniform(-3, 3, shape).astype(np.float32)
                yield (
                    i,
                    {
                        "image": rng.integers(256, size=(320, 480, 3)).astype(np.uint8),
                        "file_name": f"{split}_{i}.png",
                        "objects": objects,
                        "question_answer": [{"question": "?", "answer": "yes"}],
                    },
                )


@pytest.fixture(scope="module")
def official_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("official")
    Clevr(data_dir=path).download_and_prepare()
    return path


def expected_target(objects, max_n_objects=10):
    """The layout of the release, written out number by number."""
    target = np.zeros((max_n_objects, 19), np.float32)
    for row, i in zip(target, range(len(objects["size"])), strict=False):
        row[0:3] = (objects["3d_coords"][i] + np.float32(3)) / np.float32(6)
        row[3 + objects["size"][i]] = 1
        row[5 + objects["material"][i]] = 1
        row[7 + objects["shape"][i]] = 1
        row[10 + objects["color"][i]] = 1
        row[18] = 1
    return target


def expected_image(image, resolution):
    values = (image.astype(np.float32) / np.float32(255) - np.float32(0.5)) * 2
    return tf.clip_by_value(tf.image.resize(values, resolution), -1, 1).numpy()


def assert_matches(built, examples, resolution=(128, 128), max_n_objects=10):
    built = list(built.as_numpy_iterator())
    assert len(built) == len(examples)
    for one, example in zip(built, examples, strict=True):
        np.testing.assert_array_equal(
            one["target"], expected_target(example["objects"], max_n_objects)
        )
        np.testing.assert_allclose(
            one["image"], expected_image(example["image"], resolution), atol=1e-6
        )
        assert one["image"].dtype == one["target"].dtype == np.float32


@pytest.mark.parametrize("split", ["validation", "test"])
def test_official_splits(official_dir, split):
    examples = load(open_prepared("clevr:3.1.0", official_dir), split)
    assert_matches(release.build_clevr(split, data_dir=official_dir), examples)


def test_the_training_split_gives_its_first_examples_to_evaluation(official_dir):
    examples = load(open_prepared("clevr", official_dir), "train")
    options = {"num_eval_examples": 2, "data_dir": official_dir}
    assert_matches(release.build_clevr("train_eval", **options), examples[:2])
    assert_matches(release.build_clevr("train", **options), examples[2:])


def test_examples_with_too_many_objects_are_left_out(official_dir):
    examples = load(open_prepared("clevr", official_dir), "train")
    few = [e for e in examples if len(e["objects"]["size"]) <= 5]
    assert 0 < len(few) < len(examples)
    built = release.build_clevr(
        "train", (32, 48), False, 5, num_eval_examples=0, data_dir=official_dir
    )
    assert_matches(built, few, (32, 48), 5)


def test_generated_scenes_take_the_same_way(synthetic_clevr_dir):
    examples = load(open_prepared(NAME, synthetic_clevr_dir), "validation")
    built = release.build_clevr(
        "validation", resolution=(32, 32), name=NAME, data_dir=synthetic_clevr_dir
    )
    assert_matches(built, examples, (32, 32))


def test_without_properties_there_are_images_only(official_dir):
    built = release.build_clevr("test", get_properties=False, data_dir=official_dir)
    assert set(built.element_spec) == {"image"}


def test_the_crop_is_that_of_the_release():
    image = np.random.default_rng(0).integers(256, size=(240, 320, 3)).astype(np.uint8)
    cropped = release.preprocess_clevr(
        {"image": image}, (192, 192), apply_crop=True, get_properties=False
    )["image"]
    expected = (image[29:221, 64:256] / 255 - 0.5) * 2
    np.testing.assert_allclose(cropped, expected, atol=1e-6)


def test_shuffling_keeps_the_examples(synthetic_clevr_dir):
    options = {"num_eval_examples": 0, "name": NAME, "data_dir": synthetic_clevr_dir}
    kept = list(release.build_clevr("train", **options).as_numpy_iterator())
    shuffled = release.build_clevr("train", shuffle=True, **options)
    orders = []
    for _ in range(3):
        images = [e["image"].tobytes() for e in shuffled.as_numpy_iterator()]
        assert sorted(images) == sorted(e["image"].tobytes() for e in kept)
        orders.append(tuple(images))
    assert len(set(orders)) > 1


def test_the_iterator_never_ends_and_has_full_batches(synthetic_clevr_dir):
    iterator = release.build_clevr_iterator(
        3, "validation", resolution=(16, 16), name=NAME, data_dir=synthetic_clevr_dir
    )
    # Four examples: the second batch runs into the next round.
    batches = [next(iterator) for _ in range(4)]
    targets = np.concatenate([batch["target"] for batch in batches])
    assert batches[0]["image"].shape == (3, 16, 16, 3)
    assert targets.shape == (12, 10, 19)
    np.testing.assert_array_equal(targets[:4], targets[4:8])
    np.testing.assert_array_equal(targets[:4], targets[8:])


def test_an_unknown_split_is_an_error(official_dir):
    with pytest.raises(ValueError, match=r"train_eval.*Received: split='val'"):
        release.build_clevr("val", data_dir=official_dir)


def test_missing_official_data_names_the_command(tmp_path):
    expected = f"data.prepare clevr:3.1.0 --data_dir={tmp_path}"
    with pytest.raises(FileNotFoundError, match=expected):
        release.build_clevr("train", data_dir=tmp_path)


@pytest.fixture(params=["memory", "disk"])
def source(request, monkeypatch):
    if request.param == "disk":
        monkeypatch.setattr(batching, "free_memory", lambda: 0)


@pytest.mark.parametrize("official", [True, False])
def test_set_prediction_dataset(official_dir, synthetic_clevr_dir, source, official):
    name, path = ("clevr", official_dir) if official else (NAME, synthetic_clevr_dir)
    examples = load(open_prepared(name, path), "train")
    dataset = pipelines.set_prediction_dataset(
        name, "train", 4, data_dir=path, resolution=(32, 32)
    )
    assert_matches(dataset.unbatch(), examples, (32, 32))


def test_a_set_prediction_run_continues_at_any_batch(synthetic_clevr_dir):
    options = dict(data_dir=synthetic_clevr_dir, shuffle=True, seed=4, repeat=True)
    make = pipelines.set_prediction_dataset
    whole = list(make(NAME, "train", 3, **options).take(9).as_numpy_iterator())
    rest = make(NAME, "train", 3, start_batch=5, **options).take(4)
    for one, other in zip(whole[5:], rest.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(one["target"], other["target"])
        np.testing.assert_array_equal(one["image"], other["image"])


def test_set_prediction_leaves_out_larger_sets(synthetic_clevr_dir):
    counts = open_prepared(NAME, synthetic_clevr_dir).info.metadata["num_objects"]
    for split, total in (("train", counts["train"]), ("train[2:]", None)):
        dataset = pipelines.set_prediction_dataset(
            NAME, split, 20, data_dir=synthetic_clevr_dir, max_num_objects=2
        )
        (batch,) = dataset.as_numpy_iterator()
        expected = sum(n <= 2 for n in (total or counts["train"][2:]))
        assert batch["target"].shape == (expected, 2, 19)


def test_set_prediction_counts_objects_where_nobody_noted_them(official_dir):
    dataset = pipelines.set_prediction_dataset(
        "clevr", "train", 20, data_dir=official_dir, max_num_objects=5
    )
    (batch,) = dataset.as_numpy_iterator()
    expected = sum(n <= 5 for n in OFFICIAL_COUNTS["train"])
    assert batch["target"].shape == (expected, 5, 19)


@pytest.mark.parametrize("max_num_objects", [0, -1])
def test_a_set_needs_a_row(synthetic_clevr_dir, max_num_objects):
    with pytest.raises(ValueError, match=f"max_num_objects={max_num_objects}"):
        pipelines.set_prediction_dataset(
            NAME,
            "train",
            2,
            data_dir=synthetic_clevr_dir,
            max_num_objects=max_num_objects,
        )


def test_set_prediction_needs_properties(data_dir):
    with pytest.raises(ValueError, match="no properties of objects to predict"):
        pipelines.set_prediction_dataset(
            "tetrominoes/tiny", "train", 2, data_dir=data_dir
        )


def test_the_crop_must_lie_in_the_image(synthetic_clevr_dir):
    with pytest.raises(ValueError, match=r"Received: crop=\(29, 221, 64, 256\)"):
        pipelines.set_prediction_dataset(
            NAME, "train", 2, data_dir=synthetic_clevr_dir, apply_crop=True
        )
