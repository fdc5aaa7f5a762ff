// What a person is told: problems beside what caused them, notes about the picture, and what a
// screen reader says.

import { $, form, scrolling } from "./elements.js";
import { state } from "./state.js";

// Where an error is shown, by its code; the page's own words, by code or by place.
export const places = JSON.parse(form.dataset.places);
export const ownWords = JSON.parse(form.dataset.words);

export function showProblem(place, words) {
  const there = $(`${place}-problem`) ?? $("answer-problem");
  there.textContent = words;
  there.hidden = false;
  for (const field of document.querySelectorAll(`[aria-describedby~="${there.id}"]`)) {
    field.setAttribute("aria-invalid", "true");
  }
  revealProblem();
}

export const findProblem = () => document.querySelector(".problem[role=alert]:not([hidden])");

// Bring what went wrong into the window; not while the page would move under the pointer, nor
// while it is being asked again.
export function revealProblem() {
  if (state.drag || state.flight) return;
  findProblem()?.scrollIntoView({ block: "nearest", behavior: scrolling() });
}

export function clearProblems(of = document) {
  for (const problem of of.querySelectorAll(".problem[role=alert]")) {
    problem.hidden = true;
    problem.textContent = "";
  }
  for (const field of of.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  if (of === document) $("again").hidden = true;
}

// Tell something about the picture that is no mistake.
export function note(words) {
  $("picture-note").textContent += `${$("picture-note").textContent && " "}${words}`;
  $("picture-note").hidden = false;
}

// Tell a screen reader something, in place of what was still to be told.
let saying = 0;
export function say(words, { afterMs = 0 } = {}) {
  clearTimeout(saying);
  if (afterMs) saying = setTimeout(say, afterMs, words);
  else $("said").textContent = words;
}
