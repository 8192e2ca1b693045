"""The notebooks of `examples/`: their code runs from top to bottom in a new process."""

import json

import pytest

from tests.conftest import ROOT, run_fresh

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 200_000  # Bytes of a notebook in the repository.


def cells(name):
    """The cells of a notebook."""
    file = ROOT / "examples" / f"{name}.ipynb"
    return json.loads(file.read_text("utf-8"))["cells"]


def run(name, *expressions):
    """Runs the code of a notebook; returns the values of expressions after it."""
    code = [
        "".join(cell["source"]) for cell in cells(name) if cell["cell_type"] == "code"
    ]
    code.append(f"import json; print(json.dumps([{', '.join(expressions)}]))")
    return json.loads(run_fresh("\n\n".join(code)).splitlines()[-1])


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_small(file):
    assert file.stat().st_size < LARGEST


@pytest.mark.slow
def test_object_discovery():
    fg_ari, by_iterations, by_slots = run(
        "object_discovery",
        "float(fg_ari.mean())",
        "dict(zip(iterations, map(float, by_iterations)))",
        "dict(zip(numbers, map(float, by_slots)))",
    )
    # Of 64 scenes; the card of the weights says more exactly what they reach.
    assert fg_ari > 0.85
    assert by_iterations["1"] < 0.5 < 0.85 < by_iterations["5"]
    assert by_slots["2"] < 0.5 < 0.85 < by_slots["4"]


@pytest.mark.slow
def test_set_prediction():
    ap, by_iterations, by_slots = run(
        "set_prediction",
        "ap",
        "dict(zip(iterations, by_iterations))",
        "dict(zip(numbers, by_slots))",
    )
    assert ap["inf"] > 0.55
    assert list(ap.values()) == sorted(ap.values(), reverse=True)
    assert by_iterations["1"] < by_iterations["5"]
    assert by_slots["1"] < by_slots["2"] < by_slots["4"]
