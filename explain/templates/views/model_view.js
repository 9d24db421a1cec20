// Every head of every layer as a small heat map; pressing one shows it large, row by row.
/* exported ModelView */
/* global Figure, Arrays, Colours, element, tick, thumbnail, spell, shorten */

const THUMBNAIL_PX = 64;
const LARGEST_PX = 620; // side of an enlarged map
const LABELLED_PX = 12; // a row this high has room for its token
const MOST_LABELLED = 48; // tokens
const MARGIN_PX = 130;
const FRAME_MS = 12; // of the 16 that a screen gives

// One head, enlarged.
class MapView extends Figure {
  constructor(root, name, data, array, [layer, head], full) {
    super(root, name, data.tokens.length);
    Object.assign(this, { data, array, layer, head, full, column: 0 });
    const isLabelled = this.steps <= MOST_LABELLED;
    const room = Math.min(LARGEST_PX, Math.round(0.68 * innerHeight));
    const fits = Math.floor(room / this.steps);
    this.cell = Math.max(isLabelled ? LABELLED_PX : 1, Math.min(24, fits));
    this.margin = isLabelled ? MARGIN_PX : 0;
    this.matrix = array.matrix(layer, head);
    this.choose(0);
  }

  size() {
    const side = this.cell * this.steps;
    return { width: this.margin + side, height: this.margin + side };
  }

  heightOf(row) {
    return this.margin + row * this.cell;
  }

  at(x, y) {
    const [column, row] = [x, y].map((place) => Math.floor((place - this.margin) / this.cell));
    if (row < 0 || row >= this.steps || column < 0 || column >= this.steps) return this.chosen;
    if (column !== this.column) {
      this.column = column;
      this.chosen = null;
    }
    return row;
  }

  choose(row) {
    if (row !== null) super.choose(row); // the last row pointed at stays, for the table
  }

  onSide(isLeft) {
    this.column = Math.min(this.steps - 1, Math.max(0, this.column + (isLeft ? -1 : 1)));
    this.tell();
  }

  onKey(event) {
    if (event.key !== "Escape") super.onKey(event); // which closes the dialog
  }

  paint(painter) {
    const { tokens } = this.data;
    const map = thumbnail(this.matrix, this.steps, this.full, this.colours.scale("low", "high"));
    const side = this.cell * this.steps;
    painter.image(this.margin, this.margin, side, side, map);
    const [x, y] = [this.column, this.chosen].map((place) => this.margin + place * this.cell);
    const mark = this.colours.get("away");
    painter.line(this.margin, y + this.cell, this.margin + side, y + this.cell, mark);
    painter.line(this.margin, y, this.margin + side, y, mark);
    painter.line(x, y, x, y + this.cell, mark);
    painter.line(x + this.cell, y, x + this.cell, y + this.cell, mark);
    if (!this.margin) return;
    const ink = this.colours.get("ink");
    tokens.forEach((token, i) => {
      const middle = this.margin + (i + 0.5) * this.cell;
      painter.text(this.margin - 4, middle, shorten(token), ink, { align: "right" });
      painter.text(middle, this.margin - 4, shorten(token), ink, { isTurned: true });
    });
  }

  legend() {
    return `The strongest shade is ${spell(this.full, this.array.digits)}.`;
  }

  say() {
    const { tokens } = this.data;
    const weight = spell(this.matrix[this.chosen * this.steps + this.column], this.array.digits);
    return `From “${tokens[this.chosen]}” (${this.chosen}) to “${tokens[this.column]}” (${this.column}): ${weight}`;
  }

  tableOf() {
    const { array, matrix, steps, chosen } = this;
    const row = matrix.subarray(chosen * steps, (chosen + 1) * steps);
    const gap = array.isSparse ? `; left out: at most ${spell(array.packed.cut)}` : "";
    const rows = this.data.tokens.map((token, i) => [`${i} ${token}`, array.told(row[i])]);
    return {
      caption: `from ${chosen} ${this.data.tokens[chosen]}${gap}`,
      head: ["to", "weight"],
      rows,
    };
  }
}

class ModelView extends Figure {
  constructor(root, data) {
    super(root, data.title, data.layers * data.heads);
    Object.assign(this, { data, isShared: false, waiting: new Set() });
    this.array = new Arrays(data.arrays.attention, data.heads, data.tokens.length);
    this.controls.append(
      tick("one scale for all heads, 0 to 1", false, (isOn) => {
        this.isShared = isOn;
        this.tell();
        this.repaint();
      }),
    );
    const says = `${data.title}; arrow keys choose a head, Enter enlarges it`;
    this.grid = element("div", { class: "grid", role: "grid", "aria-label": says });
    this.grid.style.setProperty("--columns", data.heads);
    this.buttons = Array.from({ length: this.steps }, (_, i) => this.button(i));
    this.grid.append(...this.rows());
    this.stage.replaceWith(this.grid);
    this.dialog = element("dialog", { "aria-label": "one head" });
    root.append(this.dialog);
    // a map is drawn when it comes near what the reader sees
    this.seen = new IntersectionObserver((entries) => this.onSeen(entries), {
      rootMargin: "200px",
    });
    for (const button of this.buttons) this.seen.observe(button);
    this.choose(0);
  }

