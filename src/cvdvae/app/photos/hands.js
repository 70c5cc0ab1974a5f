// Mouse, fingers, keys and buttons.

const fingers = new Map(), brush = new KeyBrush();
let stroke = null, sliding = false;

function letGo() {
  fingers.clear();
  stroke = null;
  sliding = false;
}

function listen(canvas, panel) {
  const at = (event) => {
    const place = canvas.getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top, place.width, place.height];
  };
  canvas.onwheel = (event) => {
    event.preventDefault();
    view.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event));
    moved();
  };
  canvas.ondblclick = (event) => {
    if (on("paint")) return;
    view.zoomBy(2, ...at(event));
    moved();
  };
  canvas.onpointerdown = (event) => {
    if (event.button) return; // the right one opens a menu
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    brush.at = null;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const [x, y, width] = at(event);
    if (fingers.size > 1) endStroke();
    else if (on("paint")) beginStroke(x, y, canvas);
    else sliding = on("wipe") && Math.abs(x - divide * width) < 24;
  };
  canvas.onpointermove = (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    if (!event.buttons) return canvas.onpointerup(event); // let go where this was not told
    const old = [...fingers.values()].map((p) => [...p]);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const [x, y, width, height] = at(event);
    if (fingers.size > 1) pinch(old, [...fingers.values()], canvas);
    else if (stroke) goOn(stroke, placeOf(x, y, canvas)), show();
    else if (sliding) divideAt(x / width);
    else {
      view.move((before[0] - event.clientX) / view.zoom, (before[1] - event.clientY) / view.zoom);
      moved();
    }
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    fingers.delete(event.pointerId);
    stroke = null;
    sliding = false;
  };
  canvas.onkeydown = (event) => keyed(event, canvas);
  canvas.onblur = show;
  canvas.onfocus = () => {
    if (canvas.matches(":focus-visible")) brush.at = seen();
    show();
  };
}

function pinch(old, now, canvas) {
  const spread = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
  const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const place = canvas.getBoundingClientRect(), [x0, y0] = middle(old), [x1, y1] = middle(now);
  view.move((x0 - x1) / view.zoom, (y0 - y1) / view.zoom);
  view.zoomBy(spread(now) / spread(old), x1 - place.left, y1 - place.top, place.width, place.height);
  moved();
}

function placeOf(x, y, canvas) {
  const now = box(), zoom = canvas.clientWidth / now.width;
  return [now.left + x / zoom, now.top + y / zoom].map((v) => Math.round(v * 10) / 10);
}

const wide = () => $(".size").value / view.zoom;

// Where the brush that keys move is, or else the middle, of what is visible.
function seen() {
  const { top, left, height, width } = visible(), [x, y] = brush.at || [view.x, view.y];
  const within = (at, low, side) => Math.round(10 * Math.min(low + side, Math.max(low, at))) / 10;
  return [within(x, left, width), within(y, top, height)];
}

// The view goes with the brush where that comes to the border.
function brushed() {
  held = false;
  const { top, left, height, width } = box(), [x, y] = brush.at;
  const beyond = (at, low, side) => Math.min(0, at - low) + Math.max(0, at - low - side);
  const [dx, dy] = [beyond(x, left, width), beyond(y, top, height)];
  view.move(dx, dy);
  if (dx || dy) moved();
  else show();
}

function beginStroke(x, y, canvas) {
  held = false;
  stroke = { size: wide(), points: [placeOf(x, y, canvas)] };
  scene.strokes.push(stroke);
  show();
}

// A second finger pinches: what the first has painted was none.
function endStroke() {
  if (stroke) scene.strokes.pop();
  stroke = null;
  show();
}

function divideAt(share) {
  divide = Math.min(1, Math.max(0, share));
  $(".divide input").value = Math.round(100 * divide);
  show();
}

function keyed(event, canvas) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (on("paint") && brush.takes(event, scene.strokes, wide(), seen(), [view.width, view.height])) return brushed();
  const step = 60 / view.zoom, middle = [canvas.clientWidth / 2, canvas.clientHeight / 2, canvas.clientWidth, canvas.clientHeight];
  const keys = {
    ArrowLeft: () => view.move(-step, 0), ArrowRight: () => view.move(step, 0),
    ArrowUp: () => view.move(0, -step), ArrowDown: () => view.move(0, step),
    "+": () => view.zoomBy(1.25, ...middle), "=": () => view.zoomBy(1.25, ...middle),
    "-": () => view.zoomBy(0.8, ...middle), " ": () => play(!playing),
  };
  const digit = /^[1-9]$/.test(event.key);
  if (event.key === "0") view.fit(canvas.clientWidth, canvas.clientHeight);
  else if (digit) choose(Number(event.key));
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
  if (!digit && event.key !== " ") moved();
}

