// The viewer: what is shown, what is asked of the server, and what the buttons do.

const LAYERS = {
  input: ["Your photograph", "its pixels: all that is known"],
  bicubic: ["Smoothed (bicubic)", "nothing is added"],
  sample: ["Sample"], // its note changes with it
  mean: ["Mean of the samples", "what they share: the safest answer"],
  map: ["Where they differ", `standard deviation, bright from ${FULL} of 255 on`],
  truth: ["The original", "before it was shrunk: unseen by the model"],
};
const REST = 500; // milliseconds without a movement after which is drawn what is visible
const MOST = 1.2e6; // pixels of the large image up to which it is drawn without being asked

const $ = (selector) => element.querySelector(selector);
const view = new View();
const scene = { image: null, gallery: null, galleries: [], step: 0, sample: 0, strokes: [], sent: [] };
let panels = [], layers = {}, film = [], divide = 0.5, request = null, asked = 0, timer = 0, playing = 0;
let paused = false, pushing = false, rate = 0, chain = Promise.resolve(), frame = 0;
let held = false, given = 0;

const root = $(".viewer");
const on = (name) => $(`[data-do="${name}"]`).getAttribute("aria-pressed") === "true";
const press = (name, pressed) => $(`[data-do="${name}"]`).setAttribute("aria-pressed", String(pressed));

// Whether nothing is to move by itself.
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// What went wrong stays until the next act: what is drawn meanwhile has less to say.
function say(text, wrong = false) {
  if (held && !wrong) return;
  held = wrong;
  $(".said").textContent = text;
  $(".work").classList.toggle("wrong", wrong);
}

// The focus: what is taken away or hidden would lose it.

function focusOn(target) {
  target.focus({ preventScroll: true });
}

// Other buttons in the place of those of a box.
function refill(box, buttons, chosen) {
  const focused = box.matches(":focus-within");
  box.replaceChildren(...buttons);
  if (focused && buttons.length) focusOn(buttons[chosen]);
}

// Of two buttons the one of this name, or none: what comes takes the focus of what goes.
function offer(name) {
  const buttons = ["stop", "here"].map((one) => $(`[data-do="${one}"]`));
  const focused = buttons.some((button) => button.matches(":focus"));
  for (const button of buttons) button.hidden = button.dataset.do !== name;
  if (focused) focusOn(buttons.find((button) => !button.hidden) || first());
}

// Panels.

function captioned(panel) {
  const [name, note] = LAYERS[panel.layer], n = scene.gallery ? scene.gallery.drawn() : 0;
  const told = scene.gallery && scene.gallery.exploded().has(scene.sample) ? "exploded, and no answer" : "details are invented";
  if (panel.layer === "sample") panel.note.textContent = n ? `${scene.sample} of 0–${n - 1}: ${told}` : "none is drawn yet";
  const varied = Boolean(scene.gallery && scene.gallery.seen);
  if (varied && panel.layer === "mean") panel.note.textContent = "of those that were varied";
  else if (panel.layer !== "sample") panel.note.textContent = note;
  panel.heat.firstChild.textContent = varied ? "kept" : "known";
  panel.heat.lastChild.textContent = `invented: ${FULL}+ of 255`;
  const compared = panel.layer === "map" && scene.gallery && scene.gallery.patches.some((one) => one.pictures.map);
  if (panel.layer === "map" && !compared) panel.note.textContent = n ? "nothing to compare yet" : "none is drawn yet";
  panel.heat.hidden = !compared;
  panel.note.hidden = compared;
  panel.note.title = panel.note.textContent;
  const keys = on("paint") ? "Arrow keys move the brush, space paints there, Shift and arrow keys paint along" : "Arrow keys move";
  panel.canvas.setAttribute("aria-label", `${name}: ${panel.note.textContent}. ${keys}, + and − zoom.`);
}

