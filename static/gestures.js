// What mouse, finger and arrow keys do on the picture. A finger drags the marker only, so that it
// can still scroll the page; a mouse drags anywhere.

import { ask, movePoint } from "./asking.js";
import { marker, stage } from "./elements.js";
import { revealProblem } from "./notices.js";
import { fieldPoint } from "./point.js";
import { bringAnswer } from "./showing.js";
import { letGo, pointUnder } from "./stage.js";
import { state } from "./state.js";

// Whether a finger pressed last. The click that follows is not asked: in Safari it did not tell
// until 2024, and then said for a while that it was a mouse's (WebKit bugs 218665, 282988).
let touch = false;

export function press(event) {
  touch = event.pointerType === "touch";
  if (event.button !== 0 || (touch && !marker.contains(event.target))) return;
  state.drag = { id: event.pointerId, touch };
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("dragging");
  if (!touch) movePoint(pointUnder(event));
}

export function move(event) {
  if (state.drag?.id === event.pointerId) movePoint(pointUnder(event), { dragging: true });
}

export function release(event) {
  if (state.drag?.id !== event.pointerId) return;
  state.tapped = state.drag.touch;
  letGo();
  revealProblem();
  if (state.waiting) ask();
  else if (state.tapped && !state.flight) bringAnswer();
}

export function tap(event) {
  if (!touch) return;
  state.tapped = true;
  movePoint(pointUnder(event));
}

export function step(event) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const { size, shown } = state;
  // What looks like a pixel on the screen, at least one of the picture.
  const length = Math.max(1, Math.round(size.width / stage.clientWidth)) * (event.shiftKey ? 10 : 1);
  const point = fieldPoint() ?? shown?.answer.point ?? { x: size.width / 2, y: size.height / 2 };
  movePoint({ x: Math.floor(point.x) + way[0] * length, y: Math.floor(point.y) + way[1] * length }, { dragging: true });
}
