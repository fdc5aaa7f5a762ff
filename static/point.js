// The point: the fields X, Y and Unit hold it, and nothing else does.

import { $ } from "./elements.js";
import { state } from "./state.js";

export const percent = () => $("unit").value === "percent";

// What a field holds; keyboards of many languages have the decimal comma only.
export const typed = (id) => $(id).value.trim().replace(",", ".");

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

// The point in the fields, in pixels; null while they hold none inside the picture.
export function fieldPoint() {
  const { size } = state;
  // As the service reads them: JavaScript would take 0x10, too.
  if (!size || !["x", "y"].every((id) => DECIMAL.test(typed(id)))) return null;
  const [x, y] = ["x", "y"].map((id) => Number(typed(id)));
  if (percent() && (x > 100 || y > 100)) return null;
  const point = percent()
    ? { x: Math.min((x * size.width) / 100, size.width - 1), y: Math.min((y * size.height) / 100, size.height - 1) }
    : { x: Math.floor(x), y: Math.floor(y) };
  return point.x >= 0 && point.y >= 0 && point.x < size.width && point.y < size.height ? point : null;
}

export function writePoint({ x, y }) {
  const { width, height } = state.size;
  const inside = (value, side) => Math.min(Math.max(value, 0), side - 1);
  const at = { x: inside(x, width), y: inside(y, height) };
  const text = (value, side) =>
    // The middle of the pixel, so that rounding does not move to its neighbor.
    String(percent() ? Number(((100 * (Math.floor(value) + 0.5)) / side).toFixed(3)) : Math.floor(value));
  $("x").value = text(at.x, width);
  $("y").value = text(at.y, height);
}

// The unit was changed, and X and Y still hold the other one.
export function convertPoint() {
  $("unit").value = percent() ? "px" : "percent";
  const point = fieldPoint();
  $("unit").value = percent() ? "px" : "percent";
  if (point) writePoint(point);
}
