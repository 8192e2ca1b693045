// Tetrominoes scenes, pixel by pixel as slot_attention_tf/data/generators/tetrominoes.py
// draws them. A piece has `cells` (rows of booleans), a `color` [r, g, b] with channels
// 0 or 255, and `y`, `x`, the upper left corner of its box.

export class Tetrominoes {
  constructor({ resolution, num_pieces, shapes, colors, bevel }) {
    [this.height, this.width] = resolution;
    this.numPieces = num_pieces;
    this.shapes = shapes.map((shape) =>
      shape.split("/").map((row) => [...row].map((cell) => cell === "X")),
    );
    this.colors = colors;
    this.bevel = bevel;
    this.cellSize = bevel.length;
  }

  piece({ shape, color, y, x }) {
    return { cells: this.shapes[shape], color, y, x };
  }

  // Height and width of the box around a piece.
  size({ cells }) {
    return [cells.length * this.cellSize, cells[0].length * this.cellSize];
  }

  // The same piece, moved into the image if it stands out.
  inside(piece) {
    const [height, width] = this.size(piece);
    const clamp = (value, limit) => Math.min(Math.max(Math.round(value), 0), limit);
    return {
      ...piece,
      y: clamp(piece.y, this.height - height),
      x: clamp(piece.x, this.width - width),
    };
  }

  // A quarter turn clockwise about the middle.
  rotated(piece) {
    const cells = piece.cells[0].map((_, column) =>
      piece.cells.map((row) => row[column]).reverse(),
    );
    const shift = ((piece.cells.length - cells.length) * this.cellSize) / 2;
    return this.inside({ ...piece, cells, y: piece.y + shift, x: piece.x - shift });
  }

  covers(piece, y, x) {
    const row = Math.floor((y - piece.y) / this.cellSize);
    const column = Math.floor((x - piece.x) / this.cellSize);
    return piece.cells[row]?.[column] ?? false;
  }

  // Random pieces anywhere in the image, none over another.
  shuffled(random) {
    const any = (values) => values[Math.floor(random() * values.length)];
    while (true) {
      const pieces = Array.from({ length: this.numPieces }, () => {
        const piece = { cells: any(this.shapes), color: any(this.colors) };
        const [height, width] = this.size(piece);
        const y = Math.floor(random() * (this.height - height + 1));
        const x = Math.floor(random() * (this.width - width + 1));
        return { ...piece, y, x };
      });
      if (!this.overlap(pieces)) return pieces;
    }
  }

  overlap(pieces) {
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        if (pieces.filter((piece) => this.covers(piece, y, x)).length > 1) return true;
      }
    }
    return false;
  }

  // Pixels [H, W, 4] of a scene; a later piece lies over an earlier one.
  draw(pieces) {
    const pixels = new Uint8ClampedArray(this.height * this.width * 4);
    for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
    for (const piece of pieces) {
      const [height, width] = this.size(piece);
      for (let y = piece.y; y < piece.y + height; y++) {
        for (let x = piece.x; x < piece.x + width; x++) {
          if (!this.covers(piece, y, x)) continue;
          const row = this.bevel[(y - piece.y) % this.cellSize];
          const light = row[(x - piece.x) % this.cellSize];
          const at = (y * this.width + x) * 4;
          piece.color.forEach((channel, c) => (pixels[at + c] = channel & light));
        }
      }
    }
    return pixels;
  }

  // "Red" and so on, for readers of screens.
  colorName(piece) {
    const names = ["black", "Blue", "Green", "Cyan", "Red", "Magenta", "Yellow"];
    const [red, green, blue] = piece.color.map((channel) => channel > 0);
    return names[4 * red + 2 * green + blue];
  }
}
