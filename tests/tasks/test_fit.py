"""`fit` with the callbacks of Keras, on models of both tasks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import slot_attention_tf as sa
from slot_attention_tf.tasks import find_task
from slot_attention_tf.training.randomness import seed_states
from tests.tasks.test_task import small_autoencoder, small_classifier

MODELS = {"discovery": small_autoencoder, "set_prediction": small_classifier}
MONITORS = {"discovery": "val_fg_ari", "set_prediction": "val_ap_inf"}


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def make_model(name, optimizer=keras.optimizers.Adam, **options):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    model.compile(optimizer(0.01, **options))
    return model


def fit(model, data, epochs, callbacks=()):
    return model.fit(
        data, epochs=epochs, callbacks=list(callbacks), shuffle=False, verbose=0
    )


def draw(rng, number):
    return {
        "image": rng.uniform(-1, 1, size=(number, 8, 8, 3)).astype("float32"),
        "segmentation": rng.integers(0, 3, size=(number, 8, 8)),
        "target": rng.integers(0, 2, size=(number, 3, 19)).astype("float32"),
    }


@pytest.fixture
def data(rng):
    return tf.data.Dataset.from_tensor_slices(draw(rng, 8)).batch(4)


@pytest.fixture
def held_out(rng):
    return draw(rng, 5)


def assert_same(weights, expected):
    for a, b in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.slow
def test_scores_of_an_epoch_are_those_of_the_scripts(name, data, held_out):
    model = make_model(name)
    scores = sa.ValidationScores(held_out, batch_size=2)
    history = fit(model, data, 2, [scores]).history
    expected = find_task(name).evaluate(model, scores.validation_data)
    if name == "discovery":
        for key in ("fg_ari", "ari", "mbo", "mse"):
            assert history[f"val_{key}"][-1] == expected[key]
        assert len(set(history["val_mse"])) == 2
    else:
        for key, score in (("ap_inf", "AP@inf"), ("ap_0_5", "AP@0.5")):
            assert history[f"val_{key}"][-1] == expected[score]


@pytest.mark.slow
def test_scores_leave_no_trace_in_training(name, data, held_out):
    models = [make_model(name) for _ in range(2)]
    fit(models[0], data, 2)
    scores = sa.ValidationScores(tf.data.Dataset.from_tensors(held_out))
    fit(models[1], data, 2, [scores])
    assert_same(models[1].weights, models[0].weights)


@pytest.mark.slow
def test_the_best_model_is_kept_and_boards_show_the_scores(
    name, data, held_out, tmp_path
):
    model = make_model(name)
    monitor = MONITORS[name]
    callbacks = [
        sa.ValidationScores(held_out),
        keras.callbacks.ModelCheckpoint(
            tmp_path / f"{{epoch}}_{{{monitor}:.6f}}.keras",
            monitor=monitor,
            mode="max",
            save_best_only=True,
        ),
        keras.callbacks.TensorBoard(tmp_path / "board"),
    ]
    history = fit(model, data, 3, callbacks).history
    best = int(np.argmax(history[monitor]))
    file = tmp_path / f"{best + 1}_{history[monitor][best]:.6f}.keras"
    loaded = keras.saving.load_model(file)
    scores = find_task(name).evaluate(loaded, callbacks[0].validation_data)
    key = {"val_fg_ari": "fg_ari", "val_ap_inf": "AP@inf"}[monitor]
    assert scores[key] == history[monitor][best]
    (board,) = (tmp_path / "board" / "validation").glob("events*")
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(board))
        for value in event.summary.value
    }
    assert f"epoch_{monitor.removeprefix('val_')}" in tags


@pytest.mark.slow
def test_an_interrupted_fit_continues_from_its_backup(name, data, tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = make_model(name)
    states = seed_states(whole)
    start = [state.numpy() for state in states]

    class StartSeedsAnew(keras.callbacks.Callback):
        """Keras's backups hold weights and the optimizer, but no random state."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                for state, value in zip(states, start, strict=True):
                    state.assign(value)

    fit(whole, data, 4, [StartSeedsAnew()])
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(name), data, 4, [backup, Interrupt()])
    again = make_model(name)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    history = fit(again, data, 4, [backup])
    assert history.epoch == [2, 3]
    assert_same(again.weights, whole.weights)


@pytest.mark.slow
def test_averaged_weights_are_scored_and_saved(name, data, held_out, tmp_path):
    averaging = {"use_ema": True, "ema_momentum": 0.5}
    sgd = keras.optimizers.SGD
    plain, model = make_model(name, sgd), make_model(name, sgd, **averaging)
    steps = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(plain.get_weights())
    )
    fit(plain, data, 2, [record])
    average = steps[0]
    for weights in steps[1:]:
        average = [0.5 * a + 0.5 * w for a, w in zip(average, weights, strict=True)]
    callbacks = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        sa.ValidationScores(held_out),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
    ]
    history = fit(model, data, 2, callbacks).history
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    for a, b in zip(loaded.get_weights(), average, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    key = {"val_fg_ari": "fg_ari", "val_ap_inf": "AP@inf"}[MONITORS[name]]
    scores = find_task(name).evaluate(loaded, callbacks[1].validation_data)
    assert scores[key] == pytest.approx(history[MONITORS[name]][-1], abs=1e-6)


def test_a_model_of_a_class_of_yours_is_scored_by_the_task_of_its_base(held_out):
    class Mine(sa.SlotAttentionAutoEncoder):
        pass

    model = Mine((8, 8), 3, 1, slot_size=8)
    scores = sa.ValidationScores(held_out)
    scores.set_model(model)
    logs = {}
    scores.on_epoch_end(0, logs)
    assert "val_fg_ari" in logs
    scores.set_model(keras.Sequential())
    with pytest.raises(ValueError, match="SlotAttentionAutoEncoder.*type Sequential"):
        scores.on_epoch_end(0, logs)


def test_data_of_another_kind_are_refused(held_out):
    with pytest.raises(ValueError, match="dictionary of arrays.*type ndarray"):
        sa.ValidationScores(held_out["image"])
