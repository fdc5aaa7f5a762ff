// Draws an answer: a card with the labels of each model as bars, and how long each step took.

const crops = new Map(
  [...document.querySelectorAll("[data-crop]")].map(({ value, dataset }) => [value, dataset.crop]),
);

export const share = ({ probability }) => `${(100 * probability).toFixed(1)} %`;

// The picture is the page's own, null where the browser does not show it.
export function drawCard({ answer, roundTripMs }, { title, picture }) {
  const card = clone("card-template");
  card.querySelector(".where").textContent = `${title}: ${answer.point.x}, ${answer.point.y}`;
  const list = card.querySelector(".models");
  for (const name of Object.keys(answer.predictions)) list.append(drawModel(name, answer, picture));
  drawTiming(card, answer.timing_ms, roundTripMs);
  return card;
}

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function drawModel(name, answer, picture) {
  const part = clone("model-template");
  part.querySelector(".name").textContent = name;
  const error = answer.errors[name];
  const problem = part.querySelector(".problem");
  problem.textContent = error ?? "";
  problem.hidden = !error;
  const labels = answer.predictions[name].map(drawLabel);
  if (!labels.length && !error) labels.push(drawNone());
  part.querySelector(".labels").append(...labels);
  const crop = crops.get(name) ?? "";
  if (picture && crop.endsWith("px") && parseInt(crop) <= 64) {
    drawPatch(part.querySelector(".patch"), picture, { name, answer, side: parseInt(crop) });
  }
  return part;
}

function drawLabel(best) {
  const item = clone("label-template");
  item.querySelector(".swatch").dataset.label = best.label;
  item.querySelector(".label").textContent = best.label;
  item.querySelector(".share").textContent = share(best);
  item.querySelector("rect").setAttribute("width", `${100 * best.probability}%`);
  return item;
}

// A model may leave out all that it holds for unlikely.
function drawNone() {
  const item = document.createElement("li");
  item.className = "none";
  item.textContent = "no label";
  return item;
}

// The pixels that a model sees, enlarged.
function drawPatch(canvas, picture, { name, answer, side }) {
  const [left, top, right, bottom] = answer.crops[name];
  // Of a smaller picture the model sees the outermost pixels again and again.
  if (Math.min(right - left, bottom - top) < side) return;
  canvas.width = canvas.height = side;
  // A picture's density may make the browser count other pixels than the service.
  const scale = picture.naturalWidth / answer.image.width;
  const box = [left, top, right - left, bottom - top].map((value) => value * scale);
  canvas.getContext("2d").drawImage(picture, ...box, 0, 0, side, side);
  canvas.setAttribute("aria-label", `The ${side} × ${side} pixels that ${name} sees, enlarged`);
  canvas.title = canvas.getAttribute("aria-label");
  canvas.hidden = false;
}

// A bar of the whole round trip: the service's own steps, what else it did, and the way.
function drawTiming(card, timing, roundTripMs) {
  const { total, ...steps } = timing;
  const known = Object.values(steps).reduce((sum, value) => sum + value, 0);
  const parts = [
    ...Object.entries(steps),
    ["other", Math.max(0, total - known)],
    ["way there and back", Math.max(0, roundTripMs - total)],
  ];
  const whole = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  let from = 0;
  parts.forEach(([name, value], index) => {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rect.setAttribute("x", `${(100 * from) / whole}%`);
    rect.setAttribute("width", `${(100 * value) / whole}%`);
    rect.setAttribute("height", "100%");
    rect.classList.add(`step-${Math.min(index, 6)}`);
    card.querySelector(".steps").append(rect);
    const item = document.createElement("li");
    item.classList.add(`step-${Math.min(index, 6)}`);
    item.textContent = `${name} ${value.toFixed(1)} ms`;
    card.querySelector(".legend").append(item);
    from += value;
  });
}
