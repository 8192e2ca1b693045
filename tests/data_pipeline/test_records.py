"""Tests of the reader of public files, on files in their exact byte layout."""

import gzip

import numpy as np
import public_records
import pytest
import tensorflow as tf

from slot_attention_tf.data import records

HEIGHT, WIDTH, ENTITIES = 5, 4, 3
FORMAT = records.RecordFormat(
    bytes_features={
        "image": (HEIGHT, WIDTH, 3),
        "mask": (ENTITIES, HEIGHT, WIDTH, 1),
        "material": (ENTITIES,),
    },
    float_features={"visibility": (ENTITIES,), "color": (ENTITIES, 3)},
)


def make_scene(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(ENTITIES, size=(HEIGHT, WIDTH))
    return {
        "image": rng.integers(256, size=(HEIGHT, WIDTH, 3)).astype(np.uint8),
        "mask": public_records.masks_of(labels, ENTITIES),
        "material": rng.integers(3, size=ENTITIES).astype(np.uint8),
    }, {
        "visibility": np.array([1, 1, seed % 2], np.float32),
        "color": rng.random((ENTITIES, 3)).astype(np.float32),
    }


def write(path, number=4, compression="GZIP"):
    scenes = [public_records.serialize(*make_scene(i)) for i in range(number)]
    return public_records.write(path, scenes, compression)


def write_one(path, *features):
    return public_records.write(path, [public_records.serialize(*features)])


@pytest.mark.parametrize("compression", ["GZIP", ""])
def test_all_features_are_read(tmp_path, compression):
    path = write(tmp_path / "file", compression=compression)
    read = list(records.read_records(path, FORMAT, 4))
    assert len(read) == 4
    for i, record in enumerate(read):
        stored, factors = make_scene(i)
        assert set(record) == {
            *("image", "segmentation", "material", "visibility", "color"),
        }
        np.testing.assert_array_equal(record["image"], stored["image"])
        np.testing.assert_array_equal(record["material"], stored["material"])
        labels = stored["mask"].argmax(axis=0)
        np.testing.assert_array_equal(record["segmentation"], labels)
        assert record["segmentation"].dtype == record["image"].dtype == np.uint8
        for name, values in factors.items():
            np.testing.assert_array_equal(record[name], values)
            assert record[name].dtype == np.float32


def test_entities_may_lie_on_another_axis(tmp_path):
    stored, factors = make_scene(0)
    labels = stored["mask"].argmax(axis=0)
    stored["mask"] = stored["mask"].transpose(1, 2, 0, 3)
    path = write_one(tmp_path / "file", stored, factors)
    other = records.RecordFormat(
        {**FORMAT.bytes_features, "mask": (HEIGHT, WIDTH, ENTITIES, 1)},
        FORMAT.float_features,
        entity_axis=2,
    )
    (record,) = records.read_records(path, other, 1)
    np.testing.assert_array_equal(record["segmentation"], labels)


def test_visibility_comes_from_the_masks_where_the_file_has_none(tmp_path):
    labels = np.full((HEIGHT, WIDTH), 0)
    labels[0, 0] = 2
    mask = public_records.masks_of(labels, 4)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    path = write_one(tmp_path / "file", {"image": image, "mask": mask})
    shapes = {"image": image.shape, "mask": mask.shape}
    (record,) = records.read_records(path, records.RecordFormat(shapes, {}), 1)
    np.testing.assert_array_equal(record["visibility"], [1, 0, 1, 0])


def test_floats_that_are_not_packed_are_read():
    # As protocol buffers of the second version write them: tag and value in turn.
    stored, factors = make_scene(3)
    packed = public_records.floats(factors["visibility"]).SerializeToString()
    values = factors["visibility"].astype("<f4")
    inner = b"".join(b"\x0d" + v.tobytes() for v in values)
    unpacked = b"\x12" + bytes([len(inner)]) + inner
    assert tf.train.Feature.FromString(unpacked) == tf.train.Feature.FromString(packed)
    _, fields = records._parse_feature(memoryview(unpacked))
    np.testing.assert_array_equal(records._floats(fields), factors["visibility"])


def test_reading_stops_after_the_records_asked_for(tmp_path):
    path = write(tmp_path / "file", number=50)
    with gzip.open(path, "rb") as file:
        raw = file.read()
    half = tmp_path / "half"
    # Broken behind the second record, which must not matter.
    record = len(raw) // 50
    half.write_bytes(gzip.compress(raw[: 2 * record] + b"\xff" * record))
    assert len(list(records.read_records(half, FORMAT, 2))) == 2


def frames_of(path):
    """Returns the byte where each record starts, and the uncompressed content."""
    with gzip.open(path, "rb") as file:
        raw = file.read()
    starts, position = [], 0
    while position < len(raw):
        starts.append(position)
        position += 16 + int.from_bytes(raw[position : position + 8], "little")
    return starts, raw


def test_a_damaged_record_is_named_with_its_byte(tmp_path):
    path = write(tmp_path / "file")
    starts, raw = frames_of(path)
    damaged = bytearray(raw)
    damaged[starts[2] + 100] ^= 1
    path.write_bytes(gzip.compress(bytes(damaged)))
    read = records.read_records(path, FORMAT, 4)
    next(read), next(read)
    with pytest.raises(records.RecordError, match=rf"Record 2 .* byte {starts[2]} "):
        next(read)


@pytest.mark.parametrize("where", ["record", "archive"])
def test_a_truncated_file_is_an_error(tmp_path, where):
    path = write(tmp_path / "file")
    if where == "archive":
        content = path.read_bytes()
        path.write_bytes(content[: 3 * len(content) // 4])
        expected = "Record 2|Record 3"
    else:
        starts, raw = frames_of(path)
        path.write_bytes(gzip.compress(raw[: starts[3] + 40]))
        expected = f"Record 3 .* byte {starts[3]} "
    with pytest.raises(records.RecordError, match=expected):
        list(records.read_records(path, FORMAT, 4))


def test_a_short_file_is_an_error(tmp_path):
    path = write(tmp_path / "file", number=3)
    with pytest.raises(records.RecordError, match=r"Record 3 .*ends here, and 9 rec"):
        list(records.read_records(path, FORMAT, 9))


def test_another_compression_is_an_error(tmp_path):
    path = write(tmp_path / "file", compression="ZLIB")
    with pytest.raises(records.RecordError, match=r"Record 0 .* uncompressed TFRecord"):
        list(records.read_records(path, FORMAT, 1))


def test_a_file_of_something_else_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"<html>404</html>" * 10)
    with pytest.raises(records.RecordError, match=r"Record 0 .*byte 0 "):
        list(records.read_records(path, FORMAT, 1))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        list(records.read_records(tmp_path / "nothing-here", FORMAT, 1))


@pytest.mark.parametrize("name", ["image", "mask", "visibility"])
def test_a_missing_feature_is_an_error(tmp_path, name):
    stored, factors = make_scene(0)
    stored.pop(name, None), factors.pop(name, None)
    path = write_one(tmp_path / "file", stored, factors)
    with pytest.raises(records.RecordError, match=f"Record 0 .*no feature '{name}'"):
        list(records.read_records(path, FORMAT, 1))


def test_a_feature_of_another_kind_is_an_error(tmp_path):
    stored, factors = make_scene(0)
    factors["material"] = stored.pop("material")
    path = write_one(tmp_path / "file", stored, factors)
    with pytest.raises(records.RecordError, match="'material' must hold bytes"):
        list(records.read_records(path, FORMAT, 1))


def test_a_feature_of_another_size_is_an_error(tmp_path):
    stored, factors = make_scene(0)
    stored["image"] = stored["image"][:-1]
    path = write_one(tmp_path / "file", stored, factors)
    with pytest.raises(records.RecordError, match=r"'image' must have .* 48 values"):
        list(records.read_records(path, FORMAT, 1))


def test_an_image_stored_as_one_string_is_an_error():
    stored, factors = make_scene(0)
    example = tf.train.Example.FromString(public_records.serialize(stored, factors))
    whole = stored["image"].tobytes()
    example.features.feature["image"].bytes_list.value[:] = [whole]
    with pytest.raises(records.RecordError, match="'image' must be a list of one-by"):
        records.parse_record(example.SerializeToString(), FORMAT)


@pytest.mark.parametrize("serialized", [b"\xff" * 40, b"\x0a\x90\x4e123", b"\x08\x01"])
def test_bytes_that_are_no_example_are_an_error(serialized):
    with pytest.raises(records.RecordError, match=r"not a serialized tf\.train\.Exa"):
        records.parse_record(serialized, FORMAT)


def test_masks_with_other_values_are_errors(tmp_path):
    stored, factors = make_scene(0)
    stored["mask"][0, 1, 2] = 128
    path = write_one(tmp_path / "file", stored, factors)
    with pytest.raises(records.RecordError, match=r"Record 0 .* value 128 at 1 places"):
        list(records.read_records(path, FORMAT, 1))


@pytest.mark.parametrize(
    ("value", "message"), [(255, "masks overlap"), (0, "no mask covers")]
)
def test_masks_that_are_no_partition_are_errors(tmp_path, value, message):
    stored, factors = make_scene(0)
    stored["mask"][:2, 3, 1] = value
    stored["mask"][2, 3, 1] = 0
    path = public_records.write(
        tmp_path / "file",
        [
            public_records.serialize(*make_scene(0)),
            public_records.serialize(stored, factors),
        ],
    )
    expected = f"Record 1 .*{message} at 1 pixels, the first in row 3, column 1"
    with pytest.raises(records.RecordError, match=expected):
        list(records.read_records(path, FORMAT, 2))


def test_random_damage_never_passes_silently(tmp_path):
    """A flipped byte anywhere is an error or changes nothing but the damaged value."""
    serialized = public_records.serialize(*make_scene(1))
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(serialized)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        try:
            record = records.parse_record(bytes(damaged), FORMAT)
        except records.RecordError:
            continue
        truth = tf.train.Example.FromString(bytes(damaged)).features.feature
        for name in ("image", "material"):
            stored = b"".join(truth[name].bytes_list.value)
            assert record[name].tobytes() == stored
