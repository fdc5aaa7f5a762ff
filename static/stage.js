// The stage: the picture, or a frame that stands for it, and what is drawn on it.

import { $, marker, picture, stage } from "./elements.js";
import { fieldPoint } from "./point.js";
import { state } from "./state.js";

export const UNSHOWN = "This browser cannot show the picture. The frame stands for it.";

// Whether the browser shows the picture in the proportions that the service sees.
function hasShape({ width, height }) {
  return Math.abs((picture.naturalWidth * height) / (picture.naturalHeight * width) - 1) < 0.02;
}

// Show the stage in the picture's proportions; with words in place of what cannot be seen.
export function showPicture() {
  const { size } = state;
  if (size && state.visible && !hasShape(size)) Object.assign(state, { visible: false, unseen: UNSHOWN });
  picture.hidden = !state.visible;
  $("unseen").hidden = state.visible;
  $("unseen").textContent = state.unseen;
  $("empty").hidden = Boolean(size);
  stage.hidden = !size;
  $("stage-keys").hidden = !size || stage.inert;
  if (!size) return;
  stage.style.setProperty("--ratio", size.width / size.height);
  stage.classList.toggle("tiny", Math.max(size.width, size.height) < 200);
  $("boxes").setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
}

// What is drawn on the picture: the marker where the fields say, the boxes of the last answer.
export function draw() {
  const { size, shown } = state;
  if (!size) return;
  const point = fieldPoint();
  marker.hidden = !point;
  if (point) place(marker, point);
  if (point && !state.drag) panToMarker();
  const boxes = Object.entries(shown?.answer.crops ?? {}).map(([name, box]) => drawBox(name, box));
  $("boxes").replaceChildren(...boxes.flat());
  stage.setAttribute("aria-label", point
    ? `The picture, ${size.width} by ${size.height} pixels. The point is at ${Math.floor(point.x)}, ${Math.floor(point.y)}`
    : `The picture, ${size.width} by ${size.height} pixels`);
}

export function place(element, { x, y }) {
  element.style.left = `${(100 * (Math.floor(x) + 0.5)) / state.size.width}%`;
  element.style.top = `${(100 * (Math.floor(y) + 0.5)) / state.size.height}%`;
}

export function pointUnder(event) {
  const frame = stage.getBoundingClientRect();
  return {
    x: ((event.clientX - frame.left - stage.clientLeft) / stage.clientWidth) * state.size.width,
    y: ((event.clientY - frame.top - stage.clientTop) / stage.clientHeight) * state.size.height,
  };
}

// End the dragging of the point.
export function letGo() {
  state.drag = null;
  stage.classList.remove("dragging");
}

// A very wide or tall picture is larger than its window: bring the point into it.
function panToMarker() {
  const pan = $("pan");
  const outside = (at, from, length) => at < from || at > from + length;
  if (outside(marker.offsetLeft, pan.scrollLeft, pan.clientWidth)) {
    pan.scrollLeft = marker.offsetLeft - pan.clientWidth / 2;
  }
  if (outside(marker.offsetTop, pan.scrollTop, pan.clientHeight)) {
    pan.scrollTop = marker.offsetTop - pan.clientHeight / 2;
  }
}

// A large crop is shown by dimming what lies outside it, any crop by its outline.
function drawBox(name, [left, top, right, bottom]) {
  const { width, height } = state.size;
  const make = (shape, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", shape);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const frame = { x: left, y: top, width: right - left, height: bottom - top };
  const part = (frame.width * frame.height) / (width * height);
  const outlines = [make("rect", { ...frame, class: "back" }), make("rect", { ...frame, class: "line" })];
  outlines[1].append(document.createElementNS("http://www.w3.org/2000/svg", "title"));
  outlines[1].firstChild.textContent = `what ${name} sees`;
  if (part < 0.2) return outlines;
  const outside = `M0 0H${width}V${height}H0ZM${left} ${top}V${bottom}H${right}V${top}Z`;
  return [make("path", { d: outside, class: "outside" }), ...outlines];
}
