// Two columns of tokens; a line from each token to those it attends to, as opaque as the weight is large.
/* exported HeadView */
/* global Figure, Arrays, Colours, element, choice, tick, spell, shorten, ProfileView */

const ROW_PX = 16;
const LABEL_PX = 150;
const BLOCK_PX = 9; // a chosen token's weight in one head, beside each token
const WIDEST_PX = 820;
const FAINTEST = 0.008; // opacity: what no eye sees costs no stroke

const SENTENCES = [
  ["all", "all"],
  ["00", "A to A"],
  ["01", "A to B"],
  ["10", "B to A"],
  ["11", "B to B"],
];

class HeadView extends Figure {
  constructor(root, data) {
    super(root, data.title, data.tokens.length);
    this.data = data;
    this.special = new Set(data.special);
    this.arrays = {};
    for (const [name, packed] of Object.entries(data.arrays)) {
      this.arrays[name] = new Arrays(packed, data.heads, data.tokens.length);
    }
    Object.assign(this, { shown: Object.keys(this.arrays).at(-1), layer: data.layers - 1 });
    Object.assign(this, { picked: new Set([0]), sentences: "all", isReverse: false });
    Object.assign(this, { hidesSpecial: false, isStretched: false });
    this.addControls();
    this.tell();
    const profile = element("section", { class: "profile" });
    root.append(profile);
    profile.append(element("h3", {}, data.profile.title));
    this.profile = new ProfileView(profile, data.profile, (layer) => this.setLayer(layer));
    this.setLayer(this.layer);
  }

  addControls() {
    const { data } = this;
    const numbered = (count) => Array.from({ length: count }, (_, i) => [String(i), String(i)]);
    const set = (name) => (value) => {
      this[name] = value;
      this.tell();
    };
    this.layerChoice = choice("Layer", numbered(data.layers), String(this.layer), (value) =>
      this.setLayer(Number(value)),
    );
    this.controls.append(this.layerChoice);
    const names = Object.keys(this.arrays).map((name) => [name, name]);
    if (names.length > 1) this.controls.append(choice("Lines", names, this.shown, set("shown")));
    if (data.segments) {
      this.controls.append(choice("Sentences", SENTENCES, "all", set("sentences")));
    }
    if (data.special.length) {
      this.controls.append(tick("leave out special tokens", false, set("hidesSpecial")));
    }
    this.controls.append(tick("stretch attention to its largest line", false, set("isStretched")));
    this.headBoxes = numbered(data.heads).map(([value, words]) => {
      const label = tick(words, value === "0", (isOn) => this.pick(Number(value), isOn));
      label.style.setProperty("--swatch", new Colours(this.root).head(Number(value)));
      return label;
    });
    const every = (isOn) => () => {
      for (const label of this.headBoxes) label.querySelector("input").checked = isOn;
      this.picked = new Set(isOn ? this.headBoxes.keys() : []);
      this.tell();
    };
    const legend = element("legend", {}, "Heads");
    const all = element("button", { type: "button", onclick: every(true) }, "all");
    const none = element("button", { type: "button", onclick: every(false) }, "none");
    this.controls.append(element("fieldset", {}, legend, ...this.headBoxes, all, none));
  }

  setLayer(layer) {
    this.layer = layer;
    this.layerChoice.querySelector("select").value = String(layer);
    this.profile.choose(layer);
    this.tell();
  }

  pick(head, isOn) {
    if (isOn) this.picked.add(head);
    else this.picked.delete(head);
    this.tell();
  }

  get heads() {
    return [...this.picked].sort((a, b) => a - b);
  }

  get array() {
    return this.arrays[this.shown];
  }

  allows(from, to) {
    if (this.hidesSpecial && (this.special.has(from) || this.special.has(to))) return false;
    const { segments } = this.data;
    return this.sentences === "all" || `${segments[from]}${segments[to]}` === this.sentences;
  }

  // The chosen token's weight for each token, null where a filter hides it: of its row, or its column on the right.
  weightsOf(head) {
    const matrix = this.array.matrix(this.layer, head);
    const { length } = this.data.tokens;
    return Array.from({ length }, (_, other) => {
      const [from, to] = this.isReverse ? [other, this.chosen] : [this.chosen, other];
      return this.allows(from, to) ? matrix[from * length + to] : null;
    });
  }

  size() {
    const width = Math.max(420, Math.min(WIDEST_PX, this.stage.clientWidth || WIDEST_PX));
    return { width, height: (this.data.tokens.length + 1) * ROW_PX };
  }

  heightOf(token) {
    return (token + 1) * ROW_PX;
  }

  at(x, y) {
    const token = Math.floor(y / ROW_PX - 0.5);
    const { width } = this.size();
    if (token < 0 || token >= this.data.tokens.length) return null;
    const isReverse = x > width / 2;
    if (isReverse !== this.isReverse) {
      this.isReverse = isReverse;
      this.chosen = null;
    }
    return token;
  }

  onSide(isLeft) {
    this.isReverse = !isLeft;
    this.tell();
  }

