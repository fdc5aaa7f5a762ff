// The tester's page. A picture and a point go to /v1/predictions, like any caller's; the answer is
// drawn on the picture and beside it. Here is which act leads to what; the way then goes
//   picture.js, gestures.js   what is looked at, and where
//   asking.js, service.js     the question
//   showing.js, answer.js     the answer, or what went wrong; kept.js: answers that stay
//   stage.js, notices.js      what is drawn on the picture, what is told in words
//   state.js, point.js        what the page knows, and the point: the fields X, Y and Unit hold it
// and no module imports one that stands above it.

import { ask, drop, keepKey, movePoint, readKeptKey } from "./asking.js";
import { $, form, keep, models, restoreFocus, stage } from "./elements.js";
import { move, press, release, step, tap } from "./gestures.js";
import { keepPoint } from "./kept.js";
import { clearProblems, say, showProblem } from "./notices.js";
import { openPath, openSample, takeFiles, takeTransfer } from "./picture.js";
import { convertPoint, typed } from "./point.js";
import { leaveAnswer } from "./showing.js";
import { draw } from "./stage.js";
import { state } from "./state.js";

// ---------------------------------------------------------------- a picture

for (const id of ["image", "camera"]) {
  $(id).addEventListener("change", (event) => {
    takeFiles(event.target.files);
    // So that the same file can be chosen again.
    event.target.value = "";
  });
}
$("empty").addEventListener("click", () => $("image").click());
for (const sample of document.querySelectorAll("[data-sample]")) {
  sample.addEventListener("click", () => openSample(sample.dataset.sample));
}
$("open-path")?.addEventListener("click", openPath);
$("path")?.addEventListener("keydown", (event) => {
  // An Enter may also end a word that is composed of several keys.
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  openPath();
});

// Where text is typed, text is also dropped and pasted.
const TEXT_FIELD = "input[type=text], input[type=number], input[type=password]";
const isTextField = (target) => target.matches?.(TEXT_FIELD) ?? false;
const isForField = ({ target, dataTransfer }) => isTextField(target) && !dataTransfer.types.includes("Files");

addEventListener("paste", (event) => {
  // A cell of a spreadsheet comes as text and as its picture: a field takes the text.
  if (isTextField(event.target) && event.clipboardData.types.includes("text/plain")) return;
  takeTransfer(event.clipboardData);
});
addEventListener("dragover", (event) => {
  if (isForField(event)) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (isForField(event)) return;
  event.preventDefault();
  takeTransfer(event.dataTransfer);
});

// ---------------------------------------------------------------- a point

stage.addEventListener("pointerdown", press);
stage.addEventListener("pointermove", move);
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, release);
stage.addEventListener("click", tap);
stage.addEventListener("keydown", step);
stage.addEventListener("keyup", () => {
  if (state.waiting) ask();
});
for (const act of ["pointerdown", "wheel", "keydown"]) addEventListener(act, leaveAnswer, { capture: true, passive: true });

for (const id of ["x", "y", "top"]) {
  $(id).addEventListener("input", () => {
    // Half of a point, or none yet, is no mistake, nor still the one before.
    if (id !== "top" && (typed("x") === "" || typed("y") === "")) {
      drop();
      clearProblems(form.querySelector(".point"));
      return;
    }
    draw();
    ask();
  });
}
$("unit").addEventListener("change", () => {
  if (!state.size) return;
  convertPoint();
  ask();
});
keep.addEventListener("click", () => keepPoint(movePoint));

// ---------------------------------------------------------------- a question

for (const model of models) model.addEventListener("change", () => ask());
$("key").addEventListener("change", () => {
  keepKey($("key").value);
  ask();
});
$("again").addEventListener("click", () => ask());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (state.source) ask();
  else showProblem("image", "Choose a picture first.");
});

$("copy").addEventListener("click", async () => {
  let copied = true;
  try {
    await navigator.clipboard.writeText($("curl").textContent);
  } catch {
    // No clipboard without https or a permission: select it, so that Ctrl+C does.
    getSelection().selectAllChildren($("curl"));
    copied = document.execCommand("copy");
  }
  $("copy").textContent = copied ? "Copied" : "Press Ctrl+C";
  say(`${$("copy").textContent}.`);
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
});

// ---------------------------------------------------------------- the start

// In one column the answer stands right below the picture. It is moved, not only drawn there, for
// those who go by the keyboard or listen.
const oneColumn = matchMedia("(max-width: 59.99rem)");
function arrange() {
  const had = document.activeElement;
  (oneColumn.matches ? form.querySelector(".view") : form).after($("answer"), $("kept"));
  restoreFocus(had);
}
oneColumn.addEventListener("change", arrange);
arrange();

document.documentElement.classList.add("scripted");
$("key").value = readKeptKey();
$("key-field").hidden = !$("key").value;
$("image-label").textContent = "Choose a picture";
$("point-hint").textContent = "From the top left corner of the upright picture.";
for (const part of document.querySelectorAll(".script-only")) {
  if (!["kept", "exchange"].includes(part.id)) part.hidden = false;
}
