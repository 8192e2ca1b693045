// Paints arrays of the model on canvases, in the colours of `sa.visualization`.

const SLOT_BACKGROUND = 0.75; // Grey in [-1, 1] where a slot is transparent.

// From [-1, 1] to a pixel value; the canvas rounds and clips.
const toPixel = (value) => value * 127.5 + 127.5;

// Paints `height` x `width` pixels; `color(i)` gives [r, g, b] of the i-th one.
function paint(canvas, [height, width], color) {
  const pixels = new Uint8ClampedArray(height * width * 4);
  for (let i = 0; i < height * width; i++) {
    pixels.set(color(i), 4 * i);
    pixels[4 * i + 3] = 255;
  }
  paintPixels(canvas, [height, width], pixels);
}

export function paintPixels(canvas, [height, width], pixels) {
  if (canvas.width !== width || canvas.height !== height) {
    Object.assign(canvas, { width, height });
  }
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

export function paintImage(canvas, size, image) {
  paint(canvas, size, (i) => [0, 1, 2].map((c) => toPixel(image[3 * i + c])));
}

export function paintSegmentation(canvas, size, labels, palette) {
  paint(canvas, size, (i) => palette[labels[i]]);
}

// What a slot shows: its image times its mask, on grey.
export function paintSlot(canvas, size, images, masks, slot) {
  const first = slot * size[0] * size[1];
  paint(canvas, size, (i) => {
    const mask = masks[first + i];
    return [0, 1, 2].map((c) =>
      toPixel(images[3 * (first + i) + c] * mask + SLOT_BACKGROUND * (1 - mask)),
    );
  });
}

// Values in [0, 1] from black to a colour; `value(i)` gives the i-th one.
export function paintMap(canvas, size, value, color) {
  paint(canvas, size, (i) => color.map((channel) => channel * value(i)));
}

// Pixels [H, W, 4] to the input of a model, in the arithmetic of `preprocess_images`.
export function toModelRange(pixels) {
  const image = new Float32Array((pixels.length / 4) * 3);
  for (let i = 0, j = 0; i < pixels.length; i++) {
    if (i % 4 < 3) image[j++] = (pixels[i] / 255 - 0.5) * 2;
  }
  return image;
}

// A part of a picture as pixels [H, W, 4] of another size. By default all of it.
export function resized(source, [height, width], part = null) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const [x, y, w, h] = part ?? [0, 0, source.width, source.height];
  context.drawImage(source, x, y, w, h, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
