"use strict";
(() => {
  const root = document.querySelector(".planes");
  if (!root) return;
  const planes = {};

  const share = (plane) => +plane.slices[plane.at].dataset.place; // along the patient's axis: from I to S, P to A, L to R

  function cross() {
    for (const plane of Object.values(planes)) {
      // pictures run against those axes
      plane.view.style.setProperty("--across", 100 * (1 - share(planes[plane.upright])) + "%");
      plane.view.style.setProperty("--down", 100 * (1 - share(planes[plane.lying])) + "%");
    }
  }

  function show(plane, index) {
    plane.at = Math.min(plane.slices.length - 1, Math.max(0, index));
    plane.slices.forEach((one, place) => { one.hidden = place !== plane.at; });
    const told = plane.slices[plane.at].dataset.told;
    plane.bar.value = plane.at;
    plane.bar.setAttribute("aria-valuetext", told);
    plane.told.textContent = told;
    plane.count.textContent = plane.at + 1;
    cross();
  }

  function showNearest(plane, wanted) {
    const away = plane.slices.map((one) => Math.abs(one.dataset.place - wanted));
    show(plane, away.indexOf(Math.min(...away)));
  }

  function point(plane, event) {
    const box = plane.view.getBoundingClientRect();
    showNearest(planes[plane.upright], 1 - (event.clientX - box.left) / box.width);
    showNearest(planes[plane.lying], 1 - (event.clientY - box.top) / box.height);
  }

  for (const figure of root.querySelectorAll(".plane")) {
    const slices = [...figure.querySelectorAll(".slice")];
    const plane = {
      slices, at: slices.findIndex((one) => !one.hidden), upright: figure.dataset.upright, lying: figure.dataset.lying,
      view: figure.querySelector(".view"), bar: figure.querySelector("input"),
      told: figure.querySelector("output"), count: figure.querySelector(".count"),
    };
    planes[figure.dataset.name] = plane;
    plane.bar.addEventListener("input", () => show(plane, +plane.bar.value));
    plane.view.addEventListener("click", (event) => {
      point(plane, event);
      plane.bar.focus({ preventScroll: true });
    });
    plane.view.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons === 1) point(plane, event);
    });
    plane.view.addEventListener("wheel", (event) => {
      if (document.activeElement !== plane.bar || event.ctrlKey) return; // a page that is scrolled past stays a page
      event.preventDefault();
      show(plane, plane.at + (event.deltaY > 0 ? -1 : 1));
    }, { passive: false });
  }

  function choose(kind, value) {
    root.dataset[kind] = value;
    root.querySelectorAll(`[data-${kind}]`).forEach((one) => one.setAttribute("aria-pressed", one.dataset[kind] === value));
    if (kind === "shade") root.querySelectorAll(".lights span").forEach((one, place) => { one.hidden = place !== +value; });
  }

  for (const kind of ["shown", "shade"]) {
    root.querySelectorAll(`button[data-${kind}]`).forEach((one) => one.addEventListener("click", () => choose(kind, one.dataset[kind])));
  }
  cross();
})();
