"""Segments a folder of photos by a discovery model and writes masks as PNG.

    python examples/segment_photos.py photos masks --model=runs/discovery_0/model.keras

For photos/NAME.jpg it writes, in the photo's size, masks/NAME_segmentation.png, whose
pixels are the numbers of slots (with a palette, so that viewers show colours), and the
soft mask of each slot, masks/NAME_slot_K.png, from black to white.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np
from PIL import Image, UnidentifiedImageError

import slot_attention_tf as sa
from slot_attention_tf.visualization import slot_palette

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("photos", type=pathlib.Path)
parser.add_argument("masks", type=pathlib.Path)
parser.add_argument("--model", required=True, help="a discovery model, *.keras")
parser.add_argument("--num_slots", default=None, type=int)
parser.add_argument("--num_iterations", default=None, type=int)
parser.add_argument("--seed", default=0, type=int, help="of the initial slots")
args = parser.parse_args()

files = sorted(
    file
    for file in args.photos.glob("*")
    if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".webp")
)
if not files:
    sys.exit(f"{args.photos} holds no photos (png, jpg, bmp or webp).")
keras.utils.set_random_seed(args.seed)
model = keras.saving.load_model(args.model)
args.masks.mkdir(parents=True, exist_ok=True)

for file in files:
    try:
        photo = Image.open(file).convert("L" if model.num_channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError) as error:
        print(f"Left out: {error}")
        continue
    pixels = np.asarray(photo).reshape(1, photo.height, photo.width, -1)
    image = sa.preprocess_images(pixels, model.resolution)
    _, _, masks, _ = model(
        image, num_slots=args.num_slots, num_iterations=args.num_iterations
    )
    masks = keras.ops.convert_to_numpy(masks)[0, ..., 0]  # [K, H, W]
    # Masks are enlarged before the argmax: its borders are then smooth.
    masks = [
        Image.fromarray(mask).resize(photo.size, Image.Resampling.BILINEAR)
        for mask in masks
    ]
    masks = np.stack([np.asarray(mask) for mask in masks])
    segmentation = Image.fromarray(masks.argmax(axis=0).astype("uint8"), mode="P")
    segmentation.putpalette(slot_palette(len(masks)).tobytes())
    segmentation.save(args.masks / f"{file.stem}_segmentation.png")
    for k, mask in enumerate(masks):
        mask = np.rint(255 * mask.clip(0, 1)).astype("uint8")
        Image.fromarray(mask).save(args.masks / f"{file.stem}_slot_{k}.png")
    print(f"{file.name}: {len(np.unique(segmentation))} of {len(masks)} slots in use")
print(f"Masks: {args.masks}")
