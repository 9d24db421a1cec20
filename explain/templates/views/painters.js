// The same strokes on a canvas, or as the elements of an SVG file.
/* exported CanvasPainter, SvgPainter, Colours */

const FONT_PX = 12;
const LINE_PX = 1.5;
const FONT = `${FONT_PX}px system-ui, sans-serif`;
const SVG = "http://www.w3.org/2000/svg";

// The page's colours, which the palette made and the reader's dark or light page chooses from.
class Colours {
  constructor(element) {
    this.style = getComputedStyle(element);
  }

  get(name) {
    return this.style.getPropertyValue(`--${name}`).trim();
  }

  head(index) {
    return this.get(`head-${index % Number(this.get("head-colours"))}`);
  }

  // 256 steps from one colour to another, as [r, g, b].
  scale(low, high) {
    const [from, to] = [low, high].map((name) =>
      [1, 3, 5].map((at) => parseInt(this.get(name).slice(at, at + 2), 16)),
    );
    return Array.from({ length: 256 }, (_, step) =>
      from.map((channel, i) => Math.round(channel + ((to[i] - channel) * step) / 255)),
    );
  }
}

class CanvasPainter {
  constructor(context) {
    this.context = context;
    context.font = FONT;
    context.textBaseline = "middle";
    context.imageSmoothingEnabled = false;
    context.lineWidth = LINE_PX;
  }

  rect(x, y, width, height, colour, opacity = 1) {
    this.context.globalAlpha = opacity;
    this.context.fillStyle = colour;
    this.context.fillRect(x, y, width, height);
  }

  line(x1, y1, x2, y2, colour, opacity = 1, isDashed = false) {
    const { context } = this;
    context.globalAlpha = opacity;
    context.strokeStyle = colour;
    context.setLineDash(isDashed ? [5, 3] : []);
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
    context.stroke();
  }

  text(x, y, words, colour, { align = "left", isTurned = false } = {}) {
    const { context } = this;
    context.save();
    context.globalAlpha = 1;
    context.fillStyle = colour;
    context.textAlign = align;
    context.translate(x, y);
    if (isTurned) context.rotate(-Math.PI / 2);
    context.fillText(words, 0, 0);
    context.restore();
  }

  image(x, y, width, height, canvas) {
    this.context.globalAlpha = 1;
    this.context.drawImage(canvas, x, y, width, height);
  }
}

class SvgPainter {
  constructor(width, height) {
    // a document of its own: nobody draws it, so its images load nothing
    this.document = document.implementation.createDocument(SVG, "svg");
    this.root = this.document.documentElement;
    this.set(this.root, { width, height, viewBox: `0 0 ${width} ${height}` });
    this.set(this.root, { "font-family": "system-ui, sans-serif", "font-size": FONT_PX });
  }

  set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  }

  add(name, attributes, words = "") {
    const element = this.document.createElementNS(SVG, name);
    this.set(element, attributes);
    element.textContent = words;
    this.root.append(element);
  }

  rect(x, y, width, height, fill, opacity = 1) {
    this.add("rect", { x, y, width, height, fill, opacity });
  }

  line(x1, y1, x2, y2, stroke, opacity = 1, isDashed = false) {
    const dashes = isDashed ? { "stroke-dasharray": "5 3" } : {};
    const width = { "stroke-width": LINE_PX };
    this.add("line", { x1, y1, x2, y2, stroke, opacity, ...width, ...dashes });
  }

  text(x, y, words, fill, { align = "left", isTurned = false } = {}) {
    const anchor = { left: "start", right: "end", center: "middle" }[align];
    const turn = isTurned ? { transform: `rotate(-90 ${x} ${y})` } : {};
    const place = { x, y, fill, "text-anchor": anchor, "dominant-baseline": "central" };
    // XML has no sign for control characters
    this.add("text", { ...place, ...turn }, words.replace(/(?![\t\n\r])\p{Cc}/gu, "\ufffd"));
  }

  image(x, y, width, height, canvas) {
    const style = "image-rendering: pixelated";
    const href = canvas.toDataURL("image/png");
    this.add("image", { x, y, width, height, href, style, preserveAspectRatio: "none" });
  }

  toString() {
    return new XMLSerializer().serializeToString(this.root);
  }
}
