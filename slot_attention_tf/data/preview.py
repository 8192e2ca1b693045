"""Writes a contact sheet of generated scenes: images above their label maps.

python -m slot_attention_tf.data.preview clevr_with_masks
python -m slot_attention_tf.data.preview multi_dsprites/binarized --output=sheet.png
"""

import argparse
import pathlib

import numpy as np

from slot_attention_tf.data.generators import (
    clevr,
    multi_dsprites,
    objects_room,
    scenes,
    tetrominoes,
)
from slot_attention_tf.data.png import encode_png
from slot_attention_tf.visualization.colors import segmentation_to_color

# What a name draws: a function and its options.
GENERATORS = {
    "tetrominoes": (tetrominoes.draw_scene, {}),
    "multi_dsprites": (multi_dsprites.draw_scene, {}),
    **{
        f"multi_dsprites/{variant}": (multi_dsprites.draw_scene, {"variant": variant})
        for variant in multi_dsprites.VARIANTS
    },
    "objects_room": (objects_room.draw_scene, {}),
    **{
        f"objects_room/{variant}": (objects_room.draw_scene, {"variant": variant})
        for variant in objects_room.VARIANTS
    },
    "clevr": (clevr.draw_scene, {}),
    "clevr6": (clevr.draw_scene, {"max_objects": 6}),
    "clevr_with_masks": (
        clevr.draw_scene,
        {"resolution": (240, 320), "crop": clevr.FULL_FRAME},
    ),
    "synthetic_clevr": (clevr.draw_scene, {"crop": clevr.FULL_FRAME}),
}
_CELL_SIZE = 128  # Images are enlarged by whole numbers up to about this height.
_GAP = 4
_WHITE = {"mode": "constant", "constant_values": 255}


def contact_sheet(images, segmentations, columns=8):
    """Lays out scenes in rows, each image above its coloured label map.

    Args:
        images: uint8 array `[n, height, width, channels]`, 1 or 3 channels.
        segmentations: integer array `[n, height, width, 1]`.
        columns: Integer, the number of scenes in a row.

    Returns:
        uint8 array `[sheet height, sheet width, 3]`.
    """
    maps = segmentation_to_color(segmentations[..., 0])
    # A thin line between image and map, a wide one between scenes, both white.
    zoom = max(1, round(_CELL_SIZE / images.shape[1]))
    colored = np.broadcast_to(images, maps.shape)
    pairs = np.concatenate(
        [
            np.pad(
                _enlarge(part, zoom), ((0, 0), (0, gap), (0, _GAP), (0, 0)), **_WHITE
            )
            for part, gap in ((colored, 1), (maps, _GAP))
        ],
        axis=1,
    )
    missing = -len(pairs) % columns if len(pairs) > columns else 0
    pairs = np.pad(pairs, ((0, missing), (0, 0), (0, 0), (0, 0)), **_WHITE)
    columns = min(columns, len(pairs))
    rows = pairs.reshape(-1, columns, *pairs.shape[1:])
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _enlarge(images, zoom):
    return images.repeat(zoom, axis=1).repeat(zoom, axis=2)


def preview(name, num_scenes=16, seed=0):
    """Draws a contact sheet of generated scenes.

    Args:
        name: String, a key of `GENERATORS`.
        num_scenes: Integer >= 1, the number of scenes.
        seed: Integer in `[0, 2**32)`, the stream of scenes.

    Returns:
        uint8 array `[height, width, 3]`.
    """
    if name not in GENERATORS:
        raise ValueError(
            f"There is no generator {name!r}. Choose from {', '.join(GENERATORS)}. "
            f"Received: name={name!r}"
        )
    draw_scene, options = GENERATORS[name]
    drawn = scenes.generate_scenes(draw_scene, num_scenes, seed, **options)
    return contact_sheet(drawn["image"], drawn["segmentation"])


def main(arguments=None):
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m slot_attention_tf.data.preview",
        description="Writes a contact sheet of generated scenes and their masks.",
    )
    parser.add_argument("dataset", choices=sorted(GENERATORS), metavar="DATASET")
    parser.add_argument("--output", help="PNG file, by default named as the dataset")
    parser.add_argument("--num_scenes", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    output = flags.output or flags.dataset.replace("/", "_") + ".png"
    sheet = preview(flags.dataset, flags.num_scenes, flags.seed)
    pathlib.Path(output).write_bytes(encode_png(sheet))
    print(f"Wrote {output}: {flags.num_scenes} scenes of {flags.dataset}.")


if __name__ == "__main__":
    main()
