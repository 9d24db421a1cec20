// Arrays as explain/views.py packs them: one base64 string a head, unpacked when the head is looked at.
/* exported Arrays, floatsOf, spell */

const KEPT_UNPACKED = 16; // matrices: at 512 tokens each takes a megabyte

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function floatsOf(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}

// As many digits as the packing leaves meaning in.
function spell(value, digits = 4) {
  if (value === 0) return "0";
  return Math.abs(value) < 1e-4 ? value.toExponential(digits - 1) : value.toPrecision(digits);
}

class Arrays {
  constructor(packed, heads, size) {
    Object.assign(this, { packed, heads, size, unpacked: new Map() });
    this.isSparse = packed.kind === "sparse";
    this.digits = packed.kind === "float32" ? 8 : 4;
  }

  // Row by row: from the token that attends to the token attended to.
  matrix(layer, head) {
    return this.head(layer, head).values;
  }

  // How much of a row's absolute sum the page left out, 0 to 1.
  leftOut(layer, head, row) {
    const { shares } = this.head(layer, head);
    return shares ? shares[row] / 255 : 0;
  }

  // The largest absolute value of the head: what colours are measured by.
  largest(layer, head) {
    const found = this.head(layer, head);
    if (found.largest === undefined) {
      found.largest = 0;
      for (const value of found.values) found.largest = Math.max(found.largest, Math.abs(value));
    }
    return found.largest;
  }

  // A number as a table's cell.
  told(value) {
    if (value === null) return "hidden";
    return this.isSparse && value === 0 ? "left out" : spell(value, this.digits);
  }

  head(layer, head) {
    const index = layer * this.heads + head;
    const found = this.unpacked.get(index) ?? this.unpack(bytesOf(this.packed.heads[index]));
    this.unpacked.delete(index); // and set: the last looked at is the last to go
    this.unpacked.set(index, found);
    if (this.unpacked.size > KEPT_UNPACKED) this.unpacked.delete(this.unpacked.keys().next().value);
    return found;
  }

  unpack(bytes) {
    const { kind } = this.packed;
    if (kind === "float32") return { values: new Float32Array(bytes.buffer) };
    const scales = this.scales(bytes);
    if (kind === "dense") return { values: this.dense(bytes.subarray(2 * this.size), scales) };
    const shares = bytes.subarray(2 * this.size, 3 * this.size);
    return { values: this.sparse(bytes.subarray(3 * this.size), scales), shares };
  }

  // A row's scale is the upper half of its float32.
  scales(bytes) {
    const halves = new Uint16Array(bytes.buffer, 0, this.size);
    return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  }

  value(code, scale) {
    return this.packed.signed ? ((code - 128) * scale) / 127 : (code * scale) / 255;
  }

  dense(codes, scales) {
    const values = new Float32Array(codes.length);
    for (let i = 0; i < codes.length; i++) {
      values[i] = this.value(codes[i], scales[Math.floor(i / this.size)]);
    }
    return values;
  }

  // First the steps from one kept place to the next, then the codes there.
  sparse(pairs, scales) {
    const values = new Float32Array(this.size * this.size);
    const count = pairs.length / 2;
    for (let i = 0, place = -1; i < count; i++) {
      place += pairs[i];
      values[place] = this.value(pairs[count + i], scales[Math.floor(place / this.size)]);
    }
    return values;
  }
}
