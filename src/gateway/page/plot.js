// Power and energy of a transaction over time, from its beginning on.

import { element, picture } from "./elements.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 110, 48, 52, 8, 18];

const kilo = (number, unit) => (number >= 1000 ? `${Number((number / 1000).toFixed(number >= 100_000 ? 0 : 1))} k${unit}` : `${number} ${unit}`);
const clock = (seconds) => (seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : seconds >= 120 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds} s`);

// A round number that is not less.
function above(most) {
  const unit = 10 ** Math.max(Math.floor(Math.log10(Math.max(most, 1))), 1);
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((times) => times * unit).find((it) => it >= most);
}

// The figure of a connector's latest transaction, or nothing. Power holds until it changes; energy grows evenly between.
export function plot(course) {
  if (!course) return null;
  const { transaction_id: id, has_ended: hasEnded, ran_ms: ran, energy_wh: total, changes } = course;
  const now = changes.at(-1)?.power_w ?? 0;
  const span = Math.max(ran, 1000);
  // Meters count whole watt-hours, which are too coarse for a short transaction. Where changes were forgotten, they know more.
  let flowed = 0;
  const energies = [...changes, { at_ms: ran, energy_wh: total }].map((it, at, all) => {
    if (at) flowed += (all[at - 1].power_w * (it.at_ms - all[at - 1].at_ms)) / 3_600_000;
    if (Math.abs(flowed - it.energy_wh) > 1) flowed = it.energy_wh;
    return [it.at_ms, flowed];
  });
  const [power, energy] = [above(Math.max(0, ...changes.map((it) => it.power_w))), above(Math.max(total, flowed))];
  const x = (millis) => LEFT + ((WIDTH - LEFT - RIGHT) * Math.min(millis, span)) / span;
  const y = (share) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
  const round = (number) => number.toFixed(1);
  const line = (pairs, most) => pairs.map(([millis, value]) => `${round(x(millis))},${round(y(value / most))}`).join(" ");
  const steps = line([...changes.flatMap((it, at) => [[it.at_ms, changes[at - 1]?.power_w ?? it.power_w], [it.at_ms, it.power_w]]), [ran, now]], power);
  const grown = line(energies, energy);
  const text = (x, y, anchor, inside, kind = "") => picture("text", { x, y, "text-anchor": anchor, class: kind }, inside);
  const grid = [0, 0.5, 1].map((share) => picture("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "grid" }));
  const after = clock(Math.floor(ran / 1000));
  const state = hasEnded ? "has ended: " : "runs: ";
  // What flowed at last is no news of one that is over.
  const flows = hasEnded ? [] : [element("span", { class: "power-text" }, `power ${kilo(now, "W")}`), ", "];
  const caption = element("figcaption", {}, `Transaction ${id} ${state}`, ...flows, element("span", { class: "energy-text" }, `energy ${kilo(total, "Wh")}`), ` after ${after}`);
  const drawing = picture("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": caption.textContent },
    ...grid,
    picture("polygon", { points: `${round(x(0))},${y(0)} ${steps} ${round(x(ran))},${y(0)}`, class: "power-area" }),
    picture("polyline", { points: steps, class: "power" }),
    picture("polyline", { points: grown, class: "energy" }),
    picture("circle", { cx: round(x(ran)), cy: round(y(flowed / energy)), r: 2.5, class: "energy-end" }),
    text(LEFT - 5, y(1) + 4, "end", kilo(power, "W"), "power-text"), text(LEFT - 5, y(0) + 4, "end", "0", "power-text"),
    text(WIDTH - RIGHT + 5, y(1) + 4, "start", kilo(energy, "Wh"), "energy-text"), text(WIDTH - RIGHT + 5, y(0) + 4, "start", "0", "energy-text"),
    text(LEFT, HEIGHT - 4, "start", "0 s"), text(WIDTH - RIGHT, HEIGHT - 4, "end", clock(Math.floor(span / 1000))));
  return element("figure", { class: "plot" }, drawing, caption);
}
