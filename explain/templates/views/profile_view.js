// A bar a layer: where in depth the decision forms, or how widely each layer attends. Choosing a bar shows the layer.
/* exported ProfileView */
/* global Figure, spell */

const BAR_PX = 30;
const BARS_HEIGHT_PX = 110;

class ProfileView extends Figure {
  constructor(root, data, onchoose = () => {}) {
    super(root, data.title, data.layers.length);
    Object.assign(this, { data, onchoose });
    this.longest = Math.max(...data.layers.flat().map(Math.abs)) || 1;
    this.canvas.setAttribute("aria-label", `${data.title}; arrow keys choose a layer`);
    this.isPinned = true; // a layer is always shown: pointing changes nothing, pressing does
    this.tell();
  }

  choose(layer) {
    if (layer === null || layer === this.chosen) return;
    super.choose(layer);
    this.onchoose(layer);
  }

  onPointer(event, isPress) {
    if (isPress) this.choose(this.at(event.clientX - this.canvas.getBoundingClientRect().left));
  }

  onSide(isLeft) {
    const next = this.chosen + (isLeft ? -1 : 1);
    this.choose(Math.min(this.steps - 1, Math.max(0, next)));
  }

  at(x) {
    const layer = Math.floor(x / BAR_PX);
    return layer < this.steps ? layer : null;
  }

  size() {
    return { width: BAR_PX * this.steps, height: BARS_HEIGHT_PX };
  }

  paint(painter) {
    const { layers, names } = this.data;
    const room = BARS_HEIGHT_PX - 20;
    const isSigned = names.length > 1;
    const zero = isSigned ? room / 2 : room;
    layers.forEach((values, layer) => {
      if (layer === this.chosen) {
        painter.rect(layer * BAR_PX, 0, BAR_PX, BARS_HEIGHT_PX, this.colours.get("line"));
      }
      values.forEach((value) => {
        const height = (Math.abs(value) / this.longest) * zero;
        const colour = this.colours.get(value < 0 ? "away" : "towards");
        painter.rect(
          layer * BAR_PX + 4,
          value < 0 ? zero : zero - height,
          BAR_PX - 8,
          height,
          colour,
        );
      });
      const place = { align: "center" };
      painter.text(
        (layer + 0.5) * BAR_PX,
        BARS_HEIGHT_PX - 9,
        this.data.ticks[layer],
        this.colours.get("ink"),
        place,
      );
    });
    painter.line(0, zero, BAR_PX * this.steps, zero, this.colours.get("soft"));
  }

  named(layer) {
    const tick = this.data.ticks[layer];
    return tick === "in" ? "Before layer 0" : `Layer ${tick}`;
  }

  legend() {
    return `The longest bar is ${spell(this.longest)}.`;
  }

  say() {
    if (this.chosen === null) return "Press a bar, or use the arrow keys.";
    const values = this.data.layers[this.chosen];
    const told = this.data.names.map((name, i) => `${name} ${spell(values[i])}`);
    return `${this.named(this.chosen)}: ${told.join(", ")}`;
  }

  tableOf() {
    const rows = this.data.layers.map((values, i) => [
      this.named(i),
      ...values.map((value) => spell(value)),
    ]);
    return { caption: this.data.title, head: ["layer", ...this.data.names], rows };
  }
}
