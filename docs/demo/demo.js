// The live page: from the scene and the sliders to pictures.

import { Cards } from "./cards.js";
import { Model } from "./model.js";
import {
  paintImage,
  paintSegmentation,
  resized,
  toModelRange,
} from "./pictures.js";
import { generator, normal } from "./random.js";
import { Stage } from "./stage.js";
import { Tetrominoes } from "./tetrominoes.js";

const FIRST_SEED = 1;
const PLAY_MILLISECONDS = 500; // How long each iteration is shown.
const find = (id) => document.getElementById(id);

class Demo {
  constructor(page) {
    this.page = page;
    this.random = generator(FIRST_SEED);
    this.tetrominoes = new Tetrominoes(page.tetrominoes);
    this.cards = new Cards(find("cards"), (iteration) => this.choose(iteration));
    this.stage = new Stage(find("stage"), this.tetrominoes, () => this.refresh());
    this.listen();
  }

  listen() {
    find("slots").max = this.page.palette.length;
    find("model-choice").hidden = this.page.models.length < 2;
    this.page.models.forEach(({ title }, i) => find("model").add(new Option(title, i)));
    const changed = (id, call) => find(id).addEventListener("input", call);
    const clicked = (id, call) => find(id).addEventListener("click", call);
    changed("model", () => this.open(find("model").value).catch(report));
    changed("slots", () => this.refresh());
    changed("iterations", () => {
      this.showLast();
      this.refresh();
    });
    changed("shown", () => this.refresh());
    clicked("shuffle", () => this.shuffle());
    clicked("rotate", () => this.stage.rotate());
    clicked("sample", () => this.sample());
    clicked("play", () => this.play());
    clicked("open", () => find("file").click());
    find("file").addEventListener("change", (event) => {
      this.openImage(event.target.files[0]);
      event.target.value = ""; // The same file can be opened again.
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.openImage(event.dataTransfer.files[0]);
    });
  }

  // Shows the model of a position in `page.models`.
  async open(index) {
    this.model = null; // Nothing is drawn while it loads.
    find("model").disabled = true;
    find("status").hidden = false;
    find("status").textContent = "Loading the model …";
    const facts = this.page.models[index];
    const sheet = new Image();
    sheet.src = `${facts.preset}/scenes.png`;
    const [model] = await Promise.all([Model.load(facts), sheet.decode()]);
    this.sheet = sheet;
    find("slots").value = facts.num_slots;
    find("iterations").value = facts.num_iterations;
    this.showLast();
    this.noise = this.drawNoise(facts.slot_size);
    find("about").textContent = about(facts);
    find("note").textContent = facts.note;
    find("rotate").hidden = !facts.pieces;
    this.model = model;
    find("model").disabled = false;
    this.showThumbnails();
    this.showScene(0);
    find("status").hidden = true;
    find("page").hidden = false;
  }

  // Enough for all slots, so that a slot more leaves the others alone.
  drawNoise(size) {
    return normal(this.random, this.page.palette.length * size);
  }

