// One card for each slot: its image, its mask, its attention in each iteration.

import { paintMap, paintSlot } from "./pictures.js";

function picture(label, className) {
  const canvas = document.createElement("canvas");
  canvas.className = className;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

export class Cards {
  // Calls `onChoose(t)` when the attention of iteration `t` (from 1) is chosen.
  constructor(element, onChoose) {
    this.element = element;
    this.onChoose = onChoose;
    this.cards = [];
  }

  // Paints the outputs of a model; `shown` is the iteration they belong to.
  show(outputs, attention, shown, { resolution, grid }, palette) {
    const slots = attention[0].length / (grid[0] * grid[1]);
    this.resize(slots, attention.length, palette);
    const pixels = resolution[0] * resolution[1];
    this.cards.forEach(({ image, mask, maps }, slot) => {
      const { slot_images: images, masks } = outputs;
      paintSlot(image, resolution, images, masks, slot);
      const maskAt = (i) => masks[slot * pixels + i];
      paintMap(mask, resolution, maskAt, palette[slot]);
      maps.forEach(({ button, canvas }, t) => {
        const attentionAt = (i) => attention[t][i * slots + slot];
        paintMap(canvas, grid, attentionAt, palette[slot]);
        button.setAttribute("aria-pressed", t + 1 === shown);
      });
    });
  }

  resize(slots, iterations, palette) {
    if (
      this.cards.length === slots &&
      this.cards.every((card) => card.maps.length === iterations)
    ) {
      return;
    }
    this.cards = Array.from({ length: slots }, (_, slot) =>
      this.card(slot, iterations, palette[slot]),
    );
    this.element.replaceChildren(...this.cards.map((card) => card.element));
  }

  card(slot, iterations, color) {
    const element = document.createElement("article");
    element.className = "card";
    element.style.setProperty("--slot", `rgb(${color.join(" ")})`);
    const title = document.createElement("h3");
    title.textContent = `Slot ${slot + 1}`;
    const image = picture(`What slot ${slot + 1} holds`, "slot-image");
    const mask = picture(`Mask of slot ${slot + 1}`, "mask");
    const maps = Array.from({ length: iterations }, (_, t) => this.map(slot, t + 1));
    const strip = document.createElement("div");
    strip.className = "strip";
    strip.append(...maps.map((map) => map.button));
    element.append(title, image, mask, strip);
    return { element, image, mask, maps };
  }

  map(slot, iteration) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = `Iteration ${iteration}`;
    // The slider of iterations does the same by keys.
    button.tabIndex = -1;
    button.addEventListener("click", () => this.onChoose(iteration));
    const canvas = picture(
      `Attention of slot ${slot + 1} in iteration ${iteration}`,
      "map",
    );
    button.append(canvas);
    return { button, canvas };
  }
}