function makePanel(layer) {
  const figure = document.createElement("figure");
  figure.innerHTML = '<figcaption><select></select><span></span><div class="heat"><em>known</em>0<i></i><b></b></div></figcaption><canvas tabindex="0" role="application"></canvas>';
  const panel = {
    figure, layer, canvas: figure.querySelector("canvas"), select: figure.querySelector("select"),
    note: figure.querySelector("span"), heat: figure.querySelector(".heat"),
  };
  panel.heat.title = `standard deviation of the samples, from 0 to ${FULL} of 255 or more`;
  panel.select.setAttribute("aria-label", "What is shown here");
  for (const [key, [name]] of Object.entries(LAYERS)) {
    if (key !== "truth" || scene.image.truth) panel.select.add(new Option(name, key));
  }
  panel.select.value = layer;
  panel.select.onchange = () => {
    panel.layer = panel.select.value;
    show();
  };
  listen(panel.canvas, panel);
  return panel;
}

function layOut() {
  letGo(); // what is down on a panel that goes is not lifted there
  const wiping = on("wipe"), box = $(".panels");
  const usual = wiping ? ["input", "sample"] : ["input", "sample", scene.image.truth ? "truth" : "mean", "map"];
  layers[panels.length] = panels.map((panel) => panel.layer);
  const before = layers[usual.length] || usual;
  panels = before.map((layer, i) => makePanel(layer === "truth" && !scene.image.truth ? usual[i] : layer));
  box.replaceChildren(...panels.map((panel) => panel.figure));
  box.classList.toggle("one", wiping);
  root.classList.toggle("wiping", wiping);
  $(".divide").hidden = !wiping;
  if (wiping) panels[1].figure.querySelector("figcaption").before(panels[0].figure.querySelector("figcaption"));
  if (wiping) panels[0].figure.hidden = true;
  resize();
}

function resize() {
  const wiping = on("wipe"), wide = $(".panels").clientWidth || 600, one = wiping ? wide : (wide - 8) / 2;
  const room = wiping ? window.innerHeight - 380 : (window.innerHeight - 420) / 2;
  element.style.setProperty("--tall", `${Math.round(Math.min(one * 0.75, Math.max(180, room)))}px`);
  show();
}

const first = () => panels[on("wipe") ? 1 : 0].canvas;
const box = () => view.windowIn(first().clientWidth, first().clientHeight);

function prepared(canvas, width, height) {
  const dpr = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  const { top, left, height: tall, width: wide } = box();
  canvas.dataset.window = [top, left, tall, wide].map((v) => v.toFixed(2)).join(",");
  return [context, w, h];
}

function show() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(paint);
}

function paint() {
  if (!scene.image || !first().clientWidth) return;
  const now = box();
  panels.forEach(captioned);
  if (on("wipe")) wipe(now);
  else for (const panel of panels) {
    const [context, w, h] = prepared(panel.canvas, panel.canvas.clientWidth, panel.canvas.clientHeight);
    drawLayer(context, scene, panel.layer, now, w, h);
    strokesIn(context, w / now.width, now);
  }
  const bad = scene.gallery.exploded();
  film.forEach(({ button, canvas, name }, i) => {
    name.textContent = `${i}${bad.has(i) ? " · exploded" : ""}`;
    button.setAttribute("aria-label", `Sample ${i}: ${bad.has(i) ? "exploded, and no answer" : "plausible, not true"}`);
    const [context, w, h] = prepared(canvas, 112, Math.round((112 * now.height) / now.width));
    drawLayer(context, { ...scene, sample: i }, "sample", now, w, h);
    button.setAttribute("aria-pressed", String(i === scene.sample));
  });
  overview(now);
  $(".zoom").textContent = `${Math.round(100 * view.zoom)} %`;
  $(".chosen").textContent = scene.sample;
  $(".legend.whole").hidden = Boolean(scene.gallery.seen);
  $(".legend.varied").hidden = !scene.gallery.seen;
}

function wipe(now) {
  const canvas = panels[1].canvas;
  const [context, w, h] = prepared(canvas, canvas.clientWidth, canvas.clientHeight);
  const edge = Math.round(divide * w);
  for (const [panel, from, to] of [[panels[0], 0, edge], [panels[1], edge, w]]) {
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, h);
    context.clip();
    drawLayer(context, scene, panel.layer, now, w, h);
    context.restore();
  }
  context.fillStyle = "#fff";
  context.fillRect(edge - 1, 0, 2, h);
  strokesIn(context, w / now.width, now);
}

