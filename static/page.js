// The tester's page. A picture and a point go to /v1/predictions, like any caller's; the answer is
// drawn on the picture and beside it. The fields X, Y and Unit hold the point: dragging writes
// them, and what they hold is what is asked.

import { drawCard, share } from "./answer.js";
import { isAnimated, isTurnedWebp } from "./formats.js";
import { send, writeCurl } from "./service.js";

const $ = (id) => document.getElementById(id);
const form = $("form");
const stage = $("stage");
const picture = $("picture");
const marker = $("marker");
// Where an error is shown, by its code; the page's own words, by code or by place.
const places = JSON.parse(form.dataset.places);
const ownWords = JSON.parse(form.dataset.words);
const maxBytes = Number(form.dataset.maxBytes);
const models = [...form.querySelectorAll("input[type=checkbox][name=models]")];

// What is looked at: {blob, name} or {path}; its upright size as soon as anybody knows it.
let source = null;
let size = null;
// Whether the picture itself is shown, and the words for the frame that else stands for it.
let visible = false;
let unseen = "";
// The one request under way, and whether another is wanted when it ends.
let flight = null;
let waiting = false;
// The last answer: {answer, roundTripMs}. Kept ones: {number, shown, card, pin}.
let shown = null;
let kept = [];
let keptCount = 0;
let pictureCount = 0;
const keep = button("Keep this point", keepPoint);

// ---------------------------------------------------------------- the picture

const UNSHOWN = "This browser cannot show the picture. The frame stands for it.";
const ON_SERVER = "The picture stays on the server. The frame stands for it.";

async function openFile(file, name) {
  const number = begin(null);
  if (file.size > maxBytes) {
    const amount = (bytes) => `${(bytes / 1048576).toFixed(1)} MB (${bytes} bytes)`;
    showProblem("image",
      `${name} has ${amount(file.size)}; the service takes at most ${amount(maxBytes)}.`);
    return;
  }
  // Read once: what is shown stays what is asked about, whatever becomes of the file.
  const bytes = await file.arrayBuffer().catch(() => null);
  if (number !== pictureCount) return;
  if (bytes) openBytes(bytes, { name, type: file.type });
  else showProblem("image", `${name} cannot be read any more; choose it again.`);
}

async function openBytes(bytes, { name, type }) {
  const number = pictureCount;
  source = { blob: new Blob([bytes], { type }), name };
  picture.src = URL.createObjectURL(source.blob);
  const decoded = picture.decode().then(() => true, () => false);
  ask();
  // HEIC in most browsers is not decoded, nor what is no picture at all: the service decides.
  const seen = (await decoded) && !isTurnedWebp(bytes);
  if (number !== pictureCount) return;
  visible = seen;
  unseen = UNSHOWN;
  if (isAnimated(bytes)) note("This picture moves; the models see its first frame only.");
  if (seen) size ??= { width: picture.naturalWidth, height: picture.naturalHeight };
  if (shown) {
    show(shown);
    return;
  }
  showPicture();
  draw();
  revealProblem(); // which the picture may have pushed out of the window
}

function openPath() {
  const path = $("path").value.trim();
  if (!path) {
    clearProblems();
    showProblem("path", "Type the path of a picture on the server first.");
    return;
  }
  begin({ path });
  unseen = ON_SERVER;
  ask();
}

async function openSample(address) {
  const name = address.split("/").pop();
  const number = begin(null);
  const blob = await fetchBlob(address).catch(() => null);
  if (number !== pictureCount) return;
  if (blob) openFile(blob, name);
  else showProblem("image", `The sample ${name} could not be fetched.`);
}

async function fetchBlob(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(response.statusText);
  return response.blob();
}

// Whether the browser shows the picture in the proportions that the service sees.
function hasShape({ width, height }) {
  return Math.abs((picture.naturalWidth * height) / (picture.naturalHeight * width) - 1) < 0.02;
}

// Tell something about the picture that is no mistake.
function note(words) {
  $("picture-note").textContent += `${$("picture-note").textContent && " "}${words}`;
  $("picture-note").hidden = false;
}

