// A sample, and what is painted over it. Strokes are in pixels of the sample.
const canvas = element.querySelector("canvas"), context = canvas.getContext("2d");
const size = element.querySelector("input");
let picture = null, number = -1, width = 64, height = 64, strokes = [], stroke = null, held = 0;
const brush = new KeyBrush();
let untold = false; // whether keys have painted something since
const BRUSH = 64; // the slider's sizes are for pictures of so many pixels a side

function paint() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const layer = new OffscreenCanvas(canvas.width, canvas.height), pen = layer.getContext("2d");
  pen.strokeStyle = "#ff2d78";
  pen.lineCap = pen.lineJoin = "round";
  const zoom = canvas.width / width;
  for (const { size, points } of strokes) {
    pen.lineWidth = 2 * size * zoom;
    pen.beginPath();
    points.forEach(([x, y], i) => pen[i ? "lineTo" : "moveTo"](x * zoom, y * zoom));
    if (points.length === 1) pen.lineTo(points[0][0] * zoom + 0.01, points[0][1] * zoom);
    pen.stroke();
  }
  context.globalAlpha = 0.5;
  context.drawImage(layer, 0, 0);
  context.globalAlpha = 1;
  if (!picture || !brush.at || !canvas.matches(":focus")) return;
  brush.show(context, brush.at[0] * zoom, brush.at[1] * zoom, wide() * zoom);
}

const middle = () => [width / 2, height / 2];
const wide = () => Math.max(0.5, (Number(size.value) * Math.max(width, height)) / BRUSH); // a pixel, at the least
function tell() {
  untold = false;
  trigger("paint", { number, strokes });
}

function placeOf(event) {
  const place = canvas.getBoundingClientRect();
  const x = ((event.clientX - place.left) / place.width) * width;
  const y = ((event.clientY - place.top) / place.height) * height;
  return [x, y].map((v) => Math.round(10 * v) / 10);
}

canvas.onpointerdown = (event) => {
  if (!picture || stroke || event.button) return; // a second finger paints nothing, nor the right button
  canvas.setPointerCapture(event.pointerId);
  brush.at = null;
  held = event.pointerId;
  stroke = { size: wide(), points: [placeOf(event)] };
  strokes.push(stroke);
  paint();
};
canvas.onpointermove = (event) => {
  if (!stroke || event.pointerId !== held) return;
  goOn(stroke, placeOf(event));
  paint();
};
canvas.onpointerup = canvas.onpointercancel = canvas.onlostpointercapture = (event) => {
  if (!stroke || event.pointerId !== held) return;
  tell();
  stroke = null;
};

// What keys paint is told when they are let go.
canvas.onkeydown = (event) => {
  const before = strokes.length;
  if (!picture || !brush.takes(event, strokes, wide(), brush.at || middle(), [width, height])) return;
  untold ||= event.shiftKey || strokes.length > before;
  paint();
};
canvas.onkeyup = () => untold && tell();
canvas.onblur = () => {
  if (untold) tell();
  paint();
};
canvas.onfocus = () => {
  if (canvas.matches(":focus-visible")) brush.at ||= middle();
  paint();
};

element.querySelector("button").onclick = () => {
  strokes = [];
  stroke = null;
  paint();
  tell();
};

let shows = 0;
async function show() {
  const turn = ++shows, { picture: source, ...about } = props.value || {};
  const next = source ? new Image() : null;
  if (next) {
    next.src = source;
    await next.decode();
    if (turn !== shows) return; // another came meanwhile
    ({ number, width, height } = about);
    [canvas.width, canvas.height] = [next.naturalWidth, next.naturalHeight];
  }
  picture = next;
  strokes = [];
  stroke = brush.at = null;
  untold = false;
  paint();
}
watch("value", show);
show();
