// Where a picture comes in: a file, a sample, or a path on the server.

import { ask, drop } from "./asking.js";
import { $, form, picture, restoreFocus, stage } from "./elements.js";
import { isAnimated, isTurnedWebp } from "./formats.js";
import { removeKept } from "./kept.js";
import { clearProblems, findProblem, note, revealProblem, showProblem } from "./notices.js";
import { show } from "./showing.js";
import { draw, letGo, showPicture, UNSHOWN } from "./stage.js";
import { startOver, state } from "./state.js";

const ON_SERVER = "The picture stays on the server. The frame stands for it.";
const maxBytes = Number(form.dataset.maxBytes);

export function takeFiles([file, ...others]) {
  if (!file) return;
  openFile(file, file.name || "picture");
  if (others.length) note(`Only the first of the ${others.length + 1} files is used.`);
}

// What was dropped or pasted.
export function takeTransfer({ files, items }) {
  if (items[0]?.webkitGetAsEntry?.()?.isDirectory) {
    begin(null);
    showProblem("image", "This is a folder; take one of its pictures.");
  } else if (files.length) takeFiles(files);
  else showProblem("image", "This is no picture file; a link to one does not bring the picture along.");
}

export async function openSample(address) {
  const name = address.split("/").pop();
  const number = begin(null);
  const blob = await fetchBlob(address).catch(() => null);
  if (number !== state.pictureCount) return;
  if (blob) openFile(blob, name);
  else showProblem("image", `The sample ${name} could not be fetched.`);
}

async function fetchBlob(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(response.statusText);
  return response.blob();
}

export function openPath() {
  const path = $("path").value.trim();
  if (!path) {
    clearProblems();
    showProblem("path", "Type the path of a picture on the server first.");
    return;
  }
  begin({ path });
  state.unseen = ON_SERVER;
  ask();
}

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
  if (number !== state.pictureCount) return;
  if (bytes) openBytes(bytes, { name, type: file.type });
  else showProblem("image", `${name} cannot be read any more; choose it again.`);
}

async function openBytes(bytes, { name, type }) {
  const number = state.pictureCount;
  state.source = { blob: new Blob([bytes], { type }), name };
  picture.src = URL.createObjectURL(state.source.blob);
  const decoded = picture.decode().then(() => true, () => false);
  ask();
  // HEIC in most browsers is not decoded, nor what is no picture at all: the service decides.
  const seen = (await decoded) && !isTurnedWebp(bytes);
  if (number !== state.pictureCount) return;
  state.visible = seen;
  state.unseen = UNSHOWN;
  if (isAnimated(bytes)) note("This picture moves; the models see its first frame only.");
  if (seen) state.size ??= { width: picture.naturalWidth, height: picture.naturalHeight };
  // The answer may have come first: it is shown anew with the picture, unless something newer is
  // asked or told.
  if (state.shown && !state.flight && !findProblem()) {
    show(state.shown);
    return;
  }
  showPicture();
  draw();
  revealProblem(); // which the picture may have pushed out of the window
}

// Forget the picture before, and everything that was asked and said about it.
function begin(source) {
  const had = document.activeElement;
  drop();
  letGo(); // the pointer may still be pressed, and is about nothing now
  if (state.source) {
    $("x").value = "";
    $("y").value = "";
  }
  removeKept();
  if ($("path") && !source?.path) $("path").value = "";
  startOver(source);
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
  return state.pictureCount;
}