// Forget the picture before, and everything that was asked and said about it.
function begin(next) {
  const had = document.activeElement;
  drop();
  if (source) {
    $("x").value = "";
    $("y").value = "";
  }
  for (const { card, pin } of kept) {
    card.remove();
    pin.remove();
  }
  kept = [];
  keptCount = 0;
  $("kept").hidden = true;
  if ($("path") && !next?.path) $("path").value = "";
  source = next;
  size = null;
  shown = null;
  visible = false;
  unseen = "";
  stage.inert = false;
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.removeAttribute("src");
  for (const part of [stage, $("stage-keys"), $("exchange")]) part.hidden = true;
  $("empty").hidden = false;
  $("current").replaceChildren();
  $("picture-note").textContent = "";
  $("picture-note").hidden = true;
  clearProblems();
  restoreFocus(had);
  pictureCount += 1;
  return pictureCount;
}

// Show the stage in the picture's proportions; with words in place of what cannot be seen.
function showPicture() {
  picture.hidden = !visible;
  $("unseen").hidden = visible;
  $("unseen").textContent = unseen;
  $("empty").hidden = Boolean(size);
  stage.hidden = !size;
  $("stage-keys").hidden = !size || stage.inert;
  if (!size) return;
  stage.style.setProperty("--ratio", size.width / size.height);
  stage.classList.toggle("tiny", Math.max(size.width, size.height) < 200);
  $("boxes").setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
}

// ---------------------------------------------------------------- the point

const percent = () => $("unit").value === "percent";

// What a field holds; keyboards of many languages have the decimal comma only.
const typed = (id) => $(id).value.trim().replace(",", ".");

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

// The point in the fields, in pixels; null while they hold none inside the picture.
function fieldPoint() {
  // As the service reads them: JavaScript would take 0x10, too.
  if (!size || !["x", "y"].every((id) => DECIMAL.test(typed(id)))) return null;
  const [x, y] = ["x", "y"].map((id) => Number(typed(id)));
  if (percent() && (x > 100 || y > 100)) return null;
  const point = percent()
    ? { x: Math.min((x * size.width) / 100, size.width - 1), y: Math.min((y * size.height) / 100, size.height - 1) }
    : { x: Math.floor(x), y: Math.floor(y) };
  return point.x >= 0 && point.y >= 0 && point.x < size.width && point.y < size.height ? point : null;
}

function writePoint({ x, y }) {
  const inside = (value, side) => Math.min(Math.max(value, 0), side - 1);
  const at = { x: inside(x, size.width), y: inside(y, size.height) };
  const text = (value, side) =>
    // The middle of the pixel, so that rounding does not move to its neighbor.
    String(percent() ? Number(((100 * (Math.floor(value) + 0.5)) / side).toFixed(3)) : Math.floor(value));
  $("x").value = text(at.x, size.width);
  $("y").value = text(at.y, size.height);
}

function movePoint(point, options) {
  writePoint(point);
  draw();
  ask(options);
}

function pointUnder(event) {
  const frame = stage.getBoundingClientRect();
  return {
    x: ((event.clientX - frame.left - stage.clientLeft) / stage.clientWidth) * size.width,
    y: ((event.clientY - frame.top - stage.clientTop) / stage.clientHeight) * size.height,
  };
}

// ---------------------------------------------------------------- asking

// The key is kept for this window, so that it need not be typed again after a reload; unless the
// browser is set to keep nothing.
function keepKey(key) {
  try {
    sessionStorage.setItem("dsapi.key", key);
  } catch { /* not kept */ }
}

function readKeptKey() {
  try {
    return sessionStorage.getItem("dsapi.key") ?? "";
  } catch {
    return "";
  }
}

function chosen() {
  const ticked = models.filter((model) => model.checked);
  const fields = [];
  for (const id of ["x", "y"]) {
    if (typed(id) !== "") fields.push([id, typed(id)]);
  }
  if (percent() && fields.length) fields.push(["unit", "percent"]);
  if (models.some((model) => model.checked !== "default" in model.dataset)) {
    fields.push(["models", ticked.map((model) => model.value).join(",")]);
  }
  if (!["", "5"].includes(typed("top"))) fields.push(["top", typed("top")]);
  return fields;
}