function strokesIn(context, zoom, now) {
  context.save();
  context.globalAlpha = 0.45;
  context.strokeStyle = context.fillStyle = "#ff2d78";
  context.lineCap = context.lineJoin = "round";
  for (const { size, points } of scene.strokes) {
    context.lineWidth = 2 * size * zoom;
    context.beginPath();
    points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"]((x - now.left) * zoom, (y - now.top) * zoom));
    if (points.length === 1) context.lineTo((points[0][0] - now.left) * zoom + 0.01, (points[0][1] - now.top) * zoom);
    context.stroke();
  }
  if (brush.at && on("paint") && panels.some(({ canvas }) => canvas.matches(":focus"))) {
    context.globalAlpha = 1;
    brush.show(context, (brush.at[0] - now.left) * zoom, (brush.at[1] - now.top) * zoom, wide() * zoom);
  }
  if (scene.gallery.seen && !scene.strokes.length) {
    const [top, left, height, width] = scene.gallery.seen;
    context.globalAlpha = 0.9;
    context.setLineDash([6, 4]);
    context.lineWidth = 1.5;
    context.strokeRect((left - now.left) * zoom, (top - now.top) * zoom, width * zoom, height * zoom);
  }
  context.restore();
}

function overview(now) {
  const canvas = $(".map"), { image, gallery } = scene, dpr = window.devicePixelRatio || 1;
  const side = 112 / Math.max(image.width, image.height), scale = (side * dpr) / image.scale;
  canvas.width = Math.max(1, Math.round(image.width * side * dpr));
  canvas.height = Math.max(1, Math.round(image.height * side * dpr));
  canvas.style.width = `${canvas.width / dpr}px`;
  const context = canvas.getContext("2d");
  context.globalAlpha = 0.5;
  context.drawImage(image.picture, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = 1;
  for (const { top, left, height, width } of gallery.patches) {
    const [x, y, w, h] = [left, top, width, height].map((v) => v / image.scale);
    context.drawImage(image.picture, x, y, w, h, left * scale, top * scale, width * scale, height * scale);
  }
  context.strokeStyle = "#ff2d78";
  context.lineWidth = 1.5 * dpr;
  context.strokeRect(now.left * scale, now.top * scale, now.width * scale, now.height * scale);
}

function makeFilm() {
  film = Array.from({ length: scene.gallery.wanted }, (_, i) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.title = i > 0 && i < 10 ? `Sample ${i} (press ${i})` : `Sample ${i}`; // 0 shows the whole
    const name = document.createElement("small");
    canvas.style.width = "112px";
    button.append(canvas, name);
    button.onclick = () => choose(i);
    return { button, canvas, name };
  });
  refill($(".film"), film.map(({ button }) => button), scene.sample);
}

function choose(sample) {
  scene.sample = Math.max(0, Math.min(scene.gallery.wanted - 1, sample));
  root.dataset.sample = scene.sample;
  show();
}

// What is asked of the server: one window at a time.

function visible() {
  const { top, left, height, width } = box();
  const [y0, x0] = [Math.max(0, top), Math.max(0, left)];
  const [y1, x1] = [Math.min(view.height, top + height), Math.min(view.width, left + width)];
  return { top: y0, left: x0, height: Math.max(0, y1 - y0), width: Math.max(0, x1 - x0) };
}

