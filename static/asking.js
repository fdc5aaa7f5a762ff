// Asks about the point in the fields, one question after the other.

import { $, models } from "./elements.js";
import { ownWords, say } from "./notices.js";
import { percent, typed, writePoint } from "./point.js";
import { send } from "./service.js";
import { fail, show } from "./showing.js";
import { draw } from "./stage.js";
import { state } from "./state.js";

export function movePoint(point, options) {
  writePoint(point);
  draw();
  ask(options);
}

// Ask about the point in the fields. Only one request is under way: while the point is dragged,
// the next one leaves when it ends; anything else takes its place at once. So no answer comes
// too late.
export async function ask({ dragging = false } = {}) {
  if (!state.source) return;
  if (state.flight && dragging) {
    state.waiting = true;
    return;
  }
  drop();
  const mistake = findMistake();
  if (mistake) {
    fail(mistake);
    return;
  }
  const mine = (state.flight = new AbortController());
  const late = setTimeout(() => $("answer").setAttribute("aria-busy", "true"), 250);
  const slow = setTimeout(() => {
    $("sending").hidden = false;
    // Once: how much is sent changes too often to be listened to.
    say("Waiting for the answer.");
  }, 1000);
  tellSent({});
  const exchange = await send(state.source, chosen(), {
    key: $("key").value, signal: mine.signal, onSent: tellSent,
  });
  clearTimeout(late);
  clearTimeout(slow);
  if (state.flight !== mine) return;
  rest();
  if (exchange.problem) fail(exchange);
  else show(exchange);
  if (state.waiting) await ask();
}

// Let go of the request under way: nobody wants its answer any more.
export function drop() {
  state.flight?.abort();
  state.waiting = false;
  rest();
}

function rest() {
  state.flight = null;
  $("answer").removeAttribute("aria-busy");
  $("sending").hidden = true;
  // What was said belongs to another point, or is no longer so.
  say("");
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
  const { source } = state;
  const all = !source.blob || (total && loaded === total);
  const part = total ? ` ${Math.floor((100 * loaded) / total)} %` : "";
  $("sending").textContent = all ? "Waiting for the answer …" : `Sending ${source.name} …${part}`;
}

// The key is kept for this window, so that it need not be typed again after a reload; unless the
// browser is set to keep nothing.
export function keepKey(key) {
  try {
    sessionStorage.setItem("dsapi.key", key);
  } catch { /* not kept */ }
}

export function readKeptKey() {
  try {
    return sessionStorage.getItem("dsapi.key") ?? "";
  } catch {
    return "";
  }
}
