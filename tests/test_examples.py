"""The scripts of `examples/`, run as a user runs them, at tiny sizes."""

import json
import runpy
import sys

import keras
import numpy as np
import pytest

import slot_attention_tf as sa
from tests.conftest import ROOT, run_fresh


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Runs `python examples/NAME.py ARGUMENTS`; returns its names and output."""

    def run(name, *arguments):
        script = ROOT / "examples" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        names = runpy.run_path(str(script), run_name="__main__")
        return names, capsys.readouterr().out

    return run


@pytest.fixture
def discovery_model():
    return sa.SlotAttentionAutoEncoder(
        (35, 35),
        4,
        2,
        slot_size=16,
        encoder=sa.ConvEncoder((35, 35), filters=(8, 8), strides=(2, 2)),
        decoder=sa.PixelMLPDecoder((35, 35), hidden_sizes=(8,)),
    )


@pytest.mark.slow
def test_discovery_with_fit(run_example, tmp_path):
    _, output = run_example(
        "discovery_with_fit", "--scenes=64", "--steps=2", f"--output={tmp_path}"
    )
    assert "FG-ARI" in output and "over 320 images" in output
    for name in ("curve.png", "slots.png"):
        assert (tmp_path / name).stat().st_size > 5000
    assert keras.saving.load_model(tmp_path / "model.keras").num_slots == 4


TWO_DEVICES = """
import json, runpy, sys
sys.modules["tensorflow"] = None
sys.argv = ["x", "--scenes=64", "--steps=2", "--output={output}"]
names = runpy.run_path("examples/discovery_with_fit.py", run_name="__main__")
devices = names["model"].trainable_weights[0].value.sharding.device_set
print(json.dumps([len(devices), [row["loss"] for row in names["rows"]]]))
"""


@pytest.mark.slow
def test_discovery_with_fit_shares_batches_among_the_devices_of_jax(tmp_path):
    pytest.importorskip("jax")
    results = []
    for count in (1, 2):
        output = run_fresh(
            TWO_DEVICES.format(output=tmp_path),
            KERAS_BACKEND="jax",
            XLA_FLAGS=f"--xla_force_host_platform_device_count={count}",
        )
        results.append(json.loads(output.splitlines()[-1]))
    assert [devices for devices, _ in results] == [1, 2]
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-4)


@pytest.mark.slow
def test_set_of_vectors(run_example):
    names, output = run_example("set_of_vectors", "--sets=128", "--epochs=1")
    assert "ARI" in output
    points, labels = names["points"][:4], names["labels"][:4]
    attention = names["grouping"].predict([points, labels > 0], verbose=0)
    # Padding belongs to no slot, every point to all slots together one time.
    np.testing.assert_allclose(
        attention.sum(axis=-1), np.repeat((labels > 0)[:, None], 3, 1), atol=1e-5
    )


@pytest.mark.slow
def test_backbone_features(run_example):
    names, output = run_example("backbone_features", "--scenes=16", "--epochs=1")
    assert "FG-ARI at 8x8" in output
    assert names["labels"].shape == (16, 8, 8)
    assert not any("block_" in weight.path for weight in names["model"].weights)


@pytest.mark.slow
def test_own_decoder(run_example, tmp_path):
    names, _ = run_example(
        "own_decoder", "--scenes=32", "--epochs=1", f"--output={tmp_path}"
    )
    assert (tmp_path / "slots.png").stat().st_size > 5000
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.decoder).__name__ == "BlobDecoder"
    slots = np.zeros((1, 4, 64), "float32")
    expected = names["model"](names["images"][:1], initial_slots=slots)
    outputs = loaded(names["images"][:1], initial_slots=slots)
    np.testing.assert_array_equal(outputs[0], expected[0])


@pytest.mark.slow
def test_frozen_encoder_stays_as_it_was(run_example, tmp_path, discovery_model):
    discovery_model.save(tmp_path / "discovery.keras")
    before = discovery_model.encoder.get_weights()
    names, output = run_example(
        "frozen_encoder",
        "--scenes=32",
        "--epochs=1",
        f"--model={tmp_path / 'discovery.keras'}",
        f"--output={tmp_path}",
    )
    total, frozen = names["model"].count_params(), sum(w.size for w in before)
    assert f"{total - frozen} of {total} weights are trained" in output
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for old, new in zip(before, loaded.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("preset", ["clevr6_cpu", "tetrominoes_cpu"])
def test_first_look_finds_objects_with_shipped_weights(run_example, tmp_path, preset):
    output = tmp_path / "look.png"
    names, printed = run_example(
        *("first_look", f"--preset={preset}", "--seed=3", f"--output={output}"),
    )
    assert "6 fresh scenes" in printed and output.stat().st_size > 50_000
    fg_ari = float(printed.split("FG-ARI ")[1].split(". See")[0])
    assert fg_ari > 0.7  # Untrained models are near 0.


def test_first_look_shows_the_same_for_the_same_seed(run_example, tmp_path):
    pictures = [tmp_path / "once.png", tmp_path / "again.png"]
    for picture in pictures:
        flags = ("--preset=tetrominoes_cpu", "--seed=3", f"--output={picture}")
        run_example("first_look", *flags)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