  rows() {
    const { layers, heads } = this.data;
    const row = (role, name, number, ...cells) => {
      const label = element("span", { role }, element("span", { class: "wide" }, name), number);
      return element("div", { role: "row" }, label, ...cells);
    };
    const numbers = Array.from({ length: heads }, (_, head) =>
      element("span", { role: "columnheader", "aria-label": `head ${head}` }, String(head)),
    );
    const ofLayers = Array.from({ length: layers }, (_, layer) =>
      row("rowheader", "layer ", layer, ...this.buttons.slice(layer * heads, (layer + 1) * heads)),
    );
    return [row("columnheader", "head", "", ...numbers), ...ofLayers];
  }

  place(index) {
    return [Math.floor(index / this.data.heads), index % this.data.heads];
  }

  named(index) {
    const [layer, head] = this.place(index);
    return `layer ${layer}, head ${head}`;
  }

  button(index) {
    const name = this.named(index);
    return element("button", {
      type: "button",
      role: "gridcell",
      tabindex: index ? -1 : 0,
      "aria-label": name,
      title: name,
      onclick: () => this.enlarge(index),
      onfocus: () => this.choose(index),
      onkeydown: (event) => this.onKey(event),
    });
  }

  onKey(event) {
    const { heads } = this.data;
    const jumps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -heads, ArrowDown: heads };
    const ends = { Home: 0, End: this.steps - 1 };
    const next = ends[event.key] ?? this.chosen + (jumps[event.key] ?? NaN);
    if (!this.buttons[next]) return;
    event.preventDefault();
    this.buttons[next].focus();
  }

  choose(index) {
    if (index === null || index === this.chosen) return;
    if (this.chosen !== null) this.buttons[this.chosen].tabIndex = -1;
    this.buttons[index].tabIndex = 0;
    super.choose(index);
  }

  onSeen(entries) {
    for (const { isIntersecting, target } of entries) {
      target.dataset.seen = isIntersecting;
      if (isIntersecting) this.waiting.add(target);
      else this.waiting.delete(target);
    }
    this.redraw();
  }

  repaint() {
    for (const button of this.buttons) if (button.dataset.seen === "true") this.waiting.add(button);
    this.redraw();
  }

  // As many maps as a frame has time for, then the others.
  draw() {
    this.colours = new Colours(this.root);
    const start = performance.now();
    for (const button of this.waiting) {
      button.replaceChildren(this.thumbnail(this.buttons.indexOf(button)));
      this.waiting.delete(button);
      if (performance.now() - start > FRAME_MS) break;
    }
    if (this.waiting.size) this.redraw();
  }

  fullOf(layer, head) {
    return this.isShared ? 1 : this.array.largest(layer, head);
  }

  thumbnail(index) {
    const [layer, head] = this.place(index);
    const matrix = this.array.matrix(layer, head);
    const shades = this.colours.scale("low", "high");
    return thumbnail(
      matrix,
      this.data.tokens.length,
      this.fullOf(layer, head),
      shades,
      THUMBNAIL_PX,
    );
  }

  enlarge(index) {
    const [layer, head] = this.place(index);
    const close = { type: "button", class: "close", onclick: () => this.dialog.close() };
    const body = element("div");
    const name = this.named(index);
    this.dialog.setAttribute("aria-label", name);
    this.dialog.replaceChildren(element("h3", {}, name), element("button", close, "Close"), body);
    this.dialog.showModal();
    const title = `${this.data.title} ${name}`;
    const map = new MapView(
      body,
      title,
      this.data,
      this.array,
      [layer, head],
      this.fullOf(layer, head),
    );
    map.canvas.focus();
  }

  size() {
    const { layers, heads } = this.data;
    return { width: 60 + heads * (THUMBNAIL_PX + 4), height: 20 + layers * (THUMBNAIL_PX + 4) };
  }

  paint(painter) {
    const ink = this.colours.get("ink");
    this.buttons.forEach((_, i) => {
      const [layer, head] = this.place(i);
      const [x, y] = [60 + head * (THUMBNAIL_PX + 4), 20 + layer * (THUMBNAIL_PX + 4)];
      painter.image(x, y, THUMBNAIL_PX, THUMBNAIL_PX, this.thumbnail(i));
      if (!head) painter.text(4, y + THUMBNAIL_PX / 2, `layer ${layer}`, ink);
      if (!layer) painter.text(x, 10, `head ${head}`, ink);
    });
  }

  legend() {
    return `The strongest shade of a map is ${this.isShared ? "1" : "its head's largest weight"}.`;
  }

  strongest(index) {
    const [layer, head] = this.place(index);
    const matrix = this.array.matrix(layer, head);
    const at = matrix.reduce((best, weight, i) => (weight > matrix[best] ? i : best), 0);
    const { tokens } = this.data;
    const [from, to] = [Math.floor(at / tokens.length), at % tokens.length];
    return [spell(matrix[at], this.array.digits), `${from} ${tokens[from]}`, `${to} ${tokens[to]}`];
  }

  say() {
    if (this.chosen === null) return "";
    const [weight, from, to] = this.strongest(this.chosen);
    return `${this.named(this.chosen)}: largest weight ${weight}, from ${from} to ${to}; Enter enlarges`;
  }

  tableOf() {
    const rows = this.buttons.map((_, i) => [this.named(i), ...this.strongest(i)]);
    return {
      caption: "The largest weight of each head",
      head: ["head", "weight", "from", "to"],
      rows,
    };
  }
}
