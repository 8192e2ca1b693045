"""Tests of random access to prepared records."""

import dataclasses
import io
import os

import numpy as np
import pytest
import tensorflow as tf

from slot_attention_tf.data import shards
from slot_attention_tf.data.shards import RecordShards

CONTENTS = [[b"a", b"bb" * 700, b""], [b"d", b"ee"]]


@dataclasses.dataclass
class Instruction:
    filename: str
    skip: int
    take: int
    examples_in_shard: int


@pytest.fixture
def instructions(tmp_path):
    result = []
    for i, contents in enumerate(CONTENTS):
        path = str(tmp_path / f"shard-{i}")
        with tf.io.TFRecordWriter(path) as writer:
            for content in contents:
                writer.write(content)
        result.append(Instruction(path, 0, len(contents), len(contents)))
    return result


def test_records_are_read_in_any_order(instructions):
    records = RecordShards(instructions)
    assert len(records) == 5
    read = records.read(np.array([4, 1, 1, 0, 2]))
    assert list(read) == [b"ee", b"bb" * 700, b"bb" * 700, b"a", b""]


def test_skip_and_take_choose_a_part(instructions):
    instructions[0].skip, instructions[0].take = 1, 2
    instructions[1].take = 1
    records = RecordShards(instructions)
    assert list(records.read(np.arange(3))) == [b"bb" * 700, b"", b"d"]
    assert len(records) == 3


@pytest.mark.parametrize("cut", [1, 20, 700])
def test_a_truncated_file_is_an_error(instructions, cut):
    path = instructions[0].filename
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[:-cut])
    with pytest.raises(ValueError, match="shard-0' is broken: it should hold 3 rec"):
        RecordShards(instructions)


def test_a_file_is_walked_through_once(instructions, monkeypatch):
    first = RecordShards(instructions)

    def walk(*args):
        raise AssertionError("walked through twice")

    monkeypatch.setattr(shards, "_walk", walk)
    again = RecordShards(instructions)
    assert list(again.read(np.arange(5))) == list(first.read(np.arange(5)))
    names = os.listdir(os.path.dirname(instructions[0].filename))
    assert sorted(n for n in names if "index" in n or "tmp" in n) == [
        *("shard-0.index.npy", "shard-1.index.npy"),
    ]


def test_walking_reads_the_headers_only(instructions, monkeypatch):
    read = []

    class Counted(io.FileIO):
        def read(self, size=-1):
            read.append(size)
            return super().read(size)

    def counted(filename, mode, buffering):
        return Counted(filename, mode)

    monkeypatch.setattr(shards, "open", counted, raising=False)
    size = os.path.getsize(instructions[0].filename)
    assert shards._walk(instructions[0].filename, size) == [1, 1400, 0]
    assert read == [8, 8, 8]


@pytest.mark.parametrize("content", [b"", b"no index", "other"])
def test_an_index_of_another_file_is_made_again(instructions, content):
    RecordShards(instructions)
    path = f"{instructions[0].filename}.index.npy"
    if content == "other":
        np.save(path, np.array([1, 1399, 0]))
    else:
        with open(path, "wb") as file:
            file.write(content)
    assert list(RecordShards(instructions).read(np.arange(3))) == CONTENTS[0]
    np.testing.assert_array_equal(np.load(path), [1, 1400, 0])


def test_a_file_that_changed_under_its_index_is_an_error(instructions):
    RecordShards(instructions)
    np.save(f"{instructions[0].filename}.index.npy", np.array([0, 1401, 0]))
    with pytest.raises(ValueError, match=r"not the one.*Received: a record of 1 by"):
        RecordShards(instructions).read(np.arange(3))


def test_a_directory_for_reading_only_will_do(instructions, monkeypatch):
    # The rights of a directory do not stop the administrator, who may run this.
    def refuse(**options):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(shards.tempfile, "NamedTemporaryFile", refuse)
    assert list(RecordShards(instructions).read(np.arange(3))) == CONTENTS[0]
    assert not os.path.exists(f"{instructions[0].filename}.index.npy")


def test_another_number_of_records_is_an_error(instructions):
    instructions[1].examples_in_shard = 3
    with pytest.raises(ValueError, match=r"hold 3 records\. Received: 2 records"):
        RecordShards(instructions)


def test_an_empty_file_is_an_error(instructions):
    with open(instructions[1].filename, "wb"):
        pass
    with pytest.raises(ValueError, match="shard-1' is broken"):
        RecordShards(instructions)
