"use strict";
(() => {
  const facts = JSON.parse(document.querySelector("#facts").textContent);
  const canvas = document.querySelector("canvas");
  const search = document.querySelector(".find input");
  if (search) {
    const items = [...document.querySelectorAll(".scenes li")];
    search.closest(".find").hidden = false;
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      for (const one of items) one.hidden = !one.textContent.toLowerCase().includes(wanted);
    });
  }
  if (!canvas) return;
  const pen = canvas.getContext("2d");
  const slider = document.querySelector("input[type=range]");
  const told = document.querySelector(".tools output");
  const tags = [...document.querySelectorAll(".tag")];
  const TILE = 256, KEPT = 300, MAX_ZOOM = 26, NEAR = 22;
  const chosen = facts.chosen;
  const outlines = chosen && !chosen.globe ? [] : facts.scenes.filter((one) => one[1].length);
  const whole = chosen ? chosen.box : around(outlines.flatMap((one) => one[1].flat()));
  const tiles = new Map(); // address to its picture, the last ones used at the end
  let x = 0.5, y = 0.5, zoom = 1; // the middle of the screen in a square whose sides are 1, and its level
  let width = 1, height = 1, split = 0.5, asked = false;

  const limit = (value, low, high) => Math.min(high, Math.max(low, value));
  const unit = () => TILE * 2 ** zoom; // screen pixels along a side of the square
  const toScreen = (px, py) => [(px - x) * unit() + width / 2, (py - y) * unit() + height / 2];
  const toSquare = (sx, sy) => [(sx - width / 2) / unit() + x, (sy - height / 2) / unit() + y];

  function around(points) {
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    const least = (values) => values.reduce((a, b) => Math.min(a, b)), most = (values) => values.reduce((a, b) => Math.max(a, b));
    return [least(xs), least(ys), most(xs), most(ys)];
  }

  function showWhole() {
    const [left, top, right, bottom] = whole;
    x = (left + right) / 2;
    y = (top + bottom) / 2;
    const fits = Math.min(width / Math.max(right - left, 1e-9), height / Math.max(bottom - top, 1e-9));
    zoom = limit(Math.log2(0.92 * fits / TILE), 0, MAX_ZOOM);
    draw();
  }

  function zoomTo(wanted, sx = width / 2, sy = height / 2) {
    const before = toSquare(sx, sy);
    zoom = limit(wanted, 0, MAX_ZOOM);
    const after = toSquare(sx, sy);
    x += before[0] - after[0];
    y += before[1] - after[1];
    draw();
  }

  function addressOf(kind, level, column, row) {
    const scene = encodeURIComponent(chosen.scene);
    return `tiles/${scene}/${kind}/${level}/${column}/${row}.png?v=${chosen.version}&key=${chosen.key}`;
  }

  function picture(kind, level, column, row) {
    const address = addressOf(kind, level, column, row);
    let found = tiles.get(address);
    if (found) tiles.delete(address);
    else {
      found = new Image();
      found.addEventListener("load", draw);
      found.addEventListener("error", draw);
      found.src = address;
    }
    tiles.set(address, found);
    if (tiles.size > KEPT) tiles.delete(tiles.keys().next().value);
    return found.complete && found.naturalWidth ? found : null;
  }

  function known(kind, level, column, row) {
    const found = tiles.get(addressOf(kind, level, column, row));
    return found && found.complete && found.naturalWidth ? found : null;
  }

  // Tiles of one kind between two screen columns; while one loads, what is known of it from a coarser level.
  function layer(kind, level, from, to) {
    if (to - from < 1) return;
    const count = 2 ** level, side = unit() / count;
    const [left, top] = toSquare(from, 0), [right, bottom] = toSquare(to, height);
    const [first, up, last, down] = [Math.max(left, chosen.box[0]), Math.max(top, chosen.box[1]), Math.min(right, chosen.box[2]),
      Math.min(bottom, chosen.box[3])].map((value) => value * count);
    pen.save();
    pen.beginPath();
    pen.rect(from, 0, to - from, height);
    pen.clip();
    for (let row = Math.floor(up); row < down; row++) for (let column = Math.floor(first); column < last; column++) {
      const [sx, sy] = toScreen(column / count, row / count);
      const found = picture(kind, level, column, row);
      if (found) pen.drawImage(found, sx, sy, side, side);
      for (let back = 1; !found && back <= Math.min(5, level); back++) {
        const coarser = known(kind, level - back, column >> back, row >> back);
        if (!coarser) continue;
        const part = TILE / 2 ** back, mask = 2 ** back - 1;
        pen.drawImage(coarser, (column & mask) * part, (row & mask) * part, part, part, sx, sy, side, side);
        break;
      }
    }
    pen.restore();
  }

  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(paint);
  }

  function paint() {
    asked = false;
    const dots = window.devicePixelRatio || 1;
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [Math.round(width * dots), Math.round(height * dots)];
    pen.scale(dots, dots);
    pen.imageSmoothingEnabled = !chosen || zoom < chosen.level + 1;
    const style = getComputedStyle(document.documentElement);
    const compared = chosen ? tilesOf(dots) : false;
    for (const one of outlines) outline(one, style);
    if (compared) {
      pen.fillStyle = "#fff";
      pen.fillRect(split * width - 1.5, 0, 3, height);
      pen.beginPath();
      pen.arc(split * width, height / 2, 15, 0, 7);
      pen.fill();
      pen.fillStyle = "#1d2126";
      pen.font = "15px sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText("\u2194", split * width, height / 2);
    }
    tags.forEach((one) => { one.hidden = !compared; });
    say(compared);
  }

  function tilesOf(dots) {
    const level = limit(Math.round(zoom + Math.log2(dots)), 0, chosen.level);
    const compared = chosen.lr !== null && level >= Math.min(chosen.lr, chosen.level);
    layer("sr", level, compared ? split * width : 0, width);
    if (compared) layer("lr", level, 0, split * width);
    return compared;
  }

  function outline([name, rings, published], style) {
    const mine = chosen && chosen.scene === name;
    pen.beginPath();
    for (const ring of rings) {
      ring.forEach((point, i) => pen[i ? "lineTo" : "moveTo"](...toScreen(...point)));
      pen.closePath();
    }
    pen.strokeStyle = style.getPropertyValue(published ? "--sr" : "--warn");
    pen.lineWidth = mine ? 2.5 : 1.25;
    pen.stroke();
    if (chosen) return;
    pen.globalAlpha = 0.12;
    pen.fillStyle = pen.strokeStyle;
    pen.fill();
    pen.globalAlpha = 1;
    const [left, top, right] = around(rings.flat());
    const [sx, sy] = toScreen(left, top), end = toScreen(right, top)[0];
    if (end - sx < 90) return;
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.font = "13px sans-serif";
    pen.fillText(name, sx + 4, sy + 15, end - sx - 8);
  }

  function say(compared) {
    if (!chosen) {
      told.textContent = outlines.length + " outlines; choose one";
      return;
    }
    const times = 2 ** (zoom - chosen.level), waiting = [...tiles.values()].filter((one) => !one.complete).length;
    told.textContent = (times >= 1 ? "a pixel of the product on " + times.toFixed(1) + " of the screen"
      : (1 / times).toFixed(1) + " pixels of the product on one of the screen")
      + (compared || chosen.lr === null ? "" : "; zoom in to see the LR beside it")
      + (waiting ? "; " + waiting + " tiles on their way" : "");
  }

  // pointers: one pans or moves the line, two zoom; a tap on an outline chooses its scene
  const pointers = new Map();
  let sliding = false, moved = 0;
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const slide = (share) => { split = limit(share, 0, 1); if (slider) slider.value = Math.round(100 * split); draw(); };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moved = 0;
    sliding = Boolean(tags.length && !tags[0].hidden) && pointers.size === 1 && Math.abs(at(event)[0] - split * width) < NEAR;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()], old = pointers.get(event.pointerId), now = at(event);
    pointers.set(event.pointerId, now);
    moved += Math.hypot(now[0] - old[0], now[1] - old[1]);
    if (pointers.size === 2) {
      const after = [...pointers.values()];
      const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1e-6;
      const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
      const [from, to] = [middle(before), middle(after)];
      x -= (to[0] - from[0]) / unit();
      y -= (to[1] - from[1]) / unit();
      zoomTo(zoom + Math.log2(apart(after) / apart(before)), ...to);
    } else if (sliding) slide(now[0] / width);
    else {
      x -= (now[0] - old[0]) / unit();
      y -= (now[1] - old[1]) / unit();
      draw();
    }
  });
  const up = (event) => { pointers.delete(event.pointerId); sliding = false; };
  canvas.addEventListener("pointerup", (event) => {
    const tapped = pointers.size === 1 && moved < 5 && !sliding;
    up(event);
    if (tapped) choose(...toSquare(...at(event)));
  });
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("dblclick", (event) => zoomTo(zoom + 1, ...at(event)));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomTo(zoom - event.deltaY * (event.deltaMode ? 0.05 : 0.002), ...at(event));
  }, { passive: false });

  function choose(px, py) {
    const inside = (ring) => ring.reduce((odd, [ax, ay], i) => {
      const [bx, by] = ring[(i + 1) % ring.length];
      return (ay > py) !== (by > py) && px < (bx - ax) * (py - ay) / (by - ay) + ax ? !odd : odd;
    }, false);
    const found = outlines.filter((one) => one[1].some(inside)).map((one) => one[0]);
    const next = found[chosen ? (found.indexOf(chosen.scene) + 1) % found.length : 0]; // of several the next one
    if (next && !(chosen && chosen.scene === next)) location.search = "?scene=" + encodeURIComponent(next);
  }

  const pan = (across, down) => () => { x += across * 80 / unit(); y += down * 80 / unit(); draw(); };
  const keys = {
    ArrowLeft: pan(-1, 0), ArrowRight: pan(1, 0), ArrowUp: pan(0, -1), ArrowDown: pan(0, 1),
    "+": () => zoomTo(zoom + 0.5), "=": () => zoomTo(zoom + 0.5), "-": () => zoomTo(zoom - 0.5), "0": showWhole,
    ",": () => slide(split - 0.03), ".": () => slide(split + 0.03),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  if (slider) slider.addEventListener("input", () => slide(slider.value / 100));
  document.querySelectorAll("[data-zoom]").forEach((one) => one.addEventListener("click", () => {
    if (+one.dataset.zoom) zoomTo(zoom + Number(one.dataset.zoom));
    else showWhole();
  }));
  new ResizeObserver(draw).observe(canvas);
  [width, height] = [canvas.clientWidth, canvas.clientHeight];
  showWhole();
})();
