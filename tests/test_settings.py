"""Settings: every value is checked, kept as JSON, and can come from a flag."""

import dataclasses
import json

import pytest

from slot_attention_tf.settings import (
    from_json,
    parse,
    replace,
    setting,
    with_default,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    count: int = setting("A count.", 3)
    rest: int = setting("May be none at all.", 0, minimum=0)
    rate: float = setting("A rate.", 0.5)
    limit: float | None = setting("A limit.", None)
    sizes: tuple[int, ...] = setting("Sizes.", (1, 2))
    window: tuple[int, int] | None = setting("A window.", None)
    flag: bool = setting("A switch.", False)
    color: str = setting("A colour.", "red", choices=("red", "blue"))


FIELDS = {field.name: field for field in dataclasses.fields(Example)}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("count", "7", 7),
        ("rate", "1e-3", 1e-3),
        ("rate", "2", 2.0),
        ("limit", "none", None),
        ("limit", "0.25", 0.25),
        ("sizes", "4", (4,)),
        ("window", "none", None),
        ("window", "4,5", (4, 5)),
        ("sizes", "4,5,6", (4, 5, 6)),
        ("color", "blue", "blue"),
        ("flag", "true", True),
        ("flag", "False", False),
    ],
)
def test_text_of_a_flag_becomes_a_value(name, text, value):
    assert parse(FIELDS[name], text) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "`count` must be at least 1. Received: count=0"),
        ({"count": 1.5}, "at least 1. Received: count=1.5"),
        ({"rest": -1}, "at least 0. Received: rest=-1"),
        ({"sizes": (3, 0)}, "at least 1. Received: sizes=0"),
        (
            {"window": (1, 2, 3)},
            r"must be 2 integers. Received: .*\(1, 2, 3\)",
        ),
        ({"rate": "fast"}, "of type float. Received: rate='fast'"),
        ({"flag": 1}, "of type bool. Received: flag=1"),
        ({"color": "green"}, "one of red, blue. Received: color='green'"),
        ({"colour": "red"}, "has the settings count.*Received: colour='red'"),
    ],
)
def test_wrong_values_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(Example(), **changes)


def test_wrong_texts_are_named():
    with pytest.raises(ValueError, match="an integer. Received: count='many'"):
        parse(FIELDS["count"], "many")
    with pytest.raises(ValueError, match="with commas.*Received: sizes='a,b'"):
        parse(FIELDS["sizes"], "a,b")
    with pytest.raises(ValueError, match="true or false. Received: flag='off'"):
        parse(FIELDS["flag"], "off")


def test_json_keeps_everything():
    settings = replace(Example(), sizes=(7, 8), limit=1, color="blue")
    text = json.dumps(dataclasses.asdict(settings))
    assert from_json(Example, json.loads(text)) == settings


def test_names_of_other_versions_are_left_out():
    assert from_json(Example, {"count": 5, "gone": 1}) == Example(count=5)


def test_a_subclass_changes_a_default_and_nothing_else():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Other(Example):
        rest: int = with_default(Example, "rest", 7)

    (field,) = (each for each in dataclasses.fields(Other) if each.name == "rest")
    assert Other().rest == 7 and field.metadata == FIELDS["rest"].metadata
    assert replace(Other(), rest=0).rest == 0
    with pytest.raises(ValueError, match="at least 0. Received: rest=-1"):
        replace(Other(), rest=-1)