function play(go) {
  stopPlaying();
  if (go && on("paint")) press("paint", false), painting(); // it varies the sample that is painted on
  press("play", go);
  $('[data-do="play"]').textContent = go ? "❚❚ Stop playing" : "▶ Play";
  if (go) playing = setInterval(() => {
    const n = scene.gallery ? scene.gallery.drawn() : 0;
    if (n > 1) choose((scene.sample + 1) % n);
  }, 450);
}

function stopPlaying() {
  clearInterval(playing);
  playing = 0;
}

function painting() {
  if ($(".brush").matches(":focus-within")) focusOn($('[data-do="paint"]'));
  $(".brush").hidden = !on("paint");
  root.classList.toggle("painting", on("paint"));
  if (on("paint")) play(false);
  brush.at = null;
  resize();
}

function save() {
  if (missing()) return say("Not all that you see is drawn: what is not would be saved as if it were.", true);
  // Whole pixels, and one zoom for both sides: from 100 % down the pixels of the sample.
  const sight = visible(), canvas = document.createElement("canvas");
  const [top, left] = [Math.floor(sight.top), Math.floor(sight.left)];
  const now = { top, left, height: Math.ceil(sight.top + sight.height) - top, width: Math.ceil(sight.left + sight.width) - left };
  canvas.width = Math.max(1, Math.round(now.width * Math.max(1, view.zoom)));
  canvas.height = Math.max(1, Math.round((now.height * canvas.width) / now.width));
  drawLayer(canvas.getContext("2d"), scene, "sample", now, canvas.width, canvas.height);
  const step = scene.step ? `-step-${scene.step + 1}` : "";
  canvas.toBlob((blob) => {
    if (!blob) return say("That is more than this browser can save at once: zoom in, or draw the whole photograph.", true);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `sample-${scene.sample}${step}-details-invented.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

const centre = () => [first().clientWidth / 2, first().clientHeight / 2, first().clientWidth, first().clientHeight];
const deeds = {
  fit: () => (view.fit(first().clientWidth, first().clientHeight), moved()),
  in: () => (view.zoomBy(1.5, ...centre()), moved()),
  out: () => (view.zoomBy(1 / 1.5, ...centre()), moved()),
  play: () => play(!playing),
  wipe: () => (press("wipe", !on("wipe")), layOut(), moved()),
  paint: () => (press("paint", !on("paint")), painting()),
  clear: () => ((scene.strokes = []), show()),
  vary: () => {
    if (!scene.strokes.length) say("Paint over what may change first.", true);
    else {
      scene.sent = [...scene.strokes];
      brush.stroke = null; // what is painted from here on is another
      trigger("vary", { key: scene.gallery.key, sample: scene.sample, strokes: scene.sent });
    }
  },
  here: () => ((pushing = true), next()),
  stop: () => {
    paused = true;
    pushing = false;
    halt();
  },
  save,
  whole: () => trigger("whole", {
    key: scene.gallery.key, sample: scene.sample, which: $(".which").value, format: $(".format").value,
  }),
};
for (const button of element.querySelectorAll("[data-do]")) {
  button.addEventListener("click", (event) => {
    held = false;
    if (event.detail > 1 && ["here", "stop"].includes(button.dataset.do)) return; // meant for the other one
    if (scene.image) deeds[button.dataset.do]();
  });
}
$(".divide input").addEventListener("input", (event) => divideAt(event.target.value / 100));
$(".auto input").addEventListener("change", () => ((held = false), next()));
$(".map").addEventListener("click", (event) => {
  const place = event.target.getBoundingClientRect();
  view.x = ((event.clientX - place.left) / place.width) * view.width;
  view.y = ((event.clientY - place.top) / place.height) * view.height;
  moved();
});
// What is newly visible, after a rotation or a change of tab, is drawn as after a movement.
new ResizeObserver(() => {
  if (!scene.image) return;
  resize();
  const size = `${first().clientWidth}×${first().clientHeight}`;
  if (size === root.dataset.size) return;
  root.dataset.size = size;
  if (first().clientWidth) root.dataset.state = "moving";
  clearTimeout(timer);
  timer = setTimeout(next, REST);
}).observe(root);
element.addEventListener("click", (event) => event.stopPropagation());
if (props.value) receive(props.value);