// The next window to draw: the cells that are missing around the one nearest to the centre.
function missing() {
  const { top, left, height, width } = visible(), { cell: side } = scene.image;
  if (!height || !width) return null;
  const [r0, c0] = [Math.floor(top / side), Math.floor(left / side)];
  const [r1, c1] = [Math.ceil((top + height) / side), Math.ceil((left + width) / side)];
  const cells = [];
  for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) if (!scene.gallery.covered(r * side, c * side)) cells.push([r, c]);
  if (!cells.length) return null;
  const off = ([r, c]) => Math.hypot((r + 0.5) * side - view.y, (c + 0.5) * side - view.x);
  const [row, column] = cells.reduce((best, cell) => (off(cell) < off(best) ? cell : best));
  const reach = Math.floor(Math.sqrt(scene.image.most) / side);
  const span = (at, low, high) => {
    const start = Math.max(low, Math.min(at - Math.floor(reach / 2), high - reach));
    return [start, Math.min(high, start + reach)];
  };
  const [rows, columns] = [span(row, r0, r1), span(column, c0, c1)];
  const near = cells.filter(([r, c]) => r >= rows[0] && r < rows[1] && c >= columns[0] && c < columns[1]);
  const [rs, cs] = [near.map(([r]) => r), near.map(([, c]) => c)];
  const [t, l] = [Math.min(...rs) * side, Math.min(...cs) * side];
  const [b, e] = [Math.min(view.height, (Math.max(...rs) + 1) * side), Math.min(view.width, (Math.max(...cs) + 1) * side)];
  return [t, l, b - t, e - l];
}

// The state: empty, moving until the view has rested, then drawing, and ready where nothing more is drawn.

function moved() {
  held = false;
  if (scene.image) root.dataset.state = "moving";
  show();
  clearTimeout(timer);
  pushing = paused = false;
  timer = setTimeout(next, REST);
}

function seconds(pixels) {
  const time = Math.max(1, Math.round(rate * pixels * scene.gallery.wanted));
  return rate ? ` (about ${time < 90 ? `${time} s` : `${Math.round(time / 60)} min`})` : "";
}

function next() {
  clearTimeout(timer);
  if (!scene.image || !first().clientWidth) return; // in another tab nothing is visible
  const wanted = missing(), { height, width } = visible();
  if (request) {
    const [t, l, h, w] = request.window;
    const away = t > view.y + height || t + h < view.y - height || l > view.x + width || l + w < view.x - width;
    root.dataset.state = "drawing";
    if (request.step !== scene.step || away) halt();
    return;
  }
  const automatic = $(".auto input").checked && height * width <= MOST && !paused;
  const much = Boolean(wanted) && height * width * (scene.gallery.wanted + (scene.image.truth ? 4 : 3)) > KEPT;
  const asking = Boolean(wanted) && !much && !automatic && !pushing;
  if (!wanted || much || asking) working(false, asking);
  if (much) say("Not all that you see is drawn, and it is more than a browser keeps: zoom in, or draw the whole photograph.");
  else if (asking) say(`Not all that you see is drawn: zoom in, or draw it${seconds(height * width)}.`);
  else if (!wanted) finished();
  else ask(wanted);
}

function finished() {
  const done = scene.gallery.patches.filter((patch) => patch.done), off = done.filter((patch) => !patch.exact);
  const bad = scene.gallery.exploded().size;
  const lost = bad ? ` ${bad} exploded and ${bad === 1 ? "is" : "are"} no answer: lower the temperature.` : "";
  if (scene.image.consistent && !off.length) say(`Drawn. Every sample, shrunk again, gives your photograph back in every pixel of what you see.${lost}`);
  else if (scene.image.consistent) say(`Drawn. No image shrinks to this exactly, as where a photograph was sharpened or compressed: the samples come near to it. ${scene.image.explained ? `The tab ${scene.image.restore} (Shrunk, damaged already)` : "The command cvdvae upscale --noise 0.01"} explains it within its noise.${lost}`);
  else say(`Drawn as the model gives them: shrunk again, they are not exactly your photograph.${lost}`);
}

function ask(window) {
  request = { id: ++asked, step: scene.step, window, patch: scene.gallery.begin(window, visible(), scene.galleries), begun: performance.now(), got: 0 };
  request.gallery = scene.gallery;
  say("Drawing what you see …");
  working(true);
  trigger("ask", { request: request.id, step: scene.step, window });
}

function working(busy, asking = false) {
  offer(busy ? "stop" : asking ? "here" : "");
  $("progress").hidden = !busy;
  root.dataset.state = busy ? "drawing" : "ready";
}

function halt() {
  if (!request) return;
  trigger("halt", {});
  given += 1;
  if (!request.patch.done) request.gallery.drop(request.patch);
  request = null;
  working(false, paused);
  root.dataset.state = "moving";
  clearTimeout(timer);
  timer = setTimeout(next, REST);
  show();
}

