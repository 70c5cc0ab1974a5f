// Pictures of windows of the photograph, as they come from the server. Of each patch: the samples,
// and what follows from them, the mean and the map of where they differ.

// The standard deviation, in levels of 255, that the map shows as its brightest: less than in the maps
// of `pictures.py`, as no face and no hole is to be guessed here, where all would be bright.
const FULL = 24;
const HEAT = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
const KEPT = 16e6; // pixels of all samples together that the browser keeps

function bytesOf(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// RGB rows, packed as differences to the row above.
async function unpack(text, width, height) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const rgb = new Uint8Array(await new Response(stream).arrayBuffer());
  if (rgb.length !== 3 * width * height) throw new Error("a picture is damaged");
  for (let i = 3 * width; i < rgb.length; i++) rgb[i] += rgb[i - 3 * width];
  return rgb;
}

function canvasOf(rgb, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) {
    image.data[j] = rgb[i];
    image.data[j + 1] = rgb[i + 1];
    image.data[j + 2] = rgb[i + 2];
    image.data[j + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function heatOf(share, rgb, at) {
  const place = Math.min(1, share) * (HEAT.length - 1), below = Math.min(HEAT.length - 2, Math.floor(place));
  for (let c = 0; c < 3; c++) {
    rgb[at + c] = Math.round(HEAT[below][c] * (1 - place + below) + HEAT[below + 1][c] * (place - below));
  }
}

// Means of up to five neighbours, along rows (step 1) or columns (step = width).
function blurred(values, width, step) {
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    let sum = 0, count = 0;
    for (let k = -2; k <= 2; k++) {
      const j = i + k * step;
      const inside = step === 1 ? Math.floor(i / width) === Math.floor(j / width) : j >= 0 && j < values.length;
      if (!inside) continue;
      sum += values[j];
      count += 1;
    }
    result[i] = sum / count;
  }
  return result;
}

class Patch {
  constructor([top, left, height, width], pairs) {
    Object.assign(this, { top, left, height, width, pairs, pictures: {}, samples: [], exploded: [], done: false });
    this.sum = new Float32Array(3 * height * width);
    this.squares = new Float32Array(3 * height * width);
    this.counted = 0;
    this.alone = 0;  // of those counted, how many have no partner that drew the opposite
    this.first = false;  // whether the first of the present pair was counted
  }

  async add(name, text) {
    this.pictures[name] = canvasOf(await unpack(text, this.width, this.height), this.width, this.height);
  }

  async addSample(text, exploded) {
    const rgb = await unpack(text, this.width, this.height);
    this.samples.push(canvasOf(rgb, this.width, this.height));
    if (this.samples.length % 2 === 1) this.first = !exploded;
    if (exploded) return void this.exploded.push(this.samples.length - 1);
    this.counted += 1;
    const second = this.pairs && this.samples.length % 2 === 0;
    this.alone += second && this.first ? -1 : 1;
    for (let i = 0; i < rgb.length; i++) {
      this.sum[i] += rgb[i];
      this.squares[i] += rgb[i] * rgb[i];
    }
    this.summarize();
  }

  summarize() {
    const n = this.counted, mean = new Uint8Array(this.sum.length), heat = new Uint8Array(this.sum.length);
    const variance = new Float32Array(this.width * this.height);
    for (let i = 0; i < mean.length; i++) {
      mean[i] = Math.round(this.sum[i] / n);
      const squared = Math.max(0, this.squares[i] - this.sum[i] * this.sum[i] / n);
      variance[Math.floor(i / 3)] += squared / (n > 1 ? n - this.alone / n : 1) / 3;
    }
    // Few samples tell little of a single pixel: its neighbours are heard, too.
    const near = blurred(blurred(variance, this.width, 1), this.width, this.width);
    near.forEach((value, i) => heatOf(Math.sqrt(value) / FULL, heat, 3 * i));
    this.pictures.mean = canvasOf(mean, this.width, this.height);
    if (n > 1) this.pictures.map = canvasOf(heat, this.width, this.height); // of one it would say: all known
  }

  // Nothing where it is not drawn yet: another sample would pass for this one.
  picture(layer, sample) {
    return layer === "sample" ? this.samples[sample] : this.pictures[layer];
  }

  holds(top, left) {
    return top >= this.top && left >= this.left && top < this.top + this.height && left < this.left + this.width;
  }

  meets({ top, left, height, width }) {
    return top < this.top + this.height && top + height > this.top && left < this.left + this.width && left + width > this.left;
  }

  // All its samples are there: what was summed of them is needed no more.
  end(exact) {
    Object.assign(this, { done: true, exact, sum: null, squares: null });
  }

  get weight() {
    const sums = this.sum ? 6 : 0; // of three numbers of four bytes each
    return this.width * this.height * (this.samples.length + Object.keys(this.pictures).length + sums);
  }
}

class Gallery {
  constructor({ label, samples, seen, pairs, key }) {
    Object.assign(this, { label, wanted: samples, seen, pairs, key, patches: [] });
  }

  // A patch that is about to be drawn; for it, those of other galleries and then the oldest that are
  // out of sight make room.
  begin(window, visible, galleries = [this]) {
    const others = galleries.filter((gallery) => gallery !== this);
    let held = [this, ...others].reduce((sum, gallery) => sum + gallery.weight, 0);
    for (const gallery of [...others, this]) {
      for (const patch of gallery.patches.filter((one) => gallery !== this || !one.meets(visible))) {
        if (held <= KEPT) return this.added(window);
        held -= patch.weight;
        gallery.drop(patch);
      }
    }
    return this.added(window);
  }

  added(window) {
    const patch = new Patch(window, this.pairs);
    this.patches.push(patch);
    return patch;
  }

  get weight() {
    return this.patches.reduce((sum, one) => sum + one.weight, 0);
  }

  drop(patch) {
    this.patches = this.patches.filter((one) => one !== patch);
  }

  // Whether a cell, one of those that cover the photograph, is drawn.
  covered(top, left) {
    return this.patches.some((patch) => patch.done && patch.holds(top, left));
  }

  // Which samples exploded, at least somewhere.
  exploded() {
    return new Set(this.patches.flatMap((patch) => patch.exploded));
  }

  // Samples that have been drawn of what is visible, at least somewhere.
  drawn() {
    return Math.max(0, ...this.patches.map((patch) => patch.samples.length));
  }
}
