"use strict";
// A panel a model: a native dialog that an address ending in its id opens, and Escape or Close ends.
const opened = () => document.querySelector("dialog[open]");

function drawOpen(dialog) {
  for (const node of dialog.querySelectorAll(".curves")) drawCurves(node, board.curves[dialog.id][node.dataset.figure].plots);
}

function addressed() {
  const name = location.hash.slice(1);
  try { return decodeURIComponent(name); } catch { return name; }
}

function follow() {
  const found = $(addressed()), before = opened();
  if (before && before !== found) before.close();
  if (!(found instanceof HTMLDialogElement) || found.open) return;
  found.showModal();
  found.scrollTop = 0;
  drawOpen(found);
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("close", () => {
    if (addressed() === dialog.id) history.replaceState(null, "", location.href.split("#")[0]);
    if (opener?.hash.slice(1) === dialog.id) opener.focus({ preventScroll: true });
  });
}
let opener = null;  // following a link takes the focus from it before the dialog could remember where it was
document.addEventListener("click", (event) => { opener = event.target.closest("a") || opener; });
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const entry = button.closest("h4").nextElementSibling, range = document.createRange();
  range.selectNodeContents(entry);
  getSelection().removeAllRanges();
  getSelection().addRange(range);  // so that the keyboard's own copy works where the page may not
  let done = false;
  try { await navigator.clipboard.writeText(entry.textContent.trim()); done = true; } catch { done = document.execCommand("copy"); }
  button.textContent = done ? "Copied" : "Selected: press Ctrl+C";
  setTimeout(() => { button.textContent = "Copy"; }, 2500);
});
dark.addEventListener("change", () => { if (opened()) drawOpen(opened()); });
addEventListener("hashchange", follow);
addEventListener("DOMContentLoaded", follow);
