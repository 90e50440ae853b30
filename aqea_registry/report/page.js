"use strict";
(() => {
  const WINDOW = 50; // rows that are laid out at a time
  const MANY = 12; // links below one node that are shown at once
  const root = document.documentElement;
  root.classList.add("js");

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  for (const command of document.querySelectorAll(".command")) {
    const button = element("button", { type: "button", textContent: "Copy" });
    const text = command.querySelector("code");
    button.setAttribute("aria-label", `Copy: ${text.textContent}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    command.append(button);
  }

  // The file knows days alone, so that it is the same whenever it is made; their age is the reader's.
  for (const time of document.querySelectorAll("time")) {
    const days = Math.floor((Date.now() - Date.parse(time.dateTime)) / 86400000);
    if (days >= 0) time.after(element("span", { className: "quiet age" }, ` (${days === 0 ? "today" : days === 1 ? "1 day old" : `${days} days old`})`));
  }

  const table = document.querySelector("table.claims");
  if (!table) return;
  const form = document.querySelector(".filters");
  const search = document.getElementById("filter-search");
  const selects = [...form.querySelectorAll("select")];
  const count = document.querySelector(".count");
  const more = document.querySelector(".more");
  const chains = JSON.parse(document.getElementById("chains").textContent);

  const all = [];
  const bodies = [];
  const byName = new Map();
  for (const body of table.tBodies) {
    const ledger = body.dataset.ledger;
    bodies.push({ body, ledger, on: false, out: false });
    for (const row of body.rows) {
      if (!row.id) continue;
      const cells = Array.from(row.cells, (cell) => cell.textContent.trim());
      const [kind, ground = ""] = cells[5].split(" · ");
      const text = `${ledger}:${cells[1]}\n${cells.join("\n")}`.toLowerCase();
      const claim = { row, ledger, kind, ground, text, cells, state: cells[0], number: all.length, fits: true, detail: null, button: null };
      all.push(claim);
      byName.set(row.id, claim);
    }
  }

  let matching = all;
  let shown = new Set();
  const whole = (number) => number.toLocaleString("en");

  const show = (limit) => {
    const next = new Set(matching.slice(0, limit));
    for (const claim of shown) {
      if (next.has(claim)) continue;
      close(claim);
      claim.row.classList.remove("on");
    }
    for (const claim of next) {
      if (shown.has(claim)) continue;
      if (!claim.button) {
        claim.button = element("button", { type: "button", textContent: claim.cells[1] });
        claim.button.setAttribute("aria-expanded", "false");
        claim.row.cells[1].replaceChildren(claim.button);
      }
      claim.row.classList.add("on");
    }
    shown = next;
    const visible = new Set(Array.from(next, (claim) => claim.ledger));
    const printed = new Set(matching.map((claim) => claim.ledger));
    for (const { body, ledger } of bodies) {
      body.classList.toggle("on", visible.has(ledger));
      body.classList.toggle("out", !printed.has(ledger));
    }
    const rest = matching.length - next.size;
    more.hidden = rest === 0;
    more.firstElementChild.textContent = `Show ${whole(Math.min(rest, WINDOW))} more of ${whole(rest)}`;
    const said = matching.length === all.length ? `${whole(all.length)} claims` : `${whole(matching.length)} of ${whole(all.length)} claims`;
    count.textContent = rest ? `${said}, the first ${whole(next.size)} shown` : said;
  };

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const parts = selects.filter((select) => select.value).map((select) => [select.dataset.part, select.value]);
    matching = [];
    for (const claim of all) {
      const fits = parts.every(([part, value]) => claim[part] === value) && words.every((word) => claim.text.includes(word));
      if (fits !== claim.fits) claim.row.classList.toggle("out", !(claim.fits = fits));
      if (fits) matching.push(claim);
    }
    show(WINDOW);
  };

  const namedFacts = (facts) => facts.map((fact) => chains.facts[fact].map((number) => chains.text[number]));
  const digest = (value) => /^(sha256:)?[0-9a-f]{32,}$/.test(value);

  // What a claim or a node rests on, as nested lists. Another claim is closed at first: its own chain may be long.
  const branches = (links, seen) => {
    const list = element("ul");
    const items = links.map(([label, target]) => branch(chains.text[label], target, seen));
    list.append(...items.slice(0, MANY));
    if (items.length > MANY) {
      const rest = element("ul", {}, ...items.slice(MANY));
      list.append(element("li", {}, element("details", {}, element("summary", {}, `${items.length - MANY} more`), rest)));
    }
    return list;
  };

  const branch = (label, target, seen) => {
    const verb = element("span", { className: "verb" }, `${label} `);
    if (typeof target === "string") return claimed(verb, target, seen);
    const [kind, name, facts, broken, links] = chains.nodes[target];
    const item = element("li", {}, verb, element("span", { className: "kind" }, `${chains.text[kind]} `), element("b", {}, chains.text[name]));
    if (chains.text[broken]) item.append(element("p", { className: "broken" }, `Broken: ${chains.text[broken]}`));
    if (seen.has(target)) {
      item.append(element("span", { className: "kind" }, " (see above)"));
      return item;
    }
    seen.add(target);
    if (facts.length) {
      const line = element("span", { className: "facts" });
      namedFacts(facts).forEach(([fact, value], at) => line.append(`${at ? " · " : ""}${fact} `, element(digest(value) ? "code" : "span", {}, value)));
      item.append(line);
    }
    if (links.length) item.append(branches(links, seen));
    return item;
  };

  const claimed = (verb, target, seen) => {
    const claim = byName.get(target);
    if (!claim) return element("li", {}, verb, element("b", {}, target));
    const link = element("a", { href: `#${encodeURIComponent(target)}` }, target);
    const state = element("span", { className: `state ${claim.state}` }, claim.state);
    const line = [verb, link, ` ${claim.cells[3]} `, state];
    const links = chains.claims[claim.number][2];
    if (!links.length || seen.has(target)) return element("li", {}, ...line);
    const below = element("details", {}, element("summary", {}, "its own chain"));
    below.addEventListener("toggle", () => below.append(branches(links, new Set([...seen, target]))), { once: true });
    return element("li", {}, ...line, below);
  };

  const open = (claim) => {
    if (claim.detail) return;
    const [message, facts, links] = chains.claims[claim.number];
    const cell = element("td", { colSpan: 6 }, element("p", {}, chains.text[message]));
    const list = element("dl", { className: "facts" });
    for (const [name, value] of namedFacts(facts)) list.append(element("dt", {}, name), element("dd", {}, value));
    const address = element("a", { href: `#${encodeURIComponent(claim.row.id)}` }, claim.row.id);
    list.append(element("dt", {}, "address"), element("dd", {}, address));
    cell.append(list);
    if (links.length) cell.append(element("div", { className: "chain" }, element("h4", {}, "What it rests on"), branches(links, new Set([claim.row.id]))));
    claim.detail = element("tr", { className: "detail" }, cell);
    claim.row.after(claim.detail);
    claim.row.classList.add("open");
    claim.button.setAttribute("aria-expanded", "true");
  };

  const close = (claim) => {
    if (!claim.detail) return;
    claim.detail.remove();
    claim.detail = null;
    claim.row.classList.remove("open");
    claim.button.setAttribute("aria-expanded", "false");
  };

  // The address of a claim opens it; one that is not in the window is searched for.
  const visit = () => {
    let name;
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    const claim = byName.get(name);
    if (!claim) return;
    if (!shown.has(claim)) {
      form.reset();
      search.value = name;
      apply();
    }
    open(claim);
    claim.row.scrollIntoView({ block: "center" });
    claim.button.focus({ preventScroll: true });
  };

  table.addEventListener("click", (event) => {
    const claim = byName.get(event.target.closest("tr[id]")?.id);
    if (claim && getSelection().isCollapsed) (claim.detail ? close : open)(claim);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  more.firstElementChild.addEventListener("click", () => show(shown.size + WINDOW));
  for (const link of document.querySelectorAll(".legend a")) {
    link.addEventListener("click", () => {
      form.reset();
      document.getElementById("filter-state").value = link.dataset.state;
      apply();
    });
  }
  addEventListener("hashchange", visit);

  form.hidden = false;
  show(WINDOW);
  addEventListener("load", () => requestAnimationFrame(visit)); // after the browser's own way to the address, which takes the focus
})();
