// Splits texts into ids and joins ids to texts, with the files that keras_s2s.export.vocabularies
// writes. docs/how-to/ids.md describes the rules. No dependencies; for browsers and Node.

const PAD = 0, UNKNOWN = 1, BOS = 2, EOS = 3, NUM_SPECIAL = 4;
const UNKNOWN_TEXT = "\u2047", SPACE_SIGN = "\u2581";
const UNKNOWN_PENALTY = 10; // difference between the scores of the least probable piece and an unknown byte
// The characters for which Python's str.isspace() is true.
const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE = new RegExp(`[${SPACES}]+`, "u");
const ENDS = new RegExp(`^[${SPACES}]+|[${SPACES}]+$`, "gu");

const isFeature = (token) => token.length > 1 && token.startsWith(";");

const SPLIT = {
  CharTokenizer: (text) => Array.from(text),
  WordTokenizer: (text) => text.split(SPACE).filter(Boolean),
  FeatureTokenizer: splitFeatures,
  // Returns the parts of each character, or the character if none of its parts is known.
  DecomposedCharTokenizer: (text, known) => Array.from(text).flatMap((character) => {
    const parts = Array.from(character.normalize("NFD"));
    return parts.some((part) => known.has(part)) ? parts : [character];
  }),
};

export class Tokenizer {
  /** tokens: the vocabulary; rules: its side of tokenizers.json. */
  constructor(tokens, rules) {
    this.tokens = tokens;
    this.rules = rules;
    this.kind = rules.class;
    if (!(this.kind in SPLIT) && !["ByteTokenizer", "SentencePieceTokenizer"].includes(this.kind)) {
      throw new Error(`Texts of a ${this.kind} cannot be split here.`);
    }
    this.ids = new Map(tokens.map((token, id) => [token, id]).slice(NUM_SPECIAL));
    if (this.kind === "SentencePieceTokenizer") this.pieces = new Pieces(tokens, rules);
  }

  /** Returns the ids of a text, which end with eos. */
  tokenize(text) {
    if (this.pieces) return [...this.pieces.split(text), EOS];
    if (this.kind === "ByteTokenizer") {
      return [...Array.from(new TextEncoder().encode(text), (byte) => byte + NUM_SPECIAL), EOS];
    }
    return [...SPLIT[this.kind](text, this.ids).map((part) => this.ids.get(part) ?? UNKNOWN), EOS];
  }

  /** Returns the text of ids, up to the first eos. Ids that do not exist are written as unk. */
  detokenize(ids) {
    const end = ids.indexOf(EOS);
    const all = end < 0 ? Array.from(ids) : Array.from(ids.slice(0, end));
    const before = all.map((id) => (id in this.tokens ? id : UNKNOWN));
    const kept = before.filter((id) => id !== PAD && id !== BOS);
    const read = (id) => (id === UNKNOWN ? UNKNOWN_TEXT : this.tokens[id]);
    switch (this.kind) {
      case "ByteTokenizer": {
        const bytes = kept.flatMap((id) => (id === UNKNOWN ? [0xe2, 0x81, 0x87] : [id - NUM_SPECIAL]));
        return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
      }
      case "WordTokenizer":
        return kept.map(read).join(" ");
      case "FeatureTokenizer":
        return this.#joinFeatures(before, read);
      case "SentencePieceTokenizer": {
        const parts = kept.map((id) => read(id).replaceAll(SPACE_SIGN, " "));
        const strips = this.rules.add_dummy_prefix || this.rules.remove_extra_whitespaces;
        const text = parts.join("");
        return strips && parts.length && parts[0].startsWith(" ") ? text.slice(1) : text;
      }
      default:
        return kept.map(read).join("");
    }
  }

  /** Joins tokens: a space before the first feature, ";" before the others. */
  #joinFeatures(ids, read) {
    let text = "", before = "";
    for (const id of ids) {
      const token = id < NUM_SPECIAL ? "" : this.tokens[id];
      if (id >= NUM_SPECIAL) text += isFeature(token) && !isFeature(before) ? ` ${token.slice(1)}` : token;
      else if (id === UNKNOWN) text += read(id);
      before = token;
    }
    return text;
  }
}

