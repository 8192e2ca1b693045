// The scene: an image, or pieces that mouse, touch and keys move.

import { paintPixels } from "./pictures.js";

const ARROWS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};
const LONG_STEP = 5; // Pixels that an arrow with Shift moves a piece.

export class Stage {
  // Calls `onChange` after every change of the scene.
  constructor(element, tetrominoes, onChange) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.tetrominoes = tetrominoes;
    this.onChange = onChange;
    this.pieces = [];
    element.addEventListener("pointerdown", (event) => this.grab(event));
    element.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, () => this.release());
    }
    element.addEventListener("dblclick", (event) => {
      if (this.pieceAt(event) !== null) this.rotate();
    });
  }

  // Shows pixels [H, W, 4] without pieces.
  showPixels(size, pixels) {
    this.setPieces([]);
    this.size = size;
    this.update(pixels);
  }

  showPieces(pieces) {
    this.setPieces(pieces);
    this.size = [this.tetrominoes.height, this.tetrominoes.width];
    this.redraw();
  }

  setPieces(pieces) {
    this.pieces = pieces;
    this.selected = 0;
    this.held = null;
    this.handles?.forEach((handle) => handle.remove());
    this.handles = pieces.map((_, index) => this.makeHandle(index));
    this.element.classList.toggle("movable", pieces.length > 0);
  }

  // An invisible button over a piece: takes the focus and the keys.
  makeHandle(index) {
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = "handle";
    handle.addEventListener("focus", () => (this.selected = index));
    handle.addEventListener("click", (event) => {
      // Enter and Space; clicks of a pointer never reach a handle.
      event.preventDefault();
      this.rotate();
    });
    handle.addEventListener("keydown", (event) => this.key(event));
    this.element.append(handle);
    return handle;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) {
      const step = event.shiftKey ? LONG_STEP : 1;
      const [dy, dx] = ARROWS[event.key];
      const { y, x } = this.pieces[this.selected];
      this.change({ y: y + step * dy, x: x + step * dx });
    } else if (event.key.toLowerCase() === "r") {
      this.rotate();
    } else {
      return;
    }
    event.preventDefault();
  }

  rotate() {
    if (this.pieces.length) {
      this.change(this.tetrominoes.rotated(this.pieces[this.selected]));
    }
  }

  change(values) {
    const piece = { ...this.pieces[this.selected], ...values };
    this.pieces[this.selected] = this.tetrominoes.inside(piece);
    this.redraw();
  }

  // Row and column of the scene under the pointer.
  position(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      ((event.clientY - box.top) / box.height) * this.size[0],
      ((event.clientX - box.left) / box.width) * this.size[1],
    ];
  }

  pieceAt(event) {
    const [y, x] = this.position(event);
    // The selected piece is drawn over the others.
    const order = [this.selected, ...this.pieces.keys()];
    const found = order.find(
      (index) =>
        this.pieces[index] && this.tetrominoes.covers(this.pieces[index], y, x),
    );
    return found ?? null;
  }

  grab(event) {
    const index = this.pieceAt(event);
    if (index === null) return;
    event.preventDefault();
    this.handles[index].focus({ preventScroll: true });
    this.selected = index;
    const [y, x] = this.position(event);
    this.held = { y: y - this.pieces[index].y, x: x - this.pieces[index].x };
    this.element.setPointerCapture(event.pointerId);
    this.redraw();
  }

  drag(event) {
    if (!this.held) return;
    const [y, x] = this.position(event);
    this.change({ y: y - this.held.y, x: x - this.held.x });
  }

  release() {
    this.held = null;
  }

  redraw() {
    const others = this.pieces.filter((_, index) => index !== this.selected);
    const pixels = this.tetrominoes.draw([...others, this.pieces[this.selected]]);
    this.pieces.forEach((piece, index) => this.placeHandle(piece, index));
    this.update(pixels);
  }

  placeHandle(piece, index) {
    const [height, width] = this.tetrominoes.size(piece);
    const [rows, columns] = this.size;
    const handle = this.handles[index];
    Object.assign(handle.style, {
      top: `${(100 * piece.y) / rows}%`,
      left: `${(100 * piece.x) / columns}%`,
      height: `${(100 * height) / rows}%`,
      width: `${(100 * width) / columns}%`,
    });
    const color = this.tetrominoes.colorName(piece);
    handle.setAttribute(
      "aria-label",
      `${color} piece, row ${piece.y}, column ${piece.x}. Arrows move it, R rotates it.`,
    );
  }

  update(pixels) {
    this.pixels = pixels;
    paintPixels(this.canvas, this.size, pixels);
    this.onChange();
  }
}
