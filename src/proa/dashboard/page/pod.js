// One pod: where it is in its life, its containers, what it used, what happened to it, what it says.

import { ask, pieces } from "./asking.js";
import { row, rows, since } from "./model.js";
import { chart, cpu, duration, h, memory, show } from "./parts.js";
import { eventItems, eventTable } from "./tables.js";

const MOST_CHARACTERS = 1_000_000;
const drawings = new Map();

/** The drawing of a machine, in this page's colours. */
async function drawing(name) {
  if (!drawings.has(name)) {
    const answer = await fetch(`drawings/${name}.svg`);
    const document_ = new DOMParser().parseFromString(await answer.text(), "image/svg+xml");
    drawings.set(name, document_.documentElement);
  }
  return document.importNode(drawings.get(name), true);
}

function life(name) {
  const box = h("div.drawing", { "data-machine": name });
  let svg = null;
  let state = null;
  const mark = () => {
    svg?.querySelectorAll(".state").forEach(each => {
      each.classList.toggle("here", each.querySelector("text").textContent === state);
    });
    const now = svg?.querySelector(".here rect");
    if (now && box.scrollWidth > box.clientWidth) {
      const [own, frame] = [now.getBoundingClientRect(), box.getBoundingClientRect()];
      box.scrollLeft += own.x + own.width / 2 - frame.x - frame.width / 2;
    }
    svg?.setAttribute("aria-label", `The life of a ${name}: now ${state ?? "not begun"}`);
  };
  drawing(name).then(made => { svg = made; box.replaceChildren(svg); mark(); }, () => box.replaceChildren("The drawing cannot be had."));
  return { box, at: now => { if (now !== state) { state = now; mark(); } } };
}

function fact(name, value) {
  return value ? [h("dt", {}, name), h("dd", {}, value)] : [];
}

function containerCard(item) {
  return h("div.card", {},
    h("div.top", {}, h("h3", {}, item.name), h("span.state", { class: item.level }, item.state)),
    item.why ? h("p", { class: item.level === "bad" ? "bad" : "quiet" }, item.why) : null,
    h("dl.facts", {}, fact("Image", h("span.mono", {}, item.image)), fact("For", item.age),
      fact("Restarts", item.restarts ? `${item.restarts}${item.last ? `, the last time: ${item.last}` : ""}` : "")));
}

function follow(pane, said, namespace, pod, container, previous) {
  const stop = new AbortController();
  const query = new URLSearchParams({ namespace, pod, container, previous });
  const atEnd = () => pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40;
  (async () => {
    said.textContent = "";
    const answer = await ask(`logs?${query}`, { signal: stop.signal });
    if (!answer.ok) { said.textContent = await answer.text(); return; }
    said.textContent = previous ? "" : "following";
    let length = 0;
    for await (const value of pieces(answer)) {
      const stick = atEnd();
      pane.append(value);
      length += value.length;
      while (length > MOST_CHARACTERS && pane.childNodes.length > 1) {
        length -= pane.firstChild.length;
        pane.firstChild.remove();
      }
      if (stick) pane.scrollTop = pane.scrollHeight;
    }
    said.textContent = pane.childNodes.length ? "ended" : "empty";
  })().catch(error => { if (error.name !== "AbortError") said.textContent = error.message; });
  return () => stop.abort();
}

