// A Slot Attention autoencoder in WebAssembly, from the files of `sa.export_onnx_steps`.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";

// More threads need headers that static hosts such as GitHub Pages cannot send.
ort.env.wasm.numThreads = 1;

function tensor(values, shape) {
  return new ort.Tensor("float32", Float32Array.from(values), shape);
}

export class Model {
  // Loads the model that an entry of `page.json` describes.
  static async load(facts) {
    const model = new Model();
    model.facts = facts;
    model.sessions = {};
    // One after the other: the first call sets WebAssembly up.
    for (const name of ["encode", "start", "step", "decode"]) {
      const file = `${facts.preset}/${name}.onnx`;
      model.sessions[name] = await ort.InferenceSession.create(file);
    }
    await model.warmUp();
    return model;
  }

  // The first calls are slow, as WebAssembly is still being compiled.
  async warmUp() {
    const { resolution, num_slots: K, num_iterations: T, slot_size: D } = this.facts;
    const image = new Float32Array(resolution[0] * resolution[1] * 3);
    const inputs = await this.encode(image);
    const slots = await this.start(new Float32Array(K * D));
    await this.decode((await this.iterate(inputs, slots, T)).at(-1).slots);
  }

  // Encodes an image [H, W, 3] in [-1, 1] to normalised features.
  async encode(image) {
    const images = tensor(image, [1, ...this.facts.resolution, 3]);
    return (await this.sessions.encode.run({ images })).inputs;
  }

  // Initial slots [1, K, D] from standard normal noise of K * D numbers.
  async start(noise) {
    return (await this.sessions.start.run({ noise: this.slots(noise) })).slots;
  }

  // K * D numbers as slots [1, K, D].
  slots(values) {
    const size = this.facts.slot_size;
    return tensor(values, [1, values.length / size, size]);
  }

  // The slots and the attention [N, K] after each of T iterations.
  async iterate(inputs, slots, T) {
    const iterations = [];
    for (let t = 0; t < T; t++) {
      const outputs = await this.sessions.step.run({ inputs, slots });
      slots = outputs.next_slots;
      iterations.push({ slots, attention: outputs.attention.data });
    }
    return iterations;
  }

  // Arrays: `reconstruction` [H, W, 3], `slot_images` [K, H, W, 3], `masks` [K, H, W],
  // `segmentation` [H, W].
  async decode(slots) {
    const outputs = await this.sessions.decode.run({ slots });
    return Object.fromEntries(
      Object.entries(outputs).map(([name, output]) => [name, output.data]),
    );
  }
}
