// Services and Ingresses: where they are, and what is behind them.

import { rows } from "./model.js";
import { h } from "./parts.js";
import { named } from "./tables.js";

/** Every Service with the number of its endpoints; one that nothing answers for is no good. */
export function serviceItems() {
  const behind = new Map();
  for (const slice of rows("endpoints")) {
    const key = `${slice.namespace}/${slice.service}`;
    const known = behind.get(key) ?? { ready: 0, count: 0 };
    behind.set(key, { ready: known.ready + slice.ready, count: known.count + slice.count });
  }
  return rows("services").map(item => {
    if (item.kind !== "Service" || !item.selects) return { ...item, ready: "" };
    const { ready, count } = behind.get(`${item.namespace}/${item.name}`) ?? { ready: 0, count: 0 };
    return { ...item, ready: `${ready}/${count}`, level: ready ? "good" : "busy", why: ready ? "" : "no endpoint is ready" };
  });
}

export function serviceRow(item) {
  return h("tr", {}, named(item), h("td.hide", {}, item.kind === "Ingress" ? "Ingress" : item.type),
    h("td.side", { class: item.level === "good" ? "" : item.level }, item.why || item.ready),
    h("td.wide.mono", {}, item.address), h("td.wide.why", {}, item.ports), h("td.num.hide.quiet", {}, item.age));
}
