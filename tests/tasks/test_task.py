"""How a model is scored: right numbers, the same every time, no trace in the run."""

import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.metrics import average_precision_clevr
from slot_attention_tf.tasks import find_task
from slot_attention_tf.tasks.discovery import stripe_score, territory_score
from slot_attention_tf.tasks.set_prediction import with_exactly
from slot_attention_tf.tasks.task import image_noise, predict
from slot_attention_tf.training.randomness import fixed_randomness, seed_states


class Oracle:
    """Stands in for a model: its masks are the truth that the images encode."""

    variables = weights = ()

    def noise_shape(self, **options):
        return None

    def named_outputs(self, images, num_slots=3):
        labels = tf.cast(tf.round(images[..., 0]), tf.int32)
        return {
            "segmentation": labels,
            "masks": tf.one_hot(labels, num_slots, axis=1)[..., None],
            "reconstruction": images + 0.5,
        }


def scenes(segmentation):
    images = np.repeat(segmentation[..., None], 3, axis=-1).astype("float32")
    batches = {"image": images, "segmentation": segmentation}
    return tf.data.Dataset.from_tensor_slices(batches).batch(2)


def small_autoencoder():
    return sa.SlotAttentionAutoEncoder(
        (8, 8),
        3,
        2,
        slot_size=8,
        encoder=sa.ConvEncoder((8, 8), filters=(4,)),
        decoder=sa.PixelMLPDecoder((8, 8), hidden_sizes=(8,)),
        seed=1,
    )


def small_classifier():
    encoder = sa.ConvEncoder((8, 8), filters=(4,))
    return sa.SlotAttentionClassifier((8, 8), 4, 2, slot_size=8, encoder=encoder)


def random_images(rng, number=6):
    images = rng.uniform(-1, 1, size=(number, 8, 8, 3)).astype("float32")
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": images,
            "segmentation": rng.integers(0, 3, size=(number, 8, 8)),
            "target": rng.integers(0, 2, size=(number, 3, 19)).astype("float32"),
        }
    )


def test_scores_and_pictures_trace_a_model_once(rng):
    class Counted(Oracle):
        calls = 0

        def named_outputs(self, images, **options):
            self.calls += 1
            return super().named_outputs(images, **options)

    model, data = Counted(), scenes(rng.integers(0, 3, size=(5, 6, 7)).astype("uint8"))
    find_task("discovery").evaluate(model, data)
    images = data.map(lambda batch: {"image": batch["image"]})
    assert len(list(predict(model, images))) == 3  # What is drawn needs no labels.
    assert model.calls == 1


def test_a_perfect_model_scores_one(rng):
    segmentation = rng.integers(0, 3, size=(5, 6, 7)).astype("uint8")
    task = find_task("discovery")
    scores = task.evaluate(Oracle(), scenes(segmentation))
    assert scores["fg_ari"] == pytest.approx(1.0)
    assert scores["mse"] == pytest.approx(0.25)
    assert (scores["num_images"], scores["num_left_out"]) == (5, 0)
    assert task.summary(scores).startswith("FG-ARI 1.000 ± 0.000 over 5 images")


def test_images_without_objects_are_left_out_and_counted(rng):
    segmentation = rng.integers(0, 3, size=(5, 6, 7)).astype("uint8")
    segmentation[3] = 0
    task = find_task("discovery")
    scores = task.evaluate(Oracle(), scenes(segmentation))
    assert scores["num_left_out"] == 1
    assert "over 4 images" in task.summary(scores)
    assert "1 left out" in task.summary(scores)


def test_an_empty_dataset_is_an_error():
    empty = scenes(np.zeros((1, 4, 4), "uint8")).take(0)
    with pytest.raises(ValueError, match="holds no batch"):
        list(predict(Oracle(), empty))


def test_an_image_starts_from_its_own_noise():
    noise = image_noise(3, 5, 2, (4, 8))
    np.testing.assert_array_equal(noise[1], image_noise(3, 6, 1, (4, 8))[0])
    # With more slots, the first start where they did.
    np.testing.assert_array_equal(noise, image_noise(3, 5, 2, (7, 8))[:, :4])
    assert np.abs(noise[0] - noise[1]).max() > 0.1
    assert np.abs(noise - image_noise(4, 5, 2, (4, 8))).max() > 0.1
    many = image_noise(0, 0, 500, (4, 8))
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02


@pytest.mark.parametrize("name", ["discovery", "set_prediction"])
def test_scores_do_not_depend_on_the_batch_size_nor_leave_a_trace(rng, name):
    task = find_task(name)
    model = small_autoencoder() if name == "discovery" else small_classifier()
    data = random_images(rng)
    before = [state.numpy() for state in seed_states(model)]
    first = task.evaluate(model, data.batch(2))
    model(next(iter(data.batch(1)))["image"])  # Draws random numbers in between.
    after_a_call = [state.numpy() for state in seed_states(model)]
    again = task.evaluate(model, data.batch(2))
    assert again == first
    other = task.evaluate(model, data.batch(5))
    assert other == pytest.approx(first, abs=1e-6)
    for state, value in zip(seed_states(model), after_a_call, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)
    assert any((a != b).any() for a, b in zip(before, after_a_call, strict=True))


