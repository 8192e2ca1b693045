"""`rendered_clevr`: a folder of renderings becomes a dataset of both tasks."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.clevr_properties import decode_coords, group_slices
from slot_attention_tf.data import prepare as prepare_module
from slot_attention_tf.data.pipelines import discovery_dataset, set_prediction_dataset
from tests.conftest import ROOT

RENDERS = ROOT / "tests" / "data" / "clevr_renders"
NAMES = sorted(path.stem for path in RENDERS.glob("*.json"))
CROP = (29, 221, 64, 256)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders")
    arguments = ["rendered_clevr", f"--data_dir={folder}", f"--manual_dir={RENDERS}"]
    prepare_module.main(arguments)
    return folder


def read(name):
    return tf.io.decode_png((RENDERS / name).read_bytes()).numpy()


def test_images_and_label_maps_are_those_of_the_files(data_dir):
    dataset = discovery_dataset(
        "rendered_clevr", "test", len(NAMES), data_dir=data_dir, crop=CROP
    )
    (batch,) = dataset.as_numpy_iterator()
    top, bottom, left, right = CROP
    for i, name in enumerate(NAMES):
        image = read(f"{name}.png")[top:bottom, left:right, :3]
        np.testing.assert_allclose(batch["image"][i], image / 127.5 - 1, atol=1e-6)
        labels = read(f"{name}_labels.png")[top:bottom, left:right, 0]
        np.testing.assert_array_equal(batch["segmentation"][i], labels)


def test_properties_are_those_of_the_files(data_dir):
    dataset = set_prediction_dataset(
        "rendered_clevr", "test", len(NAMES), data_dir=data_dir, labels=True
    )
    (batch,) = dataset.as_numpy_iterator()
    slices = group_slices()
    for target, labels, name in zip(
        batch["target"], batch["segmentation"], NAMES, strict=True
    ):
        objects = json.loads((RENDERS / f"{name}.json").read_text())["objects"]
        assert target[:, slices["real_object"]].sum() == len(objects) >= labels.max()
        coords = np.array(decode_coords(target[:, slices["coords"]]))
        for found, described in zip(coords, objects, strict=False):
            np.testing.assert_allclose(found, described["3d_coords"], atol=1e-5)


def test_a_second_folder_is_not_taken_for_the_first(data_dir, tmp_path):
    arguments = ["rendered_clevr", f"--data_dir={data_dir}", f"--manual_dir={tmp_path}"]
    with pytest.warns(UserWarning, match="was prepared before and is not read again"):
        prepare_module.main(arguments)


def test_folders_and_scenes_that_cannot_be_read(tmp_path):
    with pytest.raises(SystemExit, match=r"NAME.json: give it as --manual_dir.*None"):
        prepare_module.main(["rendered_clevr", f"--data_dir={tmp_path / 'data'}"])
    folder = tmp_path / "renders"
    shutil.copytree(RENDERS, folder)
    scene = json.loads((folder / f"{NAMES[0]}.json").read_text())
    scene["objects"] = scene["objects"][:1]
    (folder / f"{NAMES[0]}.json").write_text(json.dumps(scene))
    arguments = ["rendered_clevr", f"--data_dir={tmp_path / 'data'}"]
    with pytest.raises(SystemExit, match="all that its label map shows. Received: 1 "):
        prepare_module.main([*arguments, f"--manual_dir={folder}"])
