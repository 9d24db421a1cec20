// Points in space, coloured and shaped by their label; the text of the one that is pointed at, or chosen by keys.
/* exported EmbeddingView */
/* global Figure, Plotly, Colours, PNG_SCALE, choice, floatsOf, spell */

const SHAPES = ["circle", "square", "diamond", "cross", "x", "circle-open", "square-open"]; // with 4 colours: 28 kinds
const HOVER_CHARACTERS = 60; // a line
const HOVER_LINES = 5;
const TURN = Math.PI / 12; // of the camera, at a key
const CAMERA = { x: 1.6, y: 1.6, z: 1.1 }; // far enough for the axes' names
const EVERY_LABEL = "-1";

// Plotly reads its labels as a kind of HTML.
function escaped(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function wrapped(text) {
  const lines = text.match(new RegExp(`.{1,${HOVER_CHARACTERS}}(?=\\s|$)|.{1,${HOVER_CHARACTERS}}`, "gsu")) ?? [];
  const more = lines.length > HOVER_LINES ? " …" : "";
  return lines.slice(0, HOVER_LINES).map((line) => escaped(line.trim())).join("<br>") + more;
}

class EmbeddingView extends Figure {
  constructor(root, data) {
    super(root, data.title, data.texts.length);
    this.data = data;
    const values = floatsOf(data.points);
    const width = data.axes.length;
    this.columns = data.axes.map((_, axis) => data.texts.map((_, i) => values[i * width + axis]));
    this.hovers = data.texts.map((text, i) => `${wrapped(text)}<br>${escaped(this.labelOf(i))}`);
    Object.assign(this, { label: EVERY_LABEL, marked: null, isStale: true });
    this.hasDepth = width > 2 && document.createElement("canvas").getContext("webgl") !== null;
    this.addControls();
    this.plot = this.surface("div");
    this.plot.className = "plot";
    this.stage.replaceWith(this.plot);
    this.canvas = this.plot;
    this.tell();
  }

  addControls() {
    const { axes, labels } = this.data;
    const sides = axes.flatMap((name, i) => axes.slice(i + 1).map((other, j) => [[i, i + 1 + j], `${name}, ${other}`]));
    const views = sides.map(([places, name]) => [places.join(), name]);
    if (this.hasDepth) views.unshift(["0,1,2", "all three"]);
    const set = (name) => (value) => {
      this[name] = value;
      if (this.chosen !== null && !this.isShown(this.chosen)) this.letGo();
      this.isStale = true;
      this.tell();
    };
    this.axes = views[0][0];
    if (views.length > 1) this.controls.append(choice("Axes", views, this.axes, set("axes")));
    const named = labels.map((name, i) => [String(i), name]);
    this.controls.append(choice("Label", [[EVERY_LABEL, "all"], ...named], this.label, set("label")));
  }

  labelOf(point) {
    return this.data.labels[this.data.label_of[point]];
  }

  isShown(point) {
    return this.label === EVERY_LABEL || String(this.data.label_of[point]) === this.label;
  }

  letGo() {
    this.isPinned = false;
    this.choose(null);
  }

  get step() {
    return "point";
  }

  // Keys pass by the points that are not shown.
  choose(point) {
    if (point === null) return super.choose(null);
    const isBack = point < (this.chosen ?? -1) || (point === this.steps - 1 && !this.isShown(point));
    const way = isBack && point > 0 ? -1 : 1; // Home and End look inwards
    let next = point;
    while (next >= 0 && next < this.steps && !this.isShown(next)) next += way;
    if (next >= 0 && next < this.steps) super.choose(next);
  }

  onKey(event) {
    const zoom = { "+": 0.8, "-": 1.25 }[event.key];
    if (zoom === undefined) return super.onKey(event);
    this.move((eye) => ({ x: eye.x * zoom, y: eye.y * zoom, z: eye.z * zoom }));
    event.preventDefault();
  }

  onSide(isLeft) {
    const [sine, cosine] = [Math.sin(TURN) * (isLeft ? -1 : 1), Math.cos(TURN)];
    this.move(({ x, y, z }) => ({ x: cosine * x - sine * y, y: sine * x + cosine * y, z }));
  }

  get isDeep() {
    return this.axes.split(",").length === 3;
  }

  move(of) {
    if (!this.isDeep) return;
    const { eye } = this.plot.layout.scene.camera;
    Plotly.relayout(this.plot, { "scene.camera.eye": of(eye) });
  }

  repaint() {
    this.isStale = true;
    this.redraw();
  }

  // Pointing says what lies there and draws nothing anew; a point that is kept gets a ring.
  draw() {
    const marked = this.isPinned ? this.chosen : null;
    if (marked === this.marked && !this.isStale) return;
    Object.assign(this, { marked, isStale: false });
    this.colours = new Colours(this.root);
    Plotly.react(this.plot, this.traces(), this.layout(), {
      displayModeBar: false,
      responsive: true,
    });
    if (this.isWired) return;
    this.isWired = true;
    this.plot.on("plotly_hover", ({ points }) => this.isPinned || this.choose(points[0].customdata));
    this.plot.on("plotly_unhover", () => this.isPinned || this.choose(null));
    this.plot.on("plotly_click", ({ points }) => this.press(points[0].customdata));
  }

  press(point) {
    if (this.isPinned && point === this.chosen) return this.letGo();
    this.isPinned = true;
    this.choose(point);
    this.redraw();
  }

  traces() {
    const found = this.data.labels.map((name, label) => {
      const points = this.data.label_of.flatMap((of, i) => (of === label ? [i] : []));
      return {
        ...this.trace(points, SHAPES[label % SHAPES.length], this.colours.head(label)),
        name: escaped(name),
        visible: this.label === EVERY_LABEL || this.label === String(label),
        hovertext: points.map((i) => this.hovers[i]),
        hoverinfo: "text",
      };
    });
    const ring = this.trace(this.marked === null ? [] : [this.marked], "circle-open", this.colours.get("ink"));
    Object.assign(ring.marker, { size: this.isDeep ? 24 : 18, line: { width: 3, color: this.colours.get("ink") } });
    return [...found, { ...ring, hoverinfo: "skip", showlegend: false }];
  }

  trace(points, symbol, color) {
    const [x, y, z] = this.axes.split(",").map((axis) => points.map((i) => this.columns[axis][i]));
    const size = this.isDeep ? 5 : 8;
    const marker = { symbol, color, size, line: { width: 0.5, color: this.colours.get("card") } };
    const kind = this.isDeep ? { type: "scatter3d", z } : { type: "scatter" };
    return { ...kind, x, y, mode: "markers", marker, customdata: points };
  }

  layout() {
    const [ink, line, card] = ["ink", "line", "card"].map((name) => this.colours.get(name));
    const [x, y, z] = this.axes.split(",").map((axis) => ({
      title: { text: escaped(this.data.axes[axis]) },
      gridcolor: line,
      zerolinecolor: line,
      color: ink,
    }));
    const shared = {
      paper_bgcolor: card,
      plot_bgcolor: card,
      font: { color: ink, family: "system-ui, sans-serif", size: 12 },
      margin: this.isDeep ? { l: 0, r: 0, t: 0, b: 0 } : { l: 50, r: 10, t: 10, b: 40 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", itemsizing: "constant" },
      showlegend: true,
      hovermode: "closest",
      uirevision: this.axes, // what the reader has brought nearer stays so
    };
    if (!this.isDeep) return { ...shared, xaxis: x, yaxis: { ...y, scaleanchor: "x" } };
    const camera = this.plot.layout?.scene?.camera ?? { eye: CAMERA }; // as the reader has turned it
    return { ...shared, scene: { xaxis: x, yaxis: y, zaxis: z, camera } };
  }

  legend() {
    const lacks = this.data.axes.length > 2 && !this.hasDepth;
    return lacks ? "This browser lacks WebGL, which three dimensions need: two at a time are shown." : "";
  }

  say() {
    if (this.chosen === null) {
      const turns = this.isDeep ? "; left and right turn the picture, + and - bring it nearer or farther" : "";
      return `Point at a point, or use the arrow keys: up and down choose${turns}.`;
    }
    const places = this.data.axes.map((name, axis) => `${name} ${spell(this.columns[axis][this.chosen])}`);
    return `“${this.data.texts[this.chosen]}” (${this.chosen}), ${this.labelOf(this.chosen)}: ${places.join(", ")}`;
  }

  // Pointing changes nothing in it.
  fillTable() {
    if (this.tabled === this.label) return;
    this.tabled = this.label;
    super.fillTable();
  }

  tableOf() {
    const points = this.data.texts.flatMap((_, i) => (this.isShown(i) ? [i] : []));
    const rows = points.map((i) => [
      `${i} ${this.data.texts[i]}`,
      this.labelOf(i),
      ...this.columns.map((column) => spell(column[i], 8)),
    ]);
    return { caption: this.data.title, head: ["text", "label", ...this.data.axes], rows };
  }

  savePng() {
    this.download("png");
  }

  saveSvg() {
    this.download("svg");
  }

  download(format) {
    const { clientWidth: width, clientHeight: height } = this.plot;
    const scale = format === "png" ? PNG_SCALE : 1;
    Plotly.downloadImage(this.plot, { format, width, height, scale, filename: this.fileName });
  }
}
