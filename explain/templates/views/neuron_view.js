// How one head comes to one token's weights: query x key, number by number, their sum, the softmax over all keys.
/* exported NeuronView */
/* global Figure, floatsOf, spell, shorten */

const NEURON_ROW_PX = 18;
const TOKEN_PX = 140;
const HEADER_PX = 3.5 * NEURON_ROW_PX; // the query and the columns' names
const SUM_PX = 100;
const SOFTMAX_PX = 110;
const DIGITS = 5;

class NeuronView extends Figure {
  constructor(root, data) {
    super(root, data.title, data.tokens.length);
    this.data = data;
    this.width = data.width;
    this.queries = floatsOf(data.queries);
    this.keys = floatsOf(data.keys);
    const largest = (values) =>
      values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    this.fullQuery = largest(this.queries);
    this.fullKey = largest(this.keys);
    this.isPinned = true; // the query's token: pressing or keys change it
    this.choose(0);
  }

  choose(token) {
    if (token === null || token === this.chosen) return;
    this.compute(token);
    super.choose(token);
  }

  // Escape has nothing to let go
  onKey(event) {
    if (event.key !== "Escape") super.onKey(event);
  }

  onPointer(event, isPress) {
    const y = event.clientY - this.canvas.getBoundingClientRect().top + this.stage.scrollTop;
    if (isPress) this.choose(this.at(y));
  }

  compute(token) {
    const { width, steps } = this;
    this.query = this.queries.subarray(token * width, (token + 1) * width);
    this.products = this.keys.map((value, i) => value * this.query[i % width]);
    this.dots = Array.from({ length: steps }, (_, i) =>
      this.products.subarray(i * width, (i + 1) * width).reduce((sum, value) => sum + value, 0),
    );
    this.scores = this.dots.map((dot) => dot / Math.sqrt(width));
    const most = Math.max(...this.scores);
    const powers = this.scores.map((score) => Math.exp(score - most));
    const total = powers.reduce((sum, power) => sum + power, 0);
    this.weights = powers.map((power) => power / total);
    this.fullProduct = this.products.reduce((top, value) => Math.max(top, Math.abs(value)), 0) || 1;
  }

  get cell() {
    const room = (this.stage.clientWidth || 1000) - TOKEN_PX - SUM_PX - SOFTMAX_PX - 40;
    return Math.max(2, Math.min(14, Math.floor(room / (2 * this.width))));
  }

  size() {
    const width = TOKEN_PX + 2 * (this.cell * this.width + 16) + SUM_PX + SOFTMAX_PX;
    return { width, height: HEADER_PX + this.steps * NEURON_ROW_PX + 4 };
  }

  // A narrow page shows a part of the columns.
  onSide(isLeft) {
    this.stage.scrollLeft += isLeft ? -SUM_PX : SUM_PX;
  }

  heightOf(token) {
    return HEADER_PX + token * NEURON_ROW_PX;
  }

  at(y) {
    const token = Math.floor((y - HEADER_PX) / NEURON_ROW_PX);
    return token >= 0 && token < this.steps ? token : null;
  }

  strip(painter, x, y, values, full) {
    values.forEach((value, i) => {
      const colour = this.colours.get(value < 0 ? "away" : "towards");
      const opacity = Math.min(1, Math.abs(value) / full);
      painter.rect(
        x + i * this.cell,
        y + 2,
        this.cell - (this.cell > 4),
        NEURON_ROW_PX - 4,
        colour,
        opacity,
      );
    });
  }

  paint(painter, top, bottom) {
    const { width, cell, data } = this;
    const [ink, soft] = [this.colours.get("ink"), this.colours.get("soft")];
    const keys = TOKEN_PX;
    const products = keys + cell * width + 16;
    const sums = products + cell * width + 16;
    painter.text(4, NEURON_ROW_PX / 2, `query: ${shorten(data.tokens[this.chosen])}`, ink);
    this.strip(painter, keys, NEURON_ROW_PX, this.query, this.fullQuery);
    const names = [
      [4, "token"],
      [keys, "key"],
      [products, "query × key"],
      [sums, "sum / √width"],
      [sums + SUM_PX, "softmax"],
    ];
    for (const [x, name] of names) painter.text(x, 2.7 * NEURON_ROW_PX, name, soft);
    data.tokens.forEach((token, i) => {
      const y = this.heightOf(i);
      if (y < top - NEURON_ROW_PX || y > bottom) return;
      const middle = y + NEURON_ROW_PX / 2;
      if (i === this.chosen)
        painter.rect(0, y, TOKEN_PX - 8, NEURON_ROW_PX, this.colours.get("line"));
      painter.text(4, middle, shorten(token), ink);
      this.strip(painter, keys, y, this.keys.subarray(i * width, (i + 1) * width), this.fullKey);
      this.strip(
        painter,
        products,
        y,
        this.products.subarray(i * width, (i + 1) * width),
        this.fullProduct,
      );
      painter.text(sums, middle, spell(this.scores[i], 3), ink);
      painter.rect(
        sums + SUM_PX,
        y + 3,
        60 * this.weights[i],
        NEURON_ROW_PX - 6,
        this.colours.get("towards"),
      );
      painter.text(sums + SUM_PX + 64, middle, spell(this.weights[i], 2), ink);
    });
  }

  legend() {
    const [query, key, product] = [this.fullQuery, this.fullKey, this.fullProduct].map((full) =>
      spell(full),
    );
    return `An opaque cell is ${query} in the query, ${key} in the keys, ${product} in the products.`;
  }

  say() {
    const most = this.weights.indexOf(Math.max(...this.weights));
    const { tokens } = this.data;
    return `“${tokens[this.chosen]}” (${this.chosen}) attends most to “${tokens[most]}” (${most}): sum of query x key ${spell(this.dots[most], DIGITS)}, divided by √${this.width} ${spell(this.scores[most], DIGITS)}, softmax ${spell(this.weights[most], DIGITS)}`;
  }

  tableOf() {
    const rows = this.data.tokens.map((token, i) => [
      `${i} ${token}`,
      ...[this.dots, this.scores, this.weights].map((values) => spell(values[i], DIGITS)),
    ]);
    const head = ["key of", "query x key", "divided by √width", "softmax"];
    return { caption: `query of ${this.chosen} ${this.data.tokens[this.chosen]}`, head, rows };
  }
}
