// A picture with its controls, its keys, the table behind it, and its files. Views say what is painted.
/* exported Figure, element, choice, tick, thumbnail, shorten */
/* global CanvasPainter, SvgPainter, Colours */

const PNG_SCALE = 2;
const LONGEST_PNG = 16000; // pixels a side that every browser's canvas holds
const LONGEST_LABEL = 20; // characters

// Text goes in as text and attributes as attributes: nothing is ever read as markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function choice(label, options, chosen, onchange) {
  const select = element("select", { onchange: () => onchange(select.value) });
  for (const [value, words] of options) select.append(element("option", { value }, words));
  select.value = chosen;
  return element("label", {}, `${label} `, select);
}

function tick(label, checked, onchange) {
  const box = element("input", { type: "checkbox", onchange: () => onchange(box.checked) });
  box.checked = checked;
  return element("label", {}, box, ` ${label}`);
}

function shorten(token) {
  const characters = [...token];
  return characters.length > LONGEST_LABEL
    ? `${characters.slice(0, LONGEST_LABEL - 1).join("")}…`
    : token;
}

// A matrix of weights as a canvas: a cell is a pixel, or a pixel the largest of its cells; `full` has the last shade.
function thumbnail(matrix, size, full, shades, pixels = size) {
  const side = Math.min(size, pixels);
  const most = new Float32Array(side * side);
  for (let i = 0; i < matrix.length; i++) {
    if (matrix[i] === 0) continue;
    const row = Math.floor((Math.floor(i / size) * side) / size);
    const at = row * side + Math.floor(((i % size) * side) / size);
    if (matrix[i] > most[at]) most[at] = matrix[i];
  }
  const image = new ImageData(side, side);
  most.forEach((value, i) => {
    const [red, green, blue] = shades[full ? Math.round(255 * Math.min(1, value / full)) : 0];
    image.data[4 * i] = red;
    image.data[4 * i + 1] = green;
    image.data[4 * i + 2] = blue;
    image.data[4 * i + 3] = 255;
  });
  const canvas = element("canvas", { width: side, height: side });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

class Figure {
  // `name` is told to screen readers and names the files; `steps` are what the arrow keys go through.
  constructor(root, name, steps) {
    Object.assign(this, { root, name, steps, chosen: null, isPinned: false, isDue: false });
    this.controls = element("div", { class: "controls" });
    this.canvas = this.surface("canvas", {
      onpointermove: (event) => this.onPointer(event, false),
      onpointerdown: (event) => this.onPointer(event, true),
      onpointerleave: () => !this.isPinned && this.choose(null),
    });
    this.spacer = element("div");
    const onscroll = () => this.redraw();
    this.stage = element("div", { class: "stage", onscroll }, this.canvas, this.spacer);
    this.status = element("p", { class: "status" });
    this.scale = element("p", { class: "note" });
    this.table = element("div", { class: "table", hidden: true });
    const behind = { type: "button", "aria-expanded": "false", onclick: () => this.toggleTable() };
    this.toggle = element("button", behind, "Table");
    const png = { type: "button", onclick: () => this.savePng() };
    const svg = { type: "button", onclick: () => this.saveSvg() };
    const saves = [element("button", png, "Save PNG"), element("button", svg, "Save SVG")];
    const files = element("div", { class: "controls files" }, this.toggle, ...saves);
    root.append(this.controls, this.stage, this.status, this.scale, files, this.table);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    new ResizeObserver(() => this.redraw()).observe(this.stage);
  }

  // What has the picture on it and takes the keys.
  surface(tag, attributes = {}) {
    return element(tag, {
      tabindex: 0,
      role: "slider",
      "aria-label": `${this.name}; arrow keys choose a ${this.step}, Escape lets it go`,
      "aria-valuemin": 0,
      "aria-valuemax": Math.max(0, this.steps - 1),
      onkeydown: (event) => this.onKey(event),
      ...attributes,
    });
  }

  // What the arrow keys go through.
  get step() {
    return "token";
  }

  // What a view says: its size, its strokes from one height to another, its table, its words, its scale, what lies
  // at a point.
  size() {
    return { width: 0, height: 0 };
  }
  paint() {}
  tableOf() {
    return { caption: "", head: [], rows: [] };
  }
  say() {
    return "";
  }
  legend() {
    return "";
  }
  at() {
    return null;
  }
  heightOf() {
    return 0;
  } // of a chosen step, to scroll there
  onSide() {} // the arrow keys to the left and right

  choose(step) {
    if (step === this.chosen) return;
    this.chosen = step;
    this.tell();
  }

  // Say and show what has changed.
  tell() {
    const words = this.say();
    this.status.textContent = words;
    this.scale.textContent = this.legend();
    this.canvas.setAttribute("aria-valuenow", this.chosen ?? 0);
    this.canvas.setAttribute("aria-valuetext", words);
    if (!this.table.hidden) this.fillTable();
    this.redraw();
  }

  onPointer(event, isPress) {
    if (this.isPinned && !isPress) return;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const found = this.at(x, event.clientY - box.top + this.stage.scrollTop);
    if (isPress) this.isPinned = found !== null && !(this.isPinned && found === this.chosen);
    this.choose(found);
  }

  onKey(event) {
    const jumps = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 };
    const ends = { Home: 0, End: this.steps - 1 };
    const { key } = event;
    if (key in jumps || key in ends) {
      const next = this.chosen === null ? 0 : this.chosen + (jumps[key] ?? 0);
      this.isPinned = true;
      this.choose(ends[key] ?? Math.min(this.steps - 1, Math.max(0, next)));
      this.scrollTo(this.heightOf(this.chosen));
    } else if (key === "ArrowLeft" || key === "ArrowRight") {
      this.onSide(key === "ArrowLeft");
    } else if (key === "Enter") {
      this.toggleTable();
    } else if (key === "Escape" && this.chosen !== null) {
      this.isPinned = false;
      this.choose(null);
      event.stopPropagation();
    } else return;
    event.preventDefault();
  }

  scrollTo(height) {
    const { scrollTop, clientHeight } = this.stage;
    const margin = 40;
    if (height < scrollTop + margin) this.stage.scrollTop = height - margin;
    else if (height > scrollTop + clientHeight - margin) {
      this.stage.scrollTop = height - clientHeight + margin;
    }
  }

  // All that is seen, in the page's new colours.
  repaint() {
    this.redraw();
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  // Only what the stage shows is painted; the canvas stays in view while the spacer scrolls.
  draw() {
    const { width, height } = this.size();
    const shown = Math.min(height, Math.max(120, Math.round(0.7 * innerHeight)));
    this.stage.style.height = `${shown}px`;
    this.spacer.style.height = `${height - shown}px`;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${shown}px`;
    this.canvas.width = width * devicePixelRatio;
    this.canvas.height = shown * devicePixelRatio;
    const context = this.canvas.getContext("2d");
    const top = this.stage.scrollTop;
    context.scale(devicePixelRatio, devicePixelRatio);
    context.translate(0, -top);
    this.colours = new Colours(this.root);
    this.paint(new CanvasPainter(context), top, top + shown);
  }

  toggleTable() {
    this.table.hidden = !this.table.hidden;
    this.toggle.setAttribute("aria-expanded", String(!this.table.hidden));
    if (!this.table.hidden) this.fillTable();
  }

  fillTable() {
    const { caption, head, rows } = this.tableOf();
    const top = element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)));
    const body = rows.map(([first, ...cells]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, first),
        ...cells.map((cell) => element("td", {}, cell)),
      ),
    );
    const made = element("table", {}, element("caption", {}, caption), element("thead", {}, top));
    made.append(element("tbody", {}, ...body));
    this.table.replaceChildren(made);
  }

  get fileName() {
    return this.name.toLowerCase().replace(/[^a-z0-9]+/g, "_");
  }

  whole(painter) {
    const { width, height } = this.size();
    this.colours = new Colours(this.root);
    painter.rect(0, 0, width, height, this.colours.get("card"));
    this.paint(painter, 0, height);
    return painter;
  }

  saveSvg() {
    const { width, height } = this.size();
    const text = this.whole(new SvgPainter(width, height)).toString();
    this.save(new Blob([text], { type: "image/svg+xml" }), "svg");
  }

  savePng() {
    const { width, height } = this.size();
    const scale = Math.min(PNG_SCALE, LONGEST_PNG / Math.max(width, height));
    const canvas = element("canvas", { width: width * scale, height: height * scale });
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    this.whole(new CanvasPainter(context));
    canvas.toBlob((blob) => this.save(blob, "png"));
  }

  save(blob, ending) {
    const href = URL.createObjectURL(blob);
    element("a", { href, download: `${this.fileName}.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  }
}
