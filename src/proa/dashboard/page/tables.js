// Tables, and the one of events, which the overview and each pod have.

import { rows, since } from "./model.js";
import { duration, h } from "./parts.js";

export const named = (item, link) => h("td.name", {}, link ? h("a", { href: link }, item.name) : item.name, " ",
  h("span.quiet", {}, item.namespace));

function eventRow(item, about) {
  return h("tr", {}, h("td.side.num.quiet", {}, item.ago), h("td.name", {}, h("span.state", { class: item.level === "bad" ? "bad" : "" }, item.reason), " ",
    item.count > 1 ? h("span.quiet", {}, `×${item.count}`) : null),
    about ? h("td.wide", {}, `${item.kind} ${item.about} `, h("span.quiet", {}, item.namespace)) : null, h("td.why", {}, item.why));
}

export const eventItems = keep => rows("events").filter(keep).sort((one, other) => other.at - one.at)
  .slice(0, 60).map(item => ({ ...item, since: 0, at: 0, ago: duration(since(item.at)) }));

export function table(columns) {
  const body = h("tbody");
  const head = h("tr", {}, columns.map(name => h("th", { scope: "col", class: name.startsWith(">") ? "num" : "" }, name.replace(">", ""))));
  return [h("table", {}, h("thead", {}, head), body), body];
}

/** A table of events, its body, and what makes a row; without what they are about, where that is said elsewhere. */
export function eventTable(about = true) {
  return [...table([">Ago", "What", ...(about ? ["About"] : []), "Message"]), item => eventRow(item, about)];
}