export function podPage(main, namespace, name) {
  const key = `Pod/${namespace}/${name}`;
  document.title = `${name} · proa`;
  const state = h("h1"), why = h("p"), facts = h("dl.facts"), containers = h("div.cards", { id: "containers" });
  const [events, eventBody, eventRow] = eventTable(false);
  const podLife = life("pod"), containerLife = life("container");
  const charts = h("div.two", { id: "usage" });
  const pane = h("pre.log.mono", { id: "log", tabindex: "0", "aria-label": "Log" }), said = h("span.quiet");
  const chooser = h("select", { "aria-label": "Container", onchange: () => read() });
  const before = h("input", { type: "checkbox", onchange: () => read() });
  let stop = () => {};
  let reading = null;
  let usageAt = 0;

  function read() {
    stop();
    pane.replaceChildren();
    reading = chooser.value;
    stop = follow(pane, said, namespace, name, chooser.value, before.checked);
    mark();
  }

  function mark() {
    const pod = row("pods", key);
    containerLife.at(pod?.containers.find(each => each.name === chooser.value)?.life ?? null);
  }

  async function used() {
    const usage = row("usage", "");
    if (!usage || usage.at === usageAt) return;
    usageAt = usage.at;
    const answer = await ask(`usage?${new URLSearchParams({ of: `pods/${namespace}/${name}` })}`);
    if (!answer.ok) return;
    const history = await answer.json();
    const last = values => values.findLast(value => value !== null) ?? null;
    const one = (title, values, write) => h("div", {}, h("h3", {}, title, " ", h("span.quiet", {}, write(last(values)))),
      chart(values, 0, `${title} over the last hour, now ${write(last(values))}`, "chart"),
      h("p.quiet", {}, `the last ${duration(values.length * usage.seconds)}, at most ${write(Math.max(...values.filter(value => value !== null)))}`));
    if (history.cpu.length) charts.replaceChildren(one("CPU", history.cpu, cpu), one("Memory", history.memory, memory));
    else charts.replaceChildren(h("p.empty", {}, usage.problem || "Nothing measured yet."));
  }

  function update() {
    const pod = row("pods", key);
    if (!pod) {
      state.className = "done";
      state.textContent = rows("ready").some(each => each.key === "Pod") ? `${name} is gone` : "Looking…";
      return;
    }
    state.className = pod.level === "done" ? "good" : pod.level;
    state.textContent = `${name}: ${pod.state}`;
    why.textContent = pod.why;
    facts.replaceChildren(...[fact("Namespace", pod.namespace), fact("Node", pod.node), fact("Address", pod.ip),
      fact("Owner", pod.owner), fact("Age", duration(since(pod.since))),
      ...pod.conditions.filter(each => each.status !== "True" && each.why && each.type !== "ContainersReady").map(each => fact(`not ${each.type}`, each.why))].flat());
    show(containers, pod.containers.map(each => ({ ...each, since: 0, age: each.since ? duration(since(each.since)) : "" })),
      each => each.name, containerCard);
    show(chooser, pod.containers.map(each => each.name), each => each, each => h("option", { value: each }, each));
    podLife.at(pod.life);
    mark();
    const current = pod.containers.find(each => each.name === chooser.value);
    const sign = `${chooser.value}/${current?.restarts}/${["running"].includes(current?.state)}`;
    if (chooser.value && current?.state !== "waiting" && reading !== sign && !before.checked) {
      read();
      reading = sign;
    }
    show(eventBody, eventItems(each => each.uid === pod.uid), each => each.key, eventRow);
    events.hidden = !eventBody.children.length;
    used();
  }

  main.replaceChildren(
    h("section.verdict", {}, h("a.quiet", { href: "#/" }, "← The cluster"), state, why),
    facts,
    h("section", {}, h("div.head", {}, h("h2", {}, "Containers")), containers),
    h("section", {}, h("div.head", {}, h("h2", {}, "Log"), said,
      h("div.tools", {}, chooser, h("label.quiet", {}, before, " of the run before"))), pane),
    h("section", {}, h("div.head", {}, h("h2", {}, "Use over time")), charts),
    h("section", {}, h("div.head", {}, h("h2", {}, "Where it is in its life")),
      h("div.lives", {}, h("div", {}, h("h3", {}, "The container"), containerLife.box), h("div", {}, h("h3", {}, "The pod"), podLife.box))),
    h("section", {}, h("div.head", {}, h("h2", {}, "Events")), events));
  update();
  return { update, end: () => stop() };
}
