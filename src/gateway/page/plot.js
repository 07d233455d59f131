// Power and energy of a transaction over time, as they were seen.

import { element, picture } from "./elements.js";

const MOST = 400;
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [440, 120, 50, 56, 8, 18];
const runs = new Map(); // what was seen, by charger and EVSE

const kilo = (number, unit) => (number >= 1000 ? `${Number((number / 1000).toFixed(number >= 100_000 ? 0 : 1))} k${unit}` : `${number} ${unit}`);
const clock = (seconds) => (seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : seconds >= 120 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds} s`);

// Takes in what a connector shows now; the figure of its latest transaction, or nothing.
export function plot(charger, connector) {
  const key = `${charger}\n${connector.evse_id}`;
  const now = connector.transaction;
  let run = runs.get(key);
  if (now && run?.id !== now.id) {
    run = { id: now.id, points: [] };
    runs.set(key, run);
  }
  if (!run) return null;
  run.isOver = !now;
  const last = run.points.at(-1);
  if (now && last?.seconds !== now.seconds) {
    run.points.push({ seconds: now.seconds, power: connector.power_w, energy: now.energy_wh });
    // Every other one is enough of a long transaction; the ends stay.
    if (run.points.length > MOST) run.points = run.points.filter((_, at) => at % 2 === 0 || at === run.points.length - 1);
  } else if (now) {
    Object.assign(last, { power: connector.power_w, energy: now.energy_wh });
  }
  return drawn(run);
}

export const forget = () => runs.clear();

// A round number that is not less.
function above(most) {
  const unit = 10 ** Math.max(Math.floor(Math.log10(Math.max(most, 1))), 1);
  return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((times) => times * unit).find((it) => it >= most);
}

function drawn({ id, points, isOver }) {
  const [first, last] = [points[0], points.at(-1)];
  const [begin, end] = [first.seconds, Math.max(last.seconds, first.seconds + 1)];
  const [power, energy] = [above(Math.max(...points.map((it) => it.power))), above(Math.max(...points.map((it) => it.energy)))];
  const x = (seconds) => LEFT + ((WIDTH - LEFT - RIGHT) * (seconds - begin)) / (end - begin);
  const y = (share) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;
  const round = (number) => number.toFixed(1);
  // Power holds until it changes; energy grows evenly.
  const steps = points.flatMap((it, at) => [[it.seconds, points[at - 1]?.power ?? it.power], [it.seconds, it.power]]);
  const line = (pairs, most) => pairs.map(([seconds, value]) => `${round(x(seconds))},${round(y(value / most))}`).join(" ");
  const of = (name) => line(points.map((it) => [it.seconds, it[name]]), energy);
  const text = (x, y, anchor, inside, kind = "") => picture("text", { x, y, "text-anchor": anchor, class: kind }, inside);
  const grid = [0, 0.5, 1].map((share) => picture("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(share), y2: y(share), class: "grid" }));
  const said = `power ${kilo(last.power, "W")}, energy ${kilo(last.energy, "Wh")} after ${clock(last.seconds)}`;
  const drawing = picture("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Transaction ${id}: ${said}` },
    ...grid,
    picture("polygon", { points: `${round(x(begin))},${y(0)} ${line(steps, power)} ${round(x(last.seconds))},${y(0)}`, class: "power-area" }),
    picture("polyline", { points: line(steps, power), class: "power" }),
    picture("polyline", { points: of("energy"), class: "energy" }),
    picture("circle", { cx: round(x(last.seconds)), cy: round(y(last.energy / energy)), r: 2.5, class: "energy-end" }),
    text(LEFT - 5, y(1) + 4, "end", kilo(power, "W"), "power-text"), text(LEFT - 5, y(0) + 4, "end", "0", "power-text"),
    text(WIDTH - RIGHT + 5, y(1) + 4, "start", kilo(energy, "Wh"), "energy-text"), text(WIDTH - RIGHT + 5, y(0) + 4, "start", "0", "energy-text"),
    text(LEFT, HEIGHT - 4, "start", clock(begin)), text(WIDTH - RIGHT, HEIGHT - 4, "end", clock(end)));
  const state = isOver ? "has ended" : "runs";
  return element("figure", { class: "plot" }, drawing, element("figcaption", {}, `Transaction ${id} ${state}: `,
    element("span", { class: "power-text" }, `power ${kilo(last.power, "W")}`), ", ",
    element("span", { class: "energy-text" }, `energy ${kilo(last.energy, "Wh")}`), ` after ${clock(last.seconds)}`));
}
