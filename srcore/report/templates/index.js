"use strict";
(() => {
  // what only `srcore serve` answers
  const served = location.protocol !== "file:" && location.pathname.startsWith("/store/");
  for (const one of document.querySelectorAll("[data-served]")) one.hidden = !served;
  const tools = document.querySelector(".find");
  if (!tools) return;
  const search = tools.querySelector("input");
  const sort = tools.querySelector("select");
  const told = tools.querySelector("output");
  const elsewhere = document.querySelector(".elsewhere");
  const list = document.querySelector(".products");
  const cards = list ? [...list.querySelectorAll("article")] : [];
  const held = [...document.querySelectorAll(".held li")];
  const data = document.querySelector("#names");
  const names = data ? JSON.parse(data.textContent) : [];
  const MOST = 20;

  const value = (card, key) => (card.dataset[key] === undefined || card.dataset[key] === "" ? NaN : Number(card.dataset[key]));
  const orders = {
    newest: () => 0,
    name: (a, b) => a.dataset.scene.localeCompare(b.dataset.scene, undefined, { numeric: true }),
    gain: (a, b) => order(value(a, "gain"), value(b, "gain")),
    consistency: (a, b) => order(value(b, "consistency"), value(a, "consistency")),
    seconds: (a, b) => order(value(b, "seconds"), value(a, "seconds")),
    warnings: (a, b) => value(b, "failed") - value(a, "failed"),
  };
  // what was not measured comes last, whichever way it goes
  const order = (a, b) => (Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a - b);

  function show() {
    const wanted = search.value.trim().toLowerCase();
    const there = (one) => one.dataset.scene.toLowerCase().includes(wanted);
    for (const one of [...cards, ...held]) one.hidden = !there(one);
    if (list) {
      const sorted = [...cards].sort(orders[sort.value] || orders.newest);
      if (sort.value === "newest") sorted.splice(0, sorted.length, ...cards);
      list.append(...sorted);
    }
    const shown = [...cards, ...held].filter((one) => !one.hidden).length;
    told.textContent = wanted ? shown + " of " + (cards.length + held.length) + " on this page" : "";
    if (!elsewhere) return;
    elsewhere.replaceChildren();
    if (!wanted) return;
    let found = 0;
    names.forEach((page, number) => {
      for (const name of page) {
        if (number === 0 || !name.toLowerCase().includes(wanted) || found++ >= MOST) continue;
        const link = document.createElement("a");
        link.href = "index-" + (number + 1) + ".html#" + encodeURIComponent(name);
        link.textContent = name + " on page " + (number + 1);
        elsewhere.append(link);
      }
    });
    if (found > MOST) elsewhere.append(" and " + (found - MOST) + " more");
  }

  tools.hidden = false;
  search.addEventListener("input", show);
  sort.addEventListener("change", show);
})();
