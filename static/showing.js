// Shows what came of a question: the answer, or what went wrong.

import { drawCard, share } from "./answer.js";
import { $, keep, marker, picture, restoreFocus, scrolling, stage } from "./elements.js";
import { clearProblems, ownWords, places, say, showProblem } from "./notices.js";
import { writePoint } from "./point.js";
import { writeCurl } from "./service.js";
import { draw, showPicture } from "./stage.js";
import { state } from "./state.js";

export function show(exchange) {
  const had = document.activeElement;
  clearProblems();
  state.shown = exchange;
  const { answer, fields } = exchange;
  state.size = { width: answer.image.width, height: answer.image.height };
  stage.inert = false;
  showPicture();
  if (!$("x").value && !$("y").value) writePoint(answer.point);
  const card = drawCard(exchange, { title: "Current point", picture: state.visible ? picture : null });
  card.querySelector(".tools").append(keep);
  $("current").replaceChildren(card);
  $("curl").textContent = writeCurl(state.source, fields, { keyed: $("key").value !== "" });
  $("json").textContent = JSON.stringify(answer, null, 2);
  $("exchange").hidden = false;
  restoreFocus(had);
  draw();
  sayAnswer(answer);
  if (state.tapped) bringAnswer();
}

export function fail({ problem, place = places[problem] ?? "answer", detail }) {
  const had = document.activeElement;
  clearProblems();
  // Of a key that was sent, the service says more.
  const own = problem === "unauthorized" && $("key").value ? null : ownWords[problem];
  if (place === "key") $("key-field").hidden = false;
  $("again").hidden = place !== "answer";
  showProblem(place, own ? (place === "key" ? `${own} Type yours here.` : own) : detail);
  // What is still shown belongs to another point now.
  const where = $("current").querySelector(".where");
  if (where) where.textContent = where.textContent.replace("Current point", "Last answer");
  if (place === "image" || place === "path") refusePicture();
  restoreFocus(had);
}

// A picture that the service refuses at one point, it refuses at all: no more taps.
function refusePicture() {
  $("current").replaceChildren();
  $("exchange").hidden = true;
  stage.inert = true;
  showPicture();
}

// The gist, once the point rests.
function sayAnswer({ point, predictions, errors }) {
  const said = Object.entries(predictions).map(([name, [best]]) =>
    best ? `${name}: ${best.label}, ${share(best)}` : `${name}: ${errors[name] ?? "no label"}`);
  say(`At ${point.x}, ${point.y}. ${said.join(". ")}.`, { afterMs: 500 });
}

// On a phone the answer reaches below the window: after a tap, bring it in as far as the point
// stays there too, for the next tap; and not while there is one.
let bringing = 0;
export function bringAnswer() {
  leaveAnswer();
  bringing = setTimeout(() => {
    const labels = $("current").querySelector(".models");
    if (!labels) return;
    const below = labels.getBoundingClientRect().bottom + 16 - innerHeight;
    const point = (marker.hidden ? stage : marker).getBoundingClientRect();
    const top = Math.min(below, point.top - 16);
    if (top > 0) scrollBy({ top, behavior: scrolling() });
  }, 600);
}

export function leaveAnswer() {
  state.tapped = false;
  clearTimeout(bringing);
}