// Ask about the point in the fields. Only one request is under way: while the point is dragged,
// the next one leaves when it ends; anything else takes its place at once. So no answer comes
// too late.
async function ask({ dragging = false } = {}) {
  if (!source) return;
  if (flight && dragging) {
    waiting = true;
    return;
  }
  drop();
  const mistake = findMistake();
  if (mistake) {
    fail(mistake);
    return;
  }
  const mine = (flight = new AbortController());
  const late = setTimeout(() => $("answer").setAttribute("aria-busy", "true"), 250);
  const slow = setTimeout(() => {
    $("sending").hidden = false;
    // Once: how much is sent changes too often to be listened to.
    say("Waiting for the answer.");
  }, 1000);
  tellSent({});
  const exchange = await send(source, chosen(), {
    key: $("key").value, signal: mine.signal, onSent: tellSent,
  });
  clearTimeout(late);
  clearTimeout(slow);
  if (flight !== mine) return;
  rest();
  if (exchange.problem) fail(exchange);
  else show(exchange);
  if (waiting) await ask();
}

// Let go of the request under way: nobody wants its answer any more.
function drop() {
  flight?.abort();
  waiting = false;
  rest();
}

function rest() {
  flight = null;
  $("answer").removeAttribute("aria-busy");
  $("sending").hidden = true;
  // What was said belongs to another point, or is no longer so.
  say("");
}

// What would be sent in vain.
function findMistake() {
  if (!models.some((model) => model.checked)) return { place: "models", detail: ownWords.models };
  // Of what is no number, such as e5, the field's value tells nothing.
  if (!$("top").validity.valid) return { place: "top", detail: ownWords.top };
  if (!/^[\x20-\x7e]*$/.test($("key").value)) {
    const detail = "This key is not valid: keys are of plain letters, digits and signs.";
    return { place: "key", detail };
  }
  return null;
}

// Said as soon as it takes long.
function tellSent({ loaded = 0, total = 0 }) {
  const all = !source.blob || (total && loaded === total);
  const part = total ? ` ${Math.floor((100 * loaded) / total)} %` : "";
  $("sending").textContent = all ? "Waiting for the answer …" : `Sending ${source.name} …${part}`;
}

// ---------------------------------------------------------------- showing

function show(exchange) {
  const had = document.activeElement;
  clearProblems();
  shown = exchange;
  const { answer, fields } = exchange;
  size = { width: answer.image.width, height: answer.image.height };
  if (visible && !hasShape(size)) {
    visible = false;
    unseen = UNSHOWN;
  }
  stage.inert = false;
  showPicture();
  if (!$("x").value && !$("y").value) writePoint(answer.point);
  const card = drawCard(exchange, { title: "Current point", picture: visible ? picture : null });
  card.querySelector(".tools").append(keep);
  $("current").replaceChildren(card);
  $("curl").textContent = writeCurl(source, fields, { keyed: $("key").value !== "" });
  $("json").textContent = JSON.stringify(answer, null, 2);
  $("exchange").hidden = false;
  restoreFocus(had);
  draw();
  sayAnswer(answer);
  if (tapped) bringAnswer();
}

