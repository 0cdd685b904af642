"use strict";
(() => {
  // what only `srcore serve` answers
  const served = location.protocol !== "file:" && location.pathname.startsWith("/store/");
  for (const one of document.querySelectorAll("[data-served]")) one.hidden = !served;
  const root = document.querySelector(".compare");
  if (!root) return;
  const places = [...root.querySelectorAll(".place")];
  const shown = root.querySelector("output");
  const MAX_ZOOM = 16;
  let place = places[0];
  let split = 50, zoom = 1, x = 0, y = 0; // split in % of the stage; x, y: the picture's corner in stage sizes

  const limit = (value, low, high) => Math.min(high, Math.max(low, value));
  const stage = () => place.querySelector(".stage");
  const handle = () => place.querySelector(".handle");

  function draw() {
    x = limit(x, 1 - zoom, 0);
    y = limit(y, 1 - zoom, 0);
    const style = stage().style;
    style.setProperty("--split", split + "%");
    style.setProperty("--zoom", zoom);
    style.setProperty("--x", 100 * x + "%");
    style.setProperty("--y", 100 * y + "%");
    stage().classList.toggle("zoomed", zoom > 1);
    handle().setAttribute("aria-valuenow", Math.round(split));
    handle().setAttribute("aria-valuetext", Math.round(split) + " % input");
    shown.textContent = zoom.toFixed(zoom < 10 && zoom % 1 ? 1 : 0) + "\u00d7";
  }

  // Zoom and keep the point (px, py), in stage sizes, where it is: both pictures share one transform.
  function zoomTo(wanted, px = 0.5, py = 0.5) {
    const next = limit(wanted, 1, MAX_ZOOM);
    x = px - (px - x) * next / zoom;
    y = py - (py - y) * next / zoom;
    zoom = next;
    draw();
  }

  function choose(index) {
    place = places[index];
    places.forEach((one) => { one.hidden = one !== place; });
    root.querySelectorAll("[data-place]").forEach((one) => one.setAttribute("aria-pressed", +one.dataset.place === index));
    zoom = 1;
    x = y = 0;
    draw();
  }

  const at = (event) => {
    const box = stage().getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  const pointers = new Map();
  let sliding = false;

  function down(event) {
    if (event.button) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    sliding = event.target.closest(".handle") !== null || (zoom === 1 && pointers.size === 1);
    if (sliding && zoom === 1 && event.pointerType === "mouse") { split = limit(100 * at(event)[0], 0, 100); draw(); }
    if (event.target.closest(".handle")) handle().focus({ preventScroll: true });
  }

  function move(event) {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()], old = pointers.get(event.pointerId), now = at(event);
    pointers.set(event.pointerId, now);
    if (pointers.size === 2) {
      const after = [...pointers.values()];
      const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1e-6;
      const middle = ([a, b]) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
      const [from, to] = [middle(before), middle(after)];
      x += to[0] - from[0];
      y += to[1] - from[1];
      zoomTo(zoom * apart(after) / apart(before), ...to);
    } else if (sliding) {
      split = limit(100 * now[0], 0, 100);
      draw();
    } else {
      x += now[0] - old[0];
      y += now[1] - old[1];
      draw();
    }
  }

  function up(event) {
    pointers.delete(event.pointerId);
    sliding = false;
  }

  const keys = {
    ArrowLeft: () => { split -= 2; }, ArrowRight: () => { split += 2; },
    PageDown: () => { split -= 10; }, PageUp: () => { split += 10; },
    Home: () => { split = 0; }, End: () => { split = 100; },
    "+": () => zoomTo(zoom * 2), "=": () => zoomTo(zoom * 2), "-": () => zoomTo(zoom / 2), "0": () => zoomTo(1),
  };
  const panning = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.shiftKey && panning[event.key]) {
      x += panning[event.key][0];
      y += panning[event.key][1];
    } else if (keys[event.key]) {
      keys[event.key]();
      split = limit(split, 0, 100);
    } else return;
    event.preventDefault();
    draw();
  }

  function wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // a page that is scrolled past must not zoom
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / 200), ...at(event));
  }

  for (const one of places) {
    const area = one.querySelector(".stage");
    area.addEventListener("pointerdown", down);
    area.addEventListener("pointermove", move);
    area.addEventListener("pointerup", up);
    area.addEventListener("pointercancel", up);
    area.addEventListener("wheel", wheel, { passive: false });
    area.addEventListener("dblclick", (event) => zoomTo(zoom > 1 ? 1 : 4, ...at(event)));
    one.querySelector(".handle").addEventListener("keydown", key);
  }
  root.querySelectorAll("[data-place]").forEach((one) => one.addEventListener("click", () => choose(+one.dataset.place)));
  root.querySelectorAll("[data-zoom]").forEach((one) => one.addEventListener("click", () => {
    zoomTo(+one.dataset.zoom ? zoom * one.dataset.zoom : 1);
  }));
  choose(0);
})();
