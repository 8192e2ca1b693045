"""Tests of the contact sheets."""

import struct
import zlib

import numpy as np
import pytest

from slot_attention_tf.data import preview
from slot_attention_tf.visualization.colors import slot_palette


@pytest.mark.parametrize("name", [n for n in preview.GENERATORS if "clevr" not in n])
def test_every_generator_has_a_sheet(name):
    sheet = preview.preview(name, num_scenes=2)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    # Two scenes beside each other, image above label map.
    assert 200 < sheet.shape[0] < 300 and 200 < sheet.shape[1] < 300


def test_sheet_of_clevr():
    assert preview.preview("clevr6", num_scenes=1).shape == (261, 132, 3)


def test_images_stand_above_their_label_maps():
    images = np.zeros((3, 64, 64, 1), np.uint8)
    images[:] = np.reshape([10, 20, 30], (3, 1, 1, 1))
    labels = np.reshape([0, 1, 2], (3, 1, 1, 1)) + np.zeros((3, 64, 64, 1), int)
    sheet = preview.contact_sheet(images, labels, columns=2)
    # Two rows of 128 + 1 + 128 + 4 pixels, two columns of 128 + 4.
    assert sheet.shape == (2 * 261, 2 * 132, 3)
    palette = slot_palette(3)
    for i in range(3):
        row, column = 261 * (i // 2), 132 * (i % 2)
        assert (sheet[row : row + 128, column : column + 128] == 10 * (i + 1)).all()
        colored = sheet[row + 129 : row + 257, column : column + 128]
        assert (colored == palette[i]).all()
    assert (sheet[261:, 132:] == 255).all()


def test_command_writes_a_png(tmp_path, capsys):
    path = tmp_path / "sheet.png"
    preview.main(
        ["multi_dsprites/binarized", f"--output={path}", "--num_scenes=2", "--seed=3"]
    )
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    sheet = preview.preview("multi_dsprites/binarized", num_scenes=2, seed=3)
    assert (height, width) == sheet.shape[:2]
    assert zlib.crc32(data[12:29]) == struct.unpack(">I", data[29:33])[0]
    assert str(path) in capsys.readouterr().out


def test_unknown_dataset(capsys):
    with pytest.raises(ValueError, match="name='shapestacks'"):
        preview.preview("shapestacks")
    with pytest.raises(SystemExit):
        preview.main(["shapestacks"])
    assert "shapestacks" in capsys.readouterr().err