function fail({ problem, place = places[problem] ?? "answer", detail }) {
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

function showProblem(place, words) {
  const there = $(`${place}-problem`) ?? $("answer-problem");
  there.textContent = words;
  there.hidden = false;
  for (const field of document.querySelectorAll(`[aria-describedby~="${there.id}"]`)) {
    field.setAttribute("aria-invalid", "true");
  }
  revealProblem();
}

// On a phone the answer reaches below the window: after a tap, bring it in as far as the point
// stays there too, for the next tap; and not while there is one.
let tapped = false;
let bringing = 0;
function bringAnswer() {
  tapped = false;
  bringing = setTimeout(() => {
    const labels = $("current").querySelector(".models");
    if (!labels) return;
    const below = labels.getBoundingClientRect().bottom + 16 - innerHeight;
    const point = (marker.hidden ? stage : marker).getBoundingClientRect();
    const top = Math.min(below, point.top - 16);
    if (top > 0) scrollBy({ top, behavior: scrolling() });
  }, 600);
}

function leaveAnswer() {
  tapped = false;
  clearTimeout(bringing);
}

const scrolling = () => matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";

// Bring what went wrong into the window; not while the page would move under the pointer, nor
// while it is being asked again.
function revealProblem() {
  if (drag || flight) return;
  document.querySelector(".problem[role=alert]:not([hidden])")
    ?.scrollIntoView({ block: "nearest", behavior: scrolling() });
}

function clearProblems(of = document) {
  for (const problem of of.querySelectorAll(".problem[role=alert]")) {
    problem.hidden = true;
    problem.textContent = "";
  }
  for (const field of of.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  if (of === document) $("again").hidden = true;
}

// Give the focus back to what had it; if that is gone, to the answer: never to nobody.
function restoreFocus(had) {
  const heir = had.getClientRects().length ? had : $("answer");
  if (heir !== document.activeElement) heir.focus({ preventScroll: true });
}

// Tell a screen reader something, in place of what was still to be told.
let saying = 0;
function say(words, { afterMs = 0 } = {}) {
  clearTimeout(saying);
  if (afterMs) saying = setTimeout(say, afterMs, words);
  else $("said").textContent = words;
}

// The gist, once the point rests.
function sayAnswer({ point, predictions, errors }) {
  const said = Object.entries(predictions).map(([name, [best]]) =>
    best ? `${name}: ${best.label}, ${share(best)}` : `${name}: ${errors[name] ?? "no label"}`);
  say(`At ${point.x}, ${point.y}. ${said.join(". ")}.`, { afterMs: 500 });
}

function button(words, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  made.addEventListener("click", act);
  return made;
}

// What is drawn on the picture: the marker where the fields say, the boxes of the last answer.
function draw() {
  if (!size) return;
  const point = fieldPoint();
  marker.hidden = !point;
  if (point) place(marker, point);
  if (point && !drag) panToMarker();
  const boxes = Object.entries(shown?.answer.crops ?? {}).map(([name, box]) => drawBox(name, box));
  $("boxes").replaceChildren(...boxes.flat());
  stage.setAttribute("aria-label", point
    ? `The picture, ${size.width} by ${size.height} pixels. The point is at ${Math.floor(point.x)}, ${Math.floor(point.y)}`
    : `The picture, ${size.width} by ${size.height} pixels`);
}

function place(element, { x, y }) {
  element.style.left = `${(100 * (Math.floor(x) + 0.5)) / size.width}%`;
  element.style.top = `${(100 * (Math.floor(y) + 0.5)) / size.height}%`;
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
  const make = (shape, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", shape);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const frame = { x: left, y: top, width: right - left, height: bottom - top };
  const part = (frame.width * frame.height) / (size.width * size.height);
  const outlines = [make("rect", { ...frame, class: "back" }), make("rect", { ...frame, class: "line" })];
  outlines[1].append(document.createElementNS("http://www.w3.org/2000/svg", "title"));
  outlines[1].firstChild.textContent = `what ${name} sees`;
  if (part < 0.2) return outlines;
  const outside = `M0 0H${size.width}V${size.height}H0ZM${left} ${top}V${bottom}H${right}V${top}Z`;
  return [make("path", { d: outside, class: "outside" }), ...outlines];
}

// ---------------------------------------------------------------- kept points

function keepPoint() {
  const { answer } = shown;
  keptCount += 1;
  const entry = { number: keptCount, pin: document.createElement("span") };
  entry.card = drawCard(shown, { title: `Point ${entry.number}`, picture: visible ? picture : null });
  entry.card.querySelector(".tools").append(
    button("Go there", () => {
      movePoint(answer.point);
      stage.focus();
    }),
    button("Remove", () => {
      entry.card.remove();
      entry.pin.remove();
      kept = kept.filter((other) => other !== entry);
      $("kept").hidden = kept.length === 0;
      (kept.length ? $("kept-cards").querySelector("button") : stage).focus();
    }),
  );
  for (const tool of entry.card.querySelectorAll(".tools button")) {
    tool.setAttribute("aria-label", `${tool.textContent}: point ${entry.number}`);
  }
  entry.pin.className = "pin";
  entry.pin.textContent = entry.number;
  place(entry.pin, answer.point);
  $("pins").append(entry.pin);
  $("kept-cards").append(entry.card);
  $("kept").hidden = false;
  kept.push(entry);
  say(`Point ${entry.number} is kept.`);
}

// ---------------------------------------------------------------- for developers

async function copyCurl() {
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
}

// ---------------------------------------------------------------- what a person does

function takeFiles([file, ...others]) {
  if (!file) return;
  openFile(file, file.name || "picture");
  if (others.length) note(`Only the first of the ${others.length + 1} files is used.`);
}

// Where text is typed, text is also dropped and pasted.
const TEXT_FIELD = "input[type=text], input[type=number], input[type=password]";
const isTextField = (target) => target.matches?.(TEXT_FIELD) ?? false;
const isForField = ({ target, dataTransfer }) => isTextField(target) && !dataTransfer.types.includes("Files");

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
  if (event.key !== "Enter") return;
  event.preventDefault();
  openPath();
});

addEventListener("paste", (event) => {
  const { files, types } = event.clipboardData;
  // A cell of a spreadsheet comes as text and as its picture: a field takes the text.
  if (isTextField(event.target) && types.includes("text/plain")) return;
  takeFiles(files);
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
  const { files, items } = event.dataTransfer;
  if (items[0]?.webkitGetAsEntry?.()?.isDirectory) {
    begin(null);
    showProblem("image", "This is a folder; drop one of its pictures.");
  } else if (files.length) takeFiles(files);
  else showProblem("image", "Drop a picture file; a link to one does not bring the picture along.");
});

// A finger drags the marker only, so that it can still scroll the page; a mouse drags anywhere.
let drag = null;
stage.addEventListener("pointerdown", (event) => {
  const touch = event.pointerType === "touch";
  if (event.button !== 0 || (touch && !marker.contains(event.target))) return;
  drag = { id: event.pointerId, touch };
  stage.setPointerCapture(event.pointerId);
  stage.classList.add("dragging");
  if (!touch) movePoint(pointUnder(event));
});
stage.addEventListener("pointermove", (event) => {
  if (drag?.id === event.pointerId) movePoint(pointUnder(event), { dragging: true });
});
for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, (event) => {
    if (drag?.id !== event.pointerId) return;
    tapped = drag.touch;
    drag = null;
    stage.classList.remove("dragging");
    revealProblem();
    if (waiting) ask();
    else if (tapped && !flight) bringAnswer();
  });
}
stage.addEventListener("click", (event) => {
  if (event.pointerType !== "touch" || marker.contains(event.target)) return;
  tapped = true;
  movePoint(pointUnder(event));
});
stage.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  // What looks like a pixel on the screen, at least one of the picture.
  const step = Math.max(1, Math.round(size.width / stage.clientWidth)) * (event.shiftKey ? 10 : 1);
  const point = fieldPoint() ?? shown?.answer.point ?? { x: size.width / 2, y: size.height / 2 };
  movePoint({ x: Math.floor(point.x) + way[0] * step, y: Math.floor(point.y) + way[1] * step }, { dragging: true });
});

for (const act of ["pointerdown", "wheel", "keydown"]) addEventListener(act, leaveAnswer, { capture: true, passive: true });

stage.addEventListener("keyup", () => {
  if (waiting) ask();
});

for (const id of ["x", "y", "top"]) {
  $(id).addEventListener("input", () => {
    // Half of a point is no mistake yet, nor still the one before.
    if (id !== "top" && (typed("x") === "") !== (typed("y") === "")) {
      drop();
      clearProblems(form.querySelector(".point"));
      return;
    }
    draw();
    ask();
  });
}
$("unit").addEventListener("change", () => {
  if (!size) return;
  // The fields still hold the other unit.
  $("unit").value = percent() ? "px" : "percent";
  const point = fieldPoint();
  $("unit").value = percent() ? "px" : "percent";
  if (point) writePoint(point);
  ask();
});
for (const model of models) model.addEventListener("change", () => ask());
$("key").addEventListener("change", () => {
  keepKey($("key").value);
  ask();
});
$("again").addEventListener("click", () => ask());
$("copy").addEventListener("click", copyCurl);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (source) ask();
  else showProblem("image", "Choose a picture first.");
});

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
