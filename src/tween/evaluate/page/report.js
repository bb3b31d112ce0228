"use strict";
// Light or dark: as the system has it, until the reader says otherwise.
const root = document.documentElement, toggle = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
const label = () => { toggle.textContent = isDark() ? "Light" : "Dark"; toggle.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"} colours`); };
try { if (localStorage.tweenTheme) root.dataset.theme = localStorage.tweenTheme; } catch { /* a page from a file may not store */ }
toggle.hidden = false;
toggle.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.tweenTheme = root.dataset.theme; } catch { /* not kept then */ }
  label();
});
system.addEventListener("change", label);
label();

// Tables are sorted by a click on a column's name: best or last of the alphabet first, then the other way.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const number = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : parseFloat(text));
      const isText = column === 0;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        if (isText) return value(a).localeCompare(value(b), undefined, { numeric: true });
        const [x, y] = [number(value(a)), number(value(b))];
        return Number.isNaN(x) ? (Number.isNaN(y) ? 0 : -1) : Number.isNaN(y) ? 1 : x < y ? -1 : x > y ? 1 : 0;
      });
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}

// The slider between ours and truth: the very pictures of the strip, laid on one another. Without scripts the strip stays.
for (const card of document.querySelectorAll(".case")) {
  const ours = card.querySelector("img.ours"), truth = card.querySelector("img.truth"), spot = card.querySelector(".compare");
  if (!ours || !truth || !spot) continue;
  const image = (from, kind) => { const made = new Image(); made.src = from.src; made.alt = from.alt; made.className = kind; made.width = from.width; made.height = from.height; return made; };
  const stack = document.createElement("div"), line = document.createElement("div"), range = document.createElement("input");
  stack.className = "stack"; line.className = "line";
  Object.assign(range, { type: "range", min: 0, max: 100, value: 50, step: 1 });
  range.setAttribute("aria-label", `${card.dataset.name}: slide between ours (left) and truth (right)`);
  const tag = (side, words) => { const made = document.createElement("span"); made.className = `tag ${side}`; made.textContent = words; return made; };
  const tags = [tag("l", "ours"), tag("r", "truth")];
  const move = () => { spot.style.setProperty("--at", `${range.value}%`); range.setAttribute("aria-valuetext", `${range.value} % ours`); tags[0].hidden = range.value < 12; tags[1].hidden = range.value > 88; };
  range.addEventListener("input", move);
  stack.append(image(ours, "under"), image(truth, "over"), line, ...tags, range);
  spot.prepend(stack);
  spot.hidden = false;
  move();
}

// A click on a small picture shows it large.
const dialog = document.querySelector("dialog");
for (const button of document.querySelectorAll(".strip button")) {
  button.addEventListener("click", () => {
    const from = button.querySelector("img"), large = dialog.querySelector("img");
    large.src = from.src; large.alt = from.alt;
    dialog.querySelector("span").textContent = from.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => { if (event.target !== dialog.querySelector("img")) dialog.close(); });