  showThumbnails() {
    const { num_scenes: count, resolution } = this.model.facts;
    const thumbnails = Array.from({ length: count }, (_, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Scene ${index + 1}`);
      button.addEventListener("click", () => this.showScene(index));
      const canvas = document.createElement("canvas");
      [canvas.height, canvas.width] = resolution;
      const pixels = new ImageData(this.scenePixels(index), canvas.width);
      canvas.getContext("2d").putImageData(pixels, 0, 0);
      button.append(canvas);
      return button;
    });
    find("scenes").replaceChildren(...thumbnails);
  }

  scenePixels(index) {
    const [height, width] = this.model.facts.resolution;
    return resized(this.sheet, [height, width], [0, index * height, width, height]);
  }

  showScene(index) {
    const { pieces, resolution } = this.model.facts;
    if (pieces) {
      this.showPieces(pieces[index].map((piece) => this.tetrominoes.piece(piece)));
    } else {
      this.stage.showPixels(resolution, this.scenePixels(index));
      find("hint").textContent = "Drop an image here, or open one.";
    }
  }

  showPieces(pieces) {
    find("hint").textContent =
      "Drag a piece; double-click it to rotate it. With keys: Tab to a piece, arrows " +
      "to move it, R to rotate it. Or drop an image here.";
    this.stage.showPieces(pieces);
  }

  shuffle() {
    const { pieces, num_scenes: count } = this.model.facts;
    if (pieces) {
      this.showPieces(this.tetrominoes.shuffled(this.random));
    } else {
      this.showScene(Math.floor(this.random() * count));
    }
  }

  sample() {
    this.noise = this.drawNoise(this.model.facts.slot_size);
    this.refresh();
  }

  async openImage(file) {
    if (!file || !this.model) return;
    let picture;
    try {
      picture = await createImageBitmap(file);
    } catch {
      find("hint").textContent = `${file.name} is no image that this browser can read.`;
      return;
    }
    const { resolution } = this.model.facts;
    this.stage.showPixels(resolution, resized(picture, resolution));
    find("hint").textContent =
      `Squeezed to ${resolution.join("×")} pixels. The model knows only the scenes it ` +
      "was trained on: expect little of other images.";
  }

  showLast() {
    this.stopPlaying();
    find("shown").max = find("iterations").value;
    find("shown").value = find("iterations").value;
  }

  choose(iteration) {
    this.stopPlaying();
    find("shown").value = iteration;
    this.refresh();
  }

  play() {
    this.stopPlaying();
    const T = Number(find("shown").max);
    let iteration = 0;
    const next = () => {
      find("shown").value = ++iteration;
      this.refresh();
      if (iteration >= T) this.stopPlaying();
    };
    this.timer = setInterval(next, PLAY_MILLISECONDS);
    next();
  }

  stopPlaying() {
    clearInterval(this.timer);
  }

  // Draws a frame; changes while one is being drawn lead to one more.
  async refresh() {
    this.stale = true;
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (this.stale && this.model) {
        this.stale = false;
        await this.frame();
      }
    } catch (error) {
      report(error);
    } finally {
      this.drawing = false;
    }
  }

  async frame() {
    const [K, T, shown] = ["slots", "iterations", "shown"].map((id) => {
      const { value } = find(id);
      find(`${id}-value`).value = value;
      return Number(value);
    });
    const { model } = this;
    const { facts } = model;
    const start = performance.now();
    const inputs = await model.encode(toModelRange(this.stage.pixels));
    const noise = this.noise.subarray(0, K * facts.slot_size);
    const iterations = await model.iterate(inputs, await model.start(noise), T);
    const outputs = await model.decode(iterations[shown - 1].slots);

    paintImage(find("reconstruction"), facts.resolution, outputs.reconstruction);
    const { palette } = this.page;
    const { segmentation } = outputs;
    paintSegmentation(find("segmentation"), facts.resolution, segmentation, palette);
    const attention = iterations.map((iteration) => iteration.attention);
    this.cards.show(outputs, attention, shown, facts, palette);
    this.milliseconds = performance.now() - start;
    this.segmentation = segmentation;
    const time = this.milliseconds.toFixed(this.milliseconds < 10 ? 1 : 0);
    find("time").textContent =
      `The last frame took ${time} ms: encoder, ${T} iterations, decoder, drawing.`;
  }

  // For tests: what the model makes of an image [H, W, 3] and initial slots [K, D].
  async run({ image, slots, K, T }) {
    const { model } = this;
    const inputs = await model.encode(image);
    const initial = model.slots(slots);
    if (initial.dims[1] !== K) {
      throw new Error(`slots must be ${K} slots. Received: ${initial.dims[1]}`);
    }
    const iterations = await model.iterate(inputs, initial, T);
    return {
      ...(await model.decode(iterations[T - 1].slots)),
      attention: iterations.map(({ attention }) => attention),
      slots: iterations[T - 1].slots.data,
    };
  }
}

function about({ title, data, scores }) {
  const score = (100 * scores.fg_ari).toFixed(1);
  return (
    `${title}: trained without labels on ${data}. FG-ARI ${score} % on ` +
    `${scores.num_images} scenes it was not trained on.`
  );
}

function report(error) {
  find("status").hidden = false;
  find("status").textContent = `This does not work in this browser: ${error.message}`;
  console.error(error);
}

try {
  const answer = await fetch("page.json");
  window.demo = new Demo(await answer.json());
  await window.demo.open(0);
} catch (error) {
  report(error);
}