def test_another_seed_gives_other_starts(rng):
    model, data = small_autoencoder(), random_images(rng).batch(3)
    task = find_task("discovery")
    assert task.evaluate(model, data)["mse"] != task.evaluate(model, data, 1)["mse"]


def test_fixed_randomness_repeats_draws(rng):
    model = small_autoencoder()
    images = rng.uniform(-1, 1, size=(2, 8, 8, 3)).astype("float32")
    with fixed_randomness(model, 7):
        slots = model(images)[3]
    with fixed_randomness(model, 7):
        np.testing.assert_array_equal(model(images)[3], slots)


def test_options_of_a_call_reach_the_model(rng):
    data = random_images(rng).batch(3)
    options = {"num_slots": 6, "num_iterations": 1}
    (first, _) = predict(small_classifier(), data, **options)
    assert first["predictions"].shape == (3, 6, 19)
    assert first["attention"].shape == (3, 1, 64, 6)


def test_average_precision_is_that_of_all_images(rng):
    class Guess(Oracle):
        def named_outputs(self, images):
            return {"predictions": images}

    targets = np.zeros([6, 2, 19], "float32")
    targets[:, 0, [3, 5, 7, 10, 18]] = 1
    predictions = (targets + rng.uniform(0, 0.1, targets.shape)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices({"image": predictions, "target": targets})
    task = find_task("set_prediction")
    scores = task.evaluate(Guess(), data.batch(4))
    expected = average_precision_clevr(predictions, targets, 0.5)
    assert scores["AP@0.5"] == expected and scores["num_images"] == 6
    assert f"AP@0.5 {expected:.3f}" in task.summary(scores)


def test_stripes_score_high_and_objects_low():
    column = np.arange(30) // 10
    stripes = np.broadcast_to(column, (30, 30))
    blobs = np.zeros((30, 30), int)
    blobs[4:12, 5:13], blobs[16:25, 14:22] = 1, 2
    masks = np.stack([np.eye(3)[labels] for labels in (stripes, stripes.T, blobs)])
    scores = stripe_score(masks.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(scores[:2], 1.0)
    assert scores[2] < 0.5


def test_territories_score_high_whoever_has_them(rng):
    tiles = np.add.outer(np.arange(32) // 16, 2 * (np.arange(32) // 16))
    permuted = np.stack([rng.permutation(4)[tiles] for _ in range(6)])
    np.testing.assert_allclose(territory_score(permuted), 1.0)
    objects = np.zeros((6, 32, 32), int)
    for labels in objects:
        for label in (1, 2, 3):
            row, column = rng.integers(24, size=2)
            labels[row : row + 8, column : column + 8] = label
    assert territory_score(objects).mean() < 0.25
    assert np.isnan(territory_score(objects[:1])).all()


def test_failed_runs_are_named():
    task = find_task("discovery")
    siblings = [{"mse": mse} for mse in (0.010, 0.012, 0.011)]
    signs = task.signs_of_failure({"mse": 0.05, "stripes": 0.95}, siblings)
    assert "stripes" in signs[0] and "4.5 times the median of 3" in signs[1]
    assert task.signs_of_failure({"mse": 0.022, "stripes": 0.3}, siblings) == []
    assert task.signs_of_failure({"mse": 0.05, "stripes": 0.3}, []) == []
    scores = {"mse": 0.01, "stripes": 0.3, "territories": 0.19}
    assert task.signs_of_failure(scores, siblings) == []
    (sign,) = task.signs_of_failure({**scores, "territories": 0.53}, siblings)
    assert "index 0.53): slots divide the image by place" in sign


def test_scenes_with_exactly_n_objects():
    counts = [1, 3, 2, 3, 0, 3]
    target = np.zeros([len(counts), 5, 19], "float32")
    for scene, count in enumerate(counts):
        target[scene, :count, 18] = 1
    image = np.arange(len(counts), dtype="float32")
    dataset = tf.data.Dataset.from_tensor_slices({"image": image, "target": target})
    scenes = with_exactly(dataset.batch(4), 3, batch_size=2)
    assert [batch["image"].tolist() for batch in scenes.as_numpy_iterator()] == [
        [1.0, 3.0],
        [5.0],
    ]


def test_settings_under_which_nothing_can_be_learned_are_refused():
    task = find_task("set_prediction")
    preset = sa.SlotAttentionClassifier.presets["clevr_cpu"]
    task.check_batch(preset, {"target": np.array([0.0, 1.0])})
    with pytest.raises(ValueError, match=r"\[0, 1\].*targets from 0 to 2"):
        task.check_batch(preset, {"target": np.array([0.0, 2.0])})
    with pytest.raises(ValueError, match="The tasks are discovery, set_prediction"):
        find_task("detection")