/** Splits a text into characters and, if it has several words, the features in the last one. */
function splitFeatures(text) {
  const trimmed = text.replace(ENDS, "");
  const words = trimmed.split(SPACE);
  if (words.length < 2) return Array.from(trimmed);
  const features = words[words.length - 1];
  const rest = trimmed.slice(0, trimmed.length - features.length).replace(ENDS, "");
  return [...Array.from(rest), ...features.split(";").filter(Boolean).map((feature) => `;${feature}`)];
}

/** The unigram model of a SentencePieceTokenizer: the most probable pieces of a text. */
class Pieces {
  constructor(tokens, rules) {
    this.rules = rules;
    this.scores = rules.scores;
    const encoder = new TextEncoder();
    // keys: bytes as a string of characters 0 to 255
    this.ids = new Map(tokens.map((token, id) => [bytesKey(encoder.encode(token)), id]).slice(NUM_SPECIAL));
    this.longest = Math.max(...Array.from(this.ids.keys(), (key) => key.length));
    this.unknown = Math.fround(Math.min(...this.scores.slice(NUM_SPECIAL)) - UNKNOWN_PENALTY);
    const content = Uint8Array.from(atob(rules.character_map), (char) => char.charCodeAt(0));
    const view = new DataView(content.buffer);
    const size = view.getUint32(0, true);
    this.trie = Array.from({ length: size / 4 }, (_, number) => view.getUint32(4 + 4 * number, true));
    this.replacements = content.subarray(4 + size);
  }

  split(text) {
    return this.#search(this.#normalize(text));
  }

  /** Replaces characters by the model's map, and spaces by U+2581. */
  #normalize(text) {
    const prefix = this.rules.add_dummy_prefix ? " " : "";
    let found = this.#replace(new TextEncoder().encode(prefix + text));
    if (this.rules.remove_extra_whitespaces) {
      const begins = this.rules.add_dummy_prefix && found.startsWith(" ");
      found = found.split(/[ \t\n\r]/).filter(Boolean).join(" ");
      if (begins && found) found = ` ${found}`;
    }
    return found.replaceAll(/[ \t\n\r]/g, bytesKey(new TextEncoder().encode(SPACE_SIGN)));
  }

  /** Replaces the longest prefix found in the map, repeatedly. */
  #replace(bytes) {
    let found = "";
    for (let place = 0; place < bytes.length;) {
      const [length, start] = this.#longestPrefix(bytes, place);
      if (length) {
        found += bytesKey(this.replacements.subarray(start, this.replacements.indexOf(0, start)));
      } else {
        found += String.fromCharCode(bytes[place]);
      }
      place += length || 1;
    }
    return found;
  }

  /** Follows the trie (a double array, as darts-clone writes it). */
  #longestPrefix(bytes, place) {
    let found = [0, 0];
    if (!this.trie.length) return found;
    const children = (unit) => (unit >>> 10) << ((unit & 0x200) >>> 6);
    let node = children(this.trie[0]);
    for (let number = place; number < bytes.length; number += 1) {
      node ^= bytes[number];
      const unit = this.trie[node];
      if ((unit & 0x800000ff) >>> 0 !== bytes[number]) break;
      node ^= children(unit);
      if (unit & 0x100) found = [number + 1 - place, this.trie[node] & 0x7fffffff];
    }
    return found;
  }

  /** Viterbi's algorithm over bytes; sums are rounded to float32, as in the graph. */
  #search(text) {
    const best = new Array(text.length + 1).fill(null);
    best[0] = { score: 0, id: -1, start: -1 };
    const update = (place, score, id, start) => {
      const rounded = Math.fround(score);
      if (best[place] === null || best[place].score < rounded) best[place] = { score: rounded, id, start };
    };
    for (let start = 0; start < text.length; start += 1) {
      const here = best[start];
      if (here === null) continue;
      for (let end = start + 1; end <= Math.min(text.length, start + this.longest); end += 1) {
        const id = this.ids.get(text.slice(start, end));
        if (id !== undefined) update(end, here.score + this.scores[id], id, start);
      }
      // a run of unknown bytes is one token
      update(start + 1, here.score + this.unknown, UNKNOWN, here.id === UNKNOWN ? here.start : start);
    }
    const ids = [];
    for (let end = text.length; end > 0; end = best[end].start) ids.push(best[end].id);
    return ids.reverse();
  }
}

function bytesKey(bytes) {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
