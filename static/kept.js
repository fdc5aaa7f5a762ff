// The points kept for comparison: a card and a numbered pin each.

import { drawCard } from "./answer.js";
import { $, button, picture, stage } from "./elements.js";
import { say } from "./notices.js";
import { place } from "./stage.js";
import { state } from "./state.js";

// Keep the last answer. What goes back to its point comes from above, as that asks anew.
export function keepPoint(goTo) {
  const { answer } = state.shown;
  state.keptCount += 1;
  const entry = { number: state.keptCount, pin: document.createElement("span") };
  entry.card = drawCard(state.shown, {
    title: `Point ${entry.number}`, picture: state.visible ? picture : null,
  });
  const go = button("Go there");
  go.addEventListener("click", () => {
    goTo(answer.point);
    stage.focus();
  });
  const remove = button("Remove");
  remove.addEventListener("click", () => {
    removeEntry(entry);
    const next = $("kept-cards").querySelector("button") ?? (stage.inert ? $("answer") : stage);
    next.focus();
  });
  for (const tool of [go, remove]) {
    tool.setAttribute("aria-label", `${tool.textContent}: point ${entry.number}`);
  }
  entry.card.querySelector(".tools").append(go, remove);
  entry.pin.className = "pin";
  entry.pin.textContent = entry.number;
  place(entry.pin, answer.point);
  $("pins").append(entry.pin);
  $("kept-cards").append(entry.card);
  $("kept").hidden = false;
  state.kept.push(entry);
  say(`Point ${entry.number} is kept.`);
}

function removeEntry(entry) {
  entry.card.remove();
  entry.pin.remove();
  state.kept = state.kept.filter((other) => other !== entry);
  $("kept").hidden = state.kept.length === 0;
}

export function removeKept() {
  for (const entry of state.kept) removeEntry(entry);
}
