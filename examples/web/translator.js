// Translates text in a browser with a LiteRT file written by keras_s2s.

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";

const PAD = 0, UNKNOWN = 1, BOS = 2, EOS = 3, NUM_SPECIAL = 4;
// Sources are padded to this number of tokens, including eos. Tokens after eos are ignored.
const LONGEST_SOURCE = 64;
const SEPARATORS = { CharTokenizer: "", DecomposedCharTokenizer: "", WordTokenizer: " ", ByteTokenizer: "" };

/** Reads the parts of a LiteRT file, a FlatBuffer, that this page needs. */
export class File {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (new TextDecoder().decode(bytes.subarray(4, 8)) !== "TFL3") throw new Error("This is not a LiteRT file.");
    this.model = this.#follow(0);
  }

  /** Returns the metadata: bytes by name. */
  metadata() {
    const buffers = this.#places(this.#field(this.model, 4)).map((place) => this.#follow(place));
    return Object.fromEntries(this.#places(this.#field(this.model, 6)).map((place) => {
      const entry = this.#follow(place);
      return [this.#text(this.#field(entry, 0)), this.#data(this.#field(buffers[this.#number(entry, 1)], 0))];
    }));
  }

  /**
   * Leaves only one signature, with inputs and outputs of fixed sizes: the runtime for browsers
   * refuses files in which one takes strings, and has no way to resize an input.
   */
  keepSignature(name, sizes) {
    const signatures = this.#field(this.model, 7);
    const places = this.#places(signatures);
    const kept = places.find((place) => this.#text(this.#field(this.#follow(place), 2)) === name);
    if (kept === undefined) throw new Error(`The file has no signature "${name}".`);
    const target = this.#follow(kept);
    this.view.setUint32(this.#follow(signatures), 1, true); // their number
    this.view.setUint32(places[0], target - places[0], true);
    const graphs = this.#places(this.#field(this.model, 2));
    const tensors = this.#places(this.#field(this.#follow(graphs[this.#number(target, 4)]), 0));
    for (const place of [...this.#places(this.#field(target, 0)), ...this.#places(this.#field(target, 1))]) {
      const entry = this.#follow(place);
      const tensor = this.#follow(tensors[this.#number(entry, 1)]);
      for (const shape of [0, 7]) { // the shape, and the one with -1 for each dynamic size
        const at = this.#places(this.#field(tensor, shape));
        sizes[this.#text(this.#field(entry, 0))].forEach((size, axis) => this.view.setInt32(at[axis], size, true));
      }
    }
  }

  #number(table, number) {
    const at = this.#field(table, number);
    return at ? this.view.getUint32(at, true) : 0;
  }

  #follow(at) {
    return at + this.view.getUint32(at, true);
  }

  #field(table, number) {
    const vtable = table - this.view.getInt32(table, true);
    const place = 4 + 2 * number;
    const offset = place < this.view.getUint16(vtable, true) ? this.view.getUint16(vtable + place, true) : 0;
    return offset && table + offset;
  }

  #places(at) {
    if (!at) return [];
    const vector = this.#follow(at);
    return Array.from({ length: this.view.getUint32(vector, true) }, (_, n) => vector + 4 + 4 * n);
  }

  #data(at) {
    if (!at) return new Uint8Array();
    const vector = this.#follow(at);
    return this.bytes.subarray(vector + 4, vector + 4 + this.view.getUint32(vector, true));
  }

  #text(at) {
    return new TextDecoder().decode(this.#data(at));
  }
}

export class Translator {
  /** Loads a file, and the runtime from the folder of @litertjs/core's .wasm files. */
  static async load(url, wasmFolder) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`There is no ${url} (status ${response.status}).`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const file = new File(bytes);
    const metadata = file.metadata();
    const read = (name) => {
      if (!metadata[name]) throw new Error(`${url} has no ${name}: keras_s2s did not write it.`);
      return JSON.parse(new TextDecoder().decode(metadata[name]));
    };
    const card = read("model_card.json");
    const kinds = [card.source.class, card.target.class];
    if (!kinds.every((kind) => kind in SEPARATORS) || card.replace_unknown) {
      throw new Error(`This page cannot handle the text of ${kinds.join(" and ")}.`);
    }
    const { num_hypotheses: many = 1, max_length: longest } = card.search;
    if (!longest) throw new Error("The search of the file has no max_length.");
    const scores = [1, many];
    file.keepSignature("ids", {
      source_ids: [1, LONGEST_SOURCE], target_ids: [1, many, longest], lengths: scores, scores, log_probs: scores,
    });
    await loadLiteRt(wasmFolder);
    const model = await loadAndCompile(bytes, { accelerator: "wasm" });
    return new Translator(model, kinds, read("source_vocabulary.json"), read("target_vocabulary.json"));
  }

  constructor(model, kinds, source, target) {
    [this.model, this.kinds, this.tokens] = [model, kinds, target];
    this.ids = new Map(source.map((token, id) => [token, id]).slice(NUM_SPECIAL));
    this.last = Promise.resolve();
  }

  /** Returns the best target of a text: { text, score }. Calls are answered one after another. */
  translate(text) {
    const answer = this.last.then(() => this.#run(text));
    this.last = answer.catch(() => {});
    return answer;
  }

  async #run(text) {
    const found = this.#tokenize(text);
    if (found.length > LONGEST_SOURCE) throw new Error(`This page takes ${LONGEST_SOURCE - 1} tokens at most.`);
    const ids = new Int32Array(LONGEST_SOURCE);
    ids.set(found);
    const input = new Tensor(ids, [1, LONGEST_SOURCE]);
    const outputs = await this.model.run("ids", { source_ids: input });
    const [target, lengths, scores] = [outputs.target_ids, outputs.lengths, outputs.scores]
      .map((tensor) => Array.from(tensor.toTypedArray()));
    for (const tensor of [input, ...Object.values(outputs)]) tensor.delete();
    return { text: this.#detokenize(target.slice(0, lengths[0])), score: scores[0] };
  }

  #tokenize(text) {
    if (this.kinds[0] === "ByteTokenizer") {
      return [...Array.from(new TextEncoder().encode(text), (byte) => byte + NUM_SPECIAL), EOS];
    }
    // the white space of Python's str.split()
    const space = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;
    let parts = this.kinds[0] === "WordTokenizer" ? text.split(space).filter(Boolean) : Array.from(text);
    if (this.kinds[0] === "DecomposedCharTokenizer") parts = parts.flatMap((it) => this.#decompose(it));
    return [...parts.map((part) => this.ids.get(part) ?? UNKNOWN), EOS];
  }

  /** Returns the parts of a character, or the character itself if no part is known. */
  #decompose(character) {
    const parts = Array.from(character.normalize("NFD"));
    return parts.some((part) => this.ids.has(part)) ? parts : [character];
  }

  #detokenize(ids) {
    const end = ids.indexOf(EOS);
    const kept = (end < 0 ? ids : ids.slice(0, end)).filter((id) => id !== PAD && id !== BOS);
    if (this.kinds[1] === "ByteTokenizer") {
      const bytes = kept.flatMap((id) => (id === UNKNOWN ? [0xe2, 0x81, 0x87] : [id - NUM_SPECIAL]));
      return new TextDecoder().decode(Uint8Array.from(bytes));
    }
    return kept.map((id) => (id === UNKNOWN ? "⁇" : this.tokens[id])).join(SEPARATORS[this.kinds[1]]);
  }
}
