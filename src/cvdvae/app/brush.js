// A brush that keys move: arrows move it, space paints there, and with Shift arrows paint along.
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// A stroke goes on to a point, unless that is nearer to its last one than a quarter of the brush.
function goOn({ size, points }, [x, y]) {
  const [x0, y0] = points.at(-1);
  if (Math.hypot(x - x0, y - y0) >= size / 2) points.push([x, y]);
}

class KeyBrush {
  constructor() {
    this.at = null; // where it is, once a key has moved it
    this.stroke = null; // what it paints along
  }

  // Whether a key is one of its own: then it moves within the picture, and paints into the strokes.
  takes(event, strokes, size, from, [width, height]) {
    const by = MOVES[event.key], press = event.key === " " || event.key === "Enter";
    if (!(by || press) || event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    const within = (at, side) => Math.round(10 * Math.min(side, Math.max(0, at))) / 10;
    const [dx, dy] = by || [0, 0], [x, y] = from;
    this.at = [within(x + (dx * size) / 2, width), within(y + (dy * size) / 2, height)];
    const goesOn = by && this.stroke && this.stroke === strokes.at(-1) && this.stroke.size === size;
    if (by && !event.shiftKey) this.stroke = null;
    else if (goesOn) this.stroke.points.push(this.at);
    else if (by || !event.repeat) strokes.push((this.stroke = { size, points: by ? [from, this.at] : [this.at] }));
    return true;
  }

  show(context, x, y, radius) {
    for (const [strokeStyle, lineWidth] of [["#000", 4], ["#fff", 2]]) {
      Object.assign(context, { strokeStyle, lineWidth });
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