async function received(part) {
  if (!request || part.request !== request.id) return;
  const { patch, gallery } = request, mine = request;
  if (part.error) {
    gallery.drop(patch);
    request = null;
    working(false);
    paused = true;
    say(part.error, true);
    return;
  }
  given = 0;
  for (const name of ["bicubic", "truth"]) if (part[name] && !patch.pictures[name]) await patch.add(name, part[name]);
  while (patch.samples.length < part.samples.length) {
    const i = patch.samples.length;
    await patch.addSample(part.samples[i], part.exploded[i]);
  }
  $("progress").value = part.samples.length / gallery.wanted;
  say(`Drawing what you see: ${part.samples.length} of ${gallery.wanted} samples …`);
  root.dataset.drawn = gallery.drawn();
  show();
  if (!part.done || request !== mine) return;
  patch.end(part.exact);
  rate = (performance.now() - mine.begun) / 1000 / (patch.width * patch.height * gallery.wanted);
  request = null;
  if (first().clientWidth) next();
  else working(false); // in another tab
}

// It was never begun to be drawn. What was halted is lost, too, and may be told of only now, while
// another is asked for.
function lost(text) {
  if (given) given -= 1;
  else if (request && !request.patch.samples.length) {
    received({ request: request.id, error: text });
    next();
  }
}

// What comes from the server.

async function opened(image) {
  held = false;
  const other = !scene.image || scene.image.id !== image.id, same = !other && scene.image.scale === image.scale;
  const picture = new Image();
  picture.src = image.png;
  await picture.decode();
  if (request) halt();
  Object.assign(scene, { image: { ...image, picture }, galleries: image.steps.map((s) => new Gallery(s)), strokes: [] });
  scene.step = image.step;
  scene.gallery = scene.galleries[scene.step];
  scene.sample = 0;
  Object.assign(view, { width: image.width * image.scale, height: image.height * image.scale });
  working(false);
  paused = pushing = false;
  if (other) [panels, layers] = [[], {}];
  if (!panels.length || !same) layOut();
  makeFilm();
  listSteps();
  resize();
  if (!same) view.goTo(...image.focus, image.zoom, first().clientWidth, first().clientHeight);
  if (!same && root.getBoundingClientRect().top > 0.6 * window.innerHeight) root.scrollIntoView({ behavior: still() ? "auto" : "smooth" });
  moved();
}

function closed(text) {
  held = false;
  if (request) halt();
  play(false);
  $('[data-do="here"]').hidden = true;
  scene.image = null;
  root.dataset.state = "empty";
  say(text || "Your photograph comes first: choose an example, or upload one.", Boolean(text));
}

function stepTo(step) {
  if (scene.gallery === scene.galleries[step]) return;
  scene.step = step;
  scene.gallery = scene.galleries[step];
  scene.strokes = [];
  choose(Math.min(scene.sample, scene.gallery.wanted - 1));
  makeFilm();
  listSteps();
  moved();
}

function branched(steps) {
  scene.galleries = steps.map((step, i) => (i < steps.length - 1 ? scene.galleries[i] : new Gallery(step)));
  const later = scene.strokes.filter((one) => !scene.sent.includes(one)); // painted while it was drawn
  stepTo(steps.length - 1);
  scene.strokes = later;
  if (later.length) return;
  press("paint", false);
  painting();
  if (!still()) play(true);
}

function listSteps() {
  const buttons = scene.galleries.map((gallery, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = gallery.label;
    button.setAttribute("aria-pressed", String(i === scene.step));
    button.onclick = () => stepTo(i);
    return button;
  });
  refill($(".steps"), buttons.length > 1 ? buttons : [], scene.step);
}

function receive(value) {
  if (!value || !value.kind) return;
  const handle = { image: opened, part: received, none: (v) => closed(v.text), steps: (v) => branched(v.steps), lost: (v) => lost(v.text), wrong: (v) => say(v.text, true) }[value.kind];
  const copy = JSON.parse(JSON.stringify(value));
  chain = chain.then(() => handle(copy)).catch((error) => say(`That did not work: ${error.message}.`, true));
}

watch("value", () => receive(props.value));