  // What an opaque line stands for: 1, or the largest weight shown; attention x gradient has no scale of its own.
  get full() {
    if (!this.isStretched && this.shown === "attention") return 1;
    return Math.max(0, ...this.heads.map((head) => this.array.largest(this.layer, head))) || 1;
  }

  colourOf(head, weight) {
    if (this.shown === "attention") return this.colours.head(head);
    return this.colours.get(weight < 0 ? "away" : "towards");
  }

  paint(painter, top, bottom) {
    const { width } = this.size();
    const right = width - LABEL_PX - BLOCK_PX * this.heads.length - 8;
    const { full } = this;
    for (const head of this.heads)
      this.paintLines(painter, head, full, [LABEL_PX, right], [top, bottom]);
    if (this.chosen !== null) this.paintBlocks(painter, full, right + 6, [top, bottom]);
    const ink = this.colours.get("ink");
    this.data.tokens.forEach((token, i) => {
      const y = this.heightOf(i);
      if (y < top - ROW_PX || y > bottom + ROW_PX) return;
      if (i === this.chosen) {
        const x = this.isReverse ? width - LABEL_PX : 0;
        painter.rect(x, y - ROW_PX / 2, LABEL_PX - 2, ROW_PX, this.colours.get("line"));
      }
      painter.text(LABEL_PX - 6, y, shorten(token), ink, { align: "right" });
      painter.text(width - LABEL_PX + 4, y, shorten(token), ink);
    });
  }

  paintLines(painter, head, full, [left, right], [top, bottom]) {
    const { chosen, isReverse } = this;
    const { length } = this.data.tokens;
    const line = (from, to, weight) => {
      const opacity = Math.abs(weight) / full;
      const [y1, y2] = [this.heightOf(from), this.heightOf(to)];
      if (opacity < FAINTEST || Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) return;
      if (!this.allows(from, to)) return;
      const colour = this.colourOf(head, weight);
      painter.line(left, y1, right, y2, colour, Math.min(1, opacity), weight < 0);
    };
    if (chosen === null) {
      this.array.matrix(this.layer, head).forEach((weight, i) => {
        if (weight) line(Math.floor(i / length), i % length, weight);
      });
    } else {
      this.weightsOf(head).forEach((weight, other) => {
        line(...(isReverse ? [other, chosen] : [chosen, other]), weight);
      });
    }
  }

  paintBlocks(painter, full, x, [top, bottom]) {
    this.heads.forEach((head, column) => {
      this.weightsOf(head).forEach((weight, token) => {
        const y = this.heightOf(token) - ROW_PX / 2;
        if (!weight || y < top - ROW_PX || y > bottom) return;
        const opacity = Math.min(1, Math.abs(weight) / full);
        const colour = this.colourOf(head, weight);
        painter.rect(x + column * BLOCK_PX, y + 1, BLOCK_PX - 1, ROW_PX - 2, colour, opacity);
      });
    });
  }

  legend() {
    const dashes = this.array.packed.signed ? "; dashed lines are below 0" : "";
    return `An opaque line is ${spell(this.full)}${dashes}.`;
  }

  say() {
    if (this.chosen === null)
      return "Point at a token, or use the arrow keys: up and down, left and right for the column.";
    if (!this.heads.length) return "No head is chosen.";
    const named = (token) => `“${this.data.tokens[token]}” (${token})`;
    const told = this.heads.slice(0, 3).map((head) => {
      const weights = this.weightsOf(head);
      if (weights.every((weight) => weight === null)) return `head ${head}: hidden`;
      const most = weights.reduce(
        (best, weight, i) => (Math.abs(weight) > Math.abs(weights[best]) ? i : best),
        0,
      );
      const rest = this.isReverse ? 0 : this.array.leftOut(this.layer, head, this.chosen);
      const out = rest ? `, ${Math.round(100 * rest)} % of the row not on this page` : "";
      return `head ${head}: most ${this.isReverse ? "from" : "to"} ${named(most)} ${spell(weights[most], this.array.digits)}${out}`;
    });
    const more =
      this.heads.length > told.length ? `; ${this.heads.length - told.length} more heads` : "";
    const column = this.isReverse ? "is attended to" : "attends";
    return `${named(this.chosen)} ${column}; layer ${this.layer}, ${told.join("; ")}${more}`;
  }

  tableOf() {
    const { data, heads, array } = this;
    const head = ["token", ...heads.map((number) => `head ${number}`)];
    const what = `${this.shown}, layer ${this.layer}`;
    if (this.chosen === null) return { caption: `${what}: choose a token`, head, rows: [] };
    const columns = heads.map((number) => this.weightsOf(number));
    const gap = array.isSparse ? `; left out: at most ${spell(array.packed.cut)}` : "";
    const side = this.isReverse ? "to" : "from";
    const rows = data.tokens.map((token, i) => [
      `${i} ${token}`,
      ...columns.map((column) => array.told(column[i])),
    ]);
    return {
      caption: `${what}, ${side} ${this.chosen} ${data.tokens[this.chosen]}${gap}`,
      head,
      rows,
    };
  }
}
