// Small parts that everything is made of: elements, rows that stay where they are, figures, charts.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: attributes first, then children; text stays text, whatever a cluster's names say. */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Show items in a parent; what has not changed stays the same element, so that focus and selection do, too. */
export function show(parent, items, key, build) {
  const before = parent.parts ?? new Map();
  const after = new Map();
  for (const item of items) {
    const name = key(item);
    const sign = JSON.stringify(item);
    const known = before.get(name);
    after.set(name, known?.sign === sign ? known : { sign, element: build(item) });
  }
  parent.parts = after;
  const wanted = [...after.values()].map(part => part.element);
  const same = wanted.length === parent.children.length && wanted.every((each, at) => each === parent.children[at]);
  if (!same) parent.replaceChildren(...wanted);
}

/** Seconds as people say them. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} d`;
}

export function cpu(cores) {
  if (cores === null || cores === undefined) return "–";
  return cores < 0.0995 ? `${Math.round(cores * 1000)}m` : cores.toFixed(cores < 10 ? 2 : 1);
}

export function memory(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) { bytes /= 1024; at += 1; }
  return `${bytes.toFixed(bytes < 10 && at ? 1 : 0)} ${units[at]}`;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A line of values with gaps, from 0 to a most; for people who can't see it, a sentence. */
export function chart(values, most, sentence, style = "spark") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", style);
  svg.setAttribute("viewBox", "0 0 240 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", sentence);
  const step = 240 / Math.max(values.length - 1, 1);
  const top = most || Math.max(...values.filter(value => value !== null), 0) * 1.15 || 1;
  const runs = [[]];
  values.forEach((value, at) => {
    if (value === null) runs.push([]);
    else runs.at(-1).push([at * step, 98 - 96 * Math.min(value / top, 1)]);
  });
  for (const run of runs.filter(each => each.length > 1)) {
    const line = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
    for (const [name, path] of [["area", `M${run[0][0]} 100L${line}L${run.at(-1)[0]} 100Z`], ["line", `M${line}`]]) {
      const element = document.createElementNS(SVG, "path");
      element.setAttribute("class", name);
      element.setAttribute("d", path);
      svg.append(element);
    }
  }
  return svg;
}
