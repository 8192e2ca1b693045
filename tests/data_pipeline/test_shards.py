"""Tests of random access to prepared records."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

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
    shards = RecordShards(instructions)
    assert len(shards) == 5
    read = shards.read(np.array([4, 1, 1, 0, 2]))
    assert list(read) == [b"ee", b"bb" * 700, b"bb" * 700, b"a", b""]


def test_skip_and_take_choose_a_part(instructions):
    instructions[0].skip, instructions[0].take = 1, 2
    instructions[1].take = 1
    shards = RecordShards(instructions)
    assert list(shards.read(np.arange(3))) == [b"bb" * 700, b"", b"d"]
    assert len(shards) == 3


@pytest.mark.parametrize("cut", [1, 20, 700])
def test_a_truncated_file_is_an_error(instructions, cut):
    path = instructions[0].filename
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content[:-cut])
    with pytest.raises(ValueError, match="shard-0' is broken: it should hold 3 rec"):
        RecordShards(instructions)


def test_another_number_of_records_is_an_error(instructions):
    instructions[1].examples_in_shard = 3
    with pytest.raises(ValueError, match=r"hold 3 records\. Received: 2 records"):
        RecordShards(instructions)


def test_an_empty_file_is_an_error(instructions):
    with open(instructions[1].filename, "wb"):
        pass
    with pytest.raises(ValueError, match="shard-1' is broken"):
        RecordShards(instructions)
