"""Builds the live page: a folder that any web server can serve.

    python docs/demo/build.py
    python -m http.server --directory build/demo

It copies the page, exports the models that models.json lists, draws scenes that they
were not trained on, and takes ONNX Runtime for browsers from npm, in the version of
package-lock.json. Needs npm and `pip install "slot_attention_tf[onnx]"`. To add a model
whose weights are shipped, add it to models.json; `generator` and `options` are a key of
`slot_attention_tf.data.preview.GENERATORS` and further arguments of its function.
"""

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from slot_attention_tf.environment import prepare_environment

HERE = Path(__file__).parent
PAGE = ("index.html", "style.css", *(file.name for file in sorted(HERE.glob("*.js"))))
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
LICENSES = ("LICENSE", "ThirdPartyNotices.txt")
NUM_SCENES = 15
MAX_SLOTS = 10


def build(folder):
    """Writes the page into `folder`, over what is there."""
    from slot_attention_tf.data.generators import tetrominoes
    from slot_attention_tf.visualization import slot_palette

    folder.mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, folder)
    copy_runtime(folder / "onnxruntime")
    entries = json.loads((HERE / "models.json").read_text("utf-8"))
    facts = {
        "palette": slot_palette(MAX_SLOTS).tolist(),
        # The page draws and moves pieces with the numbers of our generator.
        "tetrominoes": {
            "resolution": tetrominoes.RESOLUTION,
            "num_pieces": tetrominoes.NUM_PIECES,
            "shapes": tetrominoes.SHAPES,
            "colors": tetrominoes.COLORS.tolist(),
            "bevel": tetrominoes.BEVEL.tolist(),
        },
        "models": [write_model(entry, folder / entry["preset"]) for entry in entries],
    }
    (folder / "page.json").write_text(json.dumps(facts), "utf-8")


def copy_runtime(folder):
    """Writes ONNX Runtime for browsers, with its license."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("The page needs ONNX Runtime from npm: install Node.js with npm.")
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, place)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=place, check=True)
        for name in RUNTIME:
            shutil.copy(
                Path(place, "node_modules", "onnxruntime-web", "dist", name), folder
            )
    # The npm package leaves the texts out; the Python package of the project has them.
    python_package = importlib.metadata.distribution("onnxruntime")
    for name in LICENSES:
        shutil.copy(python_package.locate_file(f"onnxruntime/{name}"), folder)


def write_model(entry, folder):
    """Writes a model and its scenes; returns what the page must know of it."""
    import slot_attention_tf as sa
    from slot_attention_tf.pretrained import card_file

    model = sa.SlotAttentionAutoEncoder.from_preset(entry["preset"])
    card = json.loads(card_file("slot_attention", entry["preset"]).read_text("utf-8"))
    sa.export_onnx_steps(model, folder)
    return {
        **entry,
        "pieces": write_scenes(entry, folder / "scenes.png"),
        "num_scenes": NUM_SCENES,
        "resolution": model.resolution,
        "num_slots": model.num_slots,
        "num_iterations": model.num_iterations,
        "slot_size": model.slot_size,
        "grid": model.encoder.feature_resolution,
        "scores": card["scores"],
    }


def write_scenes(entry, file):
    """Writes test scenes below each other; returns the pieces if they are Tetrominoes.

    Returns:
        None, or for each scene a list of pieces: dictionaries with `shape`, `color`,
        `y` and `x`.
    """
    from slot_attention_tf.data.generators import scenes
    from slot_attention_tf.data.png import encode_png
    from slot_attention_tf.data.preview import GENERATORS

    draw_scene, options = GENERATORS[entry["generator"]]
    drawn = scenes.generate_scenes(
        draw_scene,
        NUM_SCENES,
        scenes.held_out_seed(0),  # No run was trained on these.
        **{**options, **entry["options"]},
    )
    images = drawn["image"]
    file.write_bytes(encode_png(images.reshape(-1, *images.shape[2:])))
    if entry["generator"] != "tetrominoes":
        return None
    return [
        [
            {
                "shape": int(drawn["shape"][scene, piece]) - 1,
                "color": drawn["color"][scene, piece].astype(int).tolist(),
                "y": int(drawn["y"][scene, piece]),
                "x": int(drawn["x"][scene, piece]),
            }
            for piece in range(1, drawn["shape"].shape[1])  # The background is first.
        ]
        for scene in range(NUM_SCENES)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds the live page.")
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    out = parser.parse_args().out
    prepare_environment()
    build(out)
    print(f"The page: python -m http.server --directory {out}")
