// Where one looks, and how a layer is drawn there. All panels share one view.

class View {
  constructor() {
    Object.assign(this, { x: 0, y: 0, zoom: 1, width: 1, height: 1 });
  }

  // x and y are the centre in pixels of the large image, zoom is in CSS pixels for each of them.
  windowIn(width, height) {
    const tall = height / this.zoom, wide = width / this.zoom;
    return { top: this.y - tall / 2, left: this.x - wide / 2, height: tall, width: wide };
  }

  fit(width, height) {
    this.zoom = Math.min(width / this.width, height / this.height);
    this.x = this.width / 2;
    this.y = this.height / 2;
  }

  // Look at a place, as near to it as no border is crossed; a small image is made to fit.
  goTo(x, y, zoom, width, height) {
    this.fit(width, height);
    this.zoom = Math.min(4, Math.max(zoom, this.zoom));
    const within = (at, side, half) => (2 * half > side ? side / 2 : Math.min(side - half, Math.max(half, at)));
    this.x = within(x, this.width, width / this.zoom / 2);
    this.y = within(y, this.height, height / this.zoom / 2);
  }

  move(dx, dy) {
    this.x = Math.min(this.width, Math.max(0, this.x + dx));
    this.y = Math.min(this.height, Math.max(0, this.y + dy));
  }

  // Zoom so that what is under a point of a panel stays there.
  zoomBy(factor, px, py, width, height) {
    const least = Math.min(1, width / this.width, height / this.height) * 0.8;
    const zoom = Math.min(16, Math.max(least, this.zoom * factor));
    const dx = px - width / 2, dy = py - height / 2;
    const [x, y] = [this.x + dx / this.zoom, this.y + dy / this.zoom];
    this.zoom = zoom;
    this.x = x;
    this.y = y;
    this.move(-dx / zoom, -dy / zoom);
  }
}

function stripes(context) {
  const tile = document.createElement("canvas"), size = 12;
  tile.width = tile.height = size;
  const pen = tile.getContext("2d");
  pen.strokeStyle = "rgba(160, 170, 190, 0.35)";
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// Draws one layer of what the view shows into a canvas of so many CSS pixels.
function drawLayer(context, scene, layer, box, width, height) {
  const { image, gallery, sample } = scene;
  const zoom = width / box.width;
  const put = (picture, top, left, tall, wide) => {
    // Whole pixels: between two patches there is then no gap.
    const x0 = Math.round((left - box.left) * zoom), x1 = Math.round((left + wide - box.left) * zoom);
    const y0 = Math.round((top - box.top) * zoom), y1 = Math.round((top + tall - box.top) * zoom);
    if (x1 > 0 && y1 > 0 && x0 < width && y0 < height) context.drawImage(picture, x0, y0, x1 - x0, y1 - y0);
  };
  const whole = [0, 0, image.height * image.scale, image.width * image.scale];
  context.imageSmoothingQuality = "high";
  if (layer === "input") {
    context.imageSmoothingEnabled = zoom * image.scale < 1;
    put(image.picture, ...whole);
    return;
  }
  context.imageSmoothingEnabled = true;
  context.save();
  context.globalAlpha = layer === "map" ? 0.15 : 0.55;
  put(image.picture, ...whole);
  context.globalAlpha = 1;
  context.fillStyle = stripes(context);
  context.beginPath();
  const x = Math.max(0, -box.left * zoom), y = Math.max(0, -box.top * zoom);
  context.rect(x, y, Math.min(width, (whole[3] - box.left) * zoom) - x, Math.min(height, (whole[2] - box.top) * zoom) - y);
  context.fill();
  context.restore();
  context.imageSmoothingEnabled = zoom < 4;
  for (const patch of gallery.patches) {
    const picture = patch.picture(layer, sample);
    if (picture) put(picture, patch.top, patch.left, patch.height, patch.width);
  }
}
