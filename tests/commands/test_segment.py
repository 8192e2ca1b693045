"""slot-attention-segment, run as a user runs it."""

import functools

import numpy as np
import pytest
from PIL import Image

import slot_attention_tf as sa
from slot_attention_tf.commands import segment
from slot_attention_tf.tasks.task import image_noise


def read(path):
    """Reads a picture."""
    with Image.open(path) as image:
        image.load()
        return image


@pytest.fixture
def model():
    return sa.SlotAttentionAutoEncoder(
        (35, 35),
        4,
        2,
        slot_size=16,
        encoder=sa.ConvEncoder((35, 35), filters=(8, 8), strides=(2, 2)),
        decoder=sa.PixelMLPDecoder((35, 35), hidden_sizes=(8,)),
    )


@pytest.fixture
def run(run_installed, model, tmp_path):
    model.save(tmp_path / "model.keras")
    options = {"model": tmp_path / "model.keras", "out": tmp_path / "out"}

    def run(*photos, **changes):
        return run_installed(segment.main, *photos, **{**options, **changes})

    return run


@pytest.fixture
def draw(rng, tmp_path):
    """Writes a random photo; returns its path."""

    def draw(name, width=35, height=35):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, size=(height, width, 3), dtype="uint8")
        Image.fromarray(pixels).save(path)
        return path

    return draw


def test_photos_become_masks_of_their_size(run, draw, tmp_path, capsys):
    sizes = {"a.png": (60, 40), "b.JPG": (20, 35), "c.jpg": (35, 35)}
    for name, size in sizes.items():
        draw(name, *size)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    assert not run(tmp_path / "photos")
    assert "c.jpg: " in capsys.readouterr().out
    out = tmp_path / "out"
    names = {file.name for file in out.iterdir()}
    assert len(names) == 3 * (2 + 4) and "b_slot_3.png" in names
    for name, size in sizes.items():
        stem = name.split(".")[0]
        segmentation = read(out / f"{stem}_segmentation.png")
        slots = [read(out / f"{stem}_slot_{k}.png") for k in range(4)]
        assert segmentation.mode == "P"
        assert {image.size for image in (segmentation, *slots)} == {size}
        soft = np.stack([np.asarray(image) for image in slots]).astype(int)
        # They sum to one, and the segmentation names the largest, up to rounding.
        assert np.abs(soft.sum(axis=0) - 255).max() <= 2
        chosen = np.take_along_axis(soft, np.asarray(segmentation)[None], axis=0)
        assert (chosen[0] >= soft.max(axis=0)).all()
        photo = np.asarray(read(tmp_path / "photos" / name)).astype(float)
        colors = np.asarray(segmentation.convert("RGB"))
        overlay = np.asarray(read(out / f"{stem}_overlay.png"))
        np.testing.assert_allclose(overlay, (photo + colors) / 2, atol=1)


def test_photos_are_segmented_as_the_model_does(run, draw, tmp_path, model):
    photo = draw("b.png")
    assert not run(draw("a.png"), photo, seed=3, num_slots=5)
    pixels = np.asarray(read(photo))[None]
    noise = image_noise(3, 0, 1, (5, 16))
    masks = np.asarray(model(sa.preprocess_images(pixels), noise=noise)[2])
    for k in range(5):
        written = np.asarray(read(tmp_path / "out" / f"b_slot_{k}.png"))
        np.testing.assert_allclose(written, 255 * masks[0, k, :, :, 0], atol=0.51)


def test_a_photo_taken_upright_is_turned(run, draw, tmp_path):
    photo = draw("a.jpg", 60, 40)
    with Image.open(photo) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # Orientation: turn by 90 degrees.
        image.copy().save(photo, exif=exif)
    assert not run(photo)
    assert read(tmp_path / "out" / "a_overlay.png").size == (40, 60)


def test_a_photo_that_cannot_be_read_is_named_and_the_others_done(run, draw, tmp_path):
    draw("b.png")
    (tmp_path / "photos" / "a.png").write_text("no photo")
    cut = draw("c.png")
    cut.write_bytes(cut.read_bytes()[:200])
    message = run(tmp_path / "photos")
    assert "a.png cannot be read" in message and "c.png cannot be read" in message
    assert {f.name[0] for f in (tmp_path / "out").iterdir()} == {"b"}


def test_nothing_is_written_over_unless_asked(run, draw, tmp_path):
    photo = draw("a.png")
    assert not run(photo)
    picture = tmp_path / "out" / "a_overlay.png"
    before = picture.read_bytes()
    message = run(photo, seed=1)
    assert "6 pictures are there already" in message and "--overwrite" in message
    assert picture.read_bytes() == before
    assert not run(photo, seed=1, overwrite="true")
    assert picture.read_bytes() != before
    message = run(photo, draw("a.jpg"), out=tmp_path / "other")
    assert "pictures of the same names" in message
    assert not (tmp_path / "other").exists()


def test_what_is_missing_is_said(run, draw, tmp_path):
    assert "PHOTOS... --out=DIR" in run()
    assert "no photo at" in run(tmp_path / "missing.png")
    assert "holds no photos" in run(tmp_path)
    message = run(draw("a.png"), model="clevr6")
    assert "--model must be" in message and "tetrominoes_cpu" in message


def test_a_model_without_masks_is_refused(run, draw, tmp_path):
    encoder = sa.ConvEncoder((8, 8), filters=(4,))
    model = sa.SlotAttentionClassifier((8, 8), 4, 1, slot_size=8, encoder=encoder)
    model.save(tmp_path / "sets.keras")
    message = run(draw("a.png"), model=tmp_path / "sets.keras")
    assert "finds objects" in message and "SlotAttentionClassifier" in message


@pytest.mark.slow
def test_a_model_of_grey_images_sees_grey_photos(run_installed, draw, tmp_path):
    photo = draw("a.png", 64, 64)
    Image.open(photo).convert("L").convert("RGB").save(tmp_path / "a.png")
    pictures = []
    for out, file in (("colour", photo), ("grey", tmp_path / "a.png")):
        options = {"model": "clevr6_grayscale_cpu", "out": tmp_path / out}
        assert not run_installed(segment.main, file, **options)
        pictures.append(np.asarray(read(tmp_path / out / "a_slot_0.png")))
    np.testing.assert_array_equal(*pictures)


def test_a_folder_of_save_to_preset_is_no_run(run, draw, model, tmp_path):
    model.save_to_preset(tmp_path / "saved")
    message = run(draw("a.png"), model=tmp_path / "saved")
    assert "no run but a saved model" in message and "*.keras" in message


def test_weights_of_the_package_are_the_default(run_installed, draw, tmp_path, capsys):
    run = functools.partial(run_installed, segment.main, out=tmp_path / "out")
    assert not run(draw("a.png"))
    assert "tetrominoes/synthetic" in capsys.readouterr().out
    assert (tmp_path / "out" / "a_slot_3.png").exists()
