// The parts of the page that more than one module takes in hand, and what is done with any part.

export const $ = (id) => document.getElementById(id);
export const form = $("form");
export const stage = $("stage");
export const picture = $("picture");
export const marker = $("marker");
export const models = [...form.querySelectorAll("input[type=checkbox][name=models]")];

// Stands on the current answer, whichever that is.
export const keep = button("Keep this point");

export function button(words) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = words;
  return made;
}

// Give the focus back to what had it; if that is gone or takes none now, to the answer: never to
// nobody.
export function restoreFocus(had) {
  const heir = had.getClientRects().length && !had.closest("[inert]") ? had : $("answer");
  if (heir !== document.activeElement) heir.focus({ preventScroll: true });
}

export const scrolling = () => matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
