// The page: what needs somebody first, then nodes, workloads, pods and events. One address for each pod.

import { ask } from "./asking.js";
import { enterByLink, leave, loginForm } from "./login.js";
import { changed, close, complete, open, row, rows, since, status } from "./model.js";
import { chart, cpu, duration, h, memory, plural, show } from "./parts.js";
import { podPage } from "./pod.js";
import { serviceItems, serviceRow } from "./services.js";
import { eventItems, eventTable, named, table } from "./tables.js";

const MOST_ROWS = 200;
const STALE = 120; // seconds after which "on its way" begins to look like trouble
const main = document.getElementById("main");
const chosen = { namespace: "", text: "", troubled: false, routine: false };
let update = () => {};
let end = () => {};

const age = moment => (since(moment) === null ? "" : duration(since(moment)));
const here = item => item.namespace ? `in ${item.namespace}` : "";
const podLink = pod => `#/pods/${encodeURIComponent(pod.namespace)}/${encodeURIComponent(pod.name)}`;
const order = { bad: 0, busy: 1, good: 2, done: 3 };
const byTrouble = (one, other) => order[one.level] - order[other.level]
  || one.namespace.localeCompare(other.namespace) || one.name.localeCompare(other.name);

// ---- what needs somebody ----

function troubles() {
  const found = [];
  for (const problem of rows("problems")) {
    if (since(problem.at) < 60) {
      found.push({ key: `problem/${problem.key}`, level: problem.level, title: `${problem.key} objects cannot be followed`, why: problem.why, since: "" });
    }
  }
  for (const node of rows("nodes").filter(each => each.level === "bad")) {
    found.push({ key: node.key, level: "bad", title: `Node ${node.name}`, why: node.why, since: age(node.since) });
  }
  found.push(...fullNodes());
  for (const each of rows("workloads").filter(item => item.level === "bad")) {
    found.push({ key: each.key, level: "bad", title: `${each.kind} ${each.name}`, where: here(each), why: each.why, since: age(each.since) });
  }
  return [...found, ...podTroubles()];
}

/** Nodes that had next to nothing left for a minute. */
function fullNodes() {
  const histories = row("usage", "")?.nodes ?? {};
  return rows("nodes").flatMap(node => [["cpu", "Its processors are all in use."], ["memory", "Its memory is all in use."]].flatMap(([what, why]) => {
    const last = histories[`nodes/${node.name}`]?.[what].slice(-4) ?? [];
    const full = node[what] && last.length === 4 && last.every(value => value !== null && value > 0.95 * node[what]);
    return full ? [{ key: `${node.key}/${what}`, level: "busy", title: `Node ${node.name}`, why, since: "" }] : [];
  }));
}

/** Pods of one owner that have the same trouble are one trouble. */
function podTroubles() {
  const groups = new Map();
  for (const pod of rows("pods")) {
    const slow = pod.level === "busy" && since(pod.since) > STALE;
    if (pod.level !== "bad" && !slow) continue;
    const key = `${pod.namespace}/${pod.owner || pod.name}/${pod.state}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(pod);
  }
  return [...groups].sort(([, one], [, other]) => other.length - one.length).map(([key, pods]) => ({
    key, level: pods[0].level, link: podLink(pods[0]), where: here(pods[0]), why: pods[0].why, since: age(pods[0].since),
    title: pods.length === 1 ? `${pods[0].name}: ${pods[0].state}`
      : `${pods[0].owner.split("/").at(-1)}: ${pods[0].state} in ${plural(pods.length, "pod")}`,
  }));
}

function trouble(item) {
  return h("div.trouble", { class: item.level },
    h("span", {}, item.link ? h("a", { href: item.link }, h("b", {}, item.title)) : h("b", {}, item.title),
      " ", h("span.quiet", {}, item.where)),
    h("span.quiet", {}, item.since),
    item.why ? h("p", {}, item.why) : null);
}

function verdict(found) {
  if (!complete()) return ["busy", "Looking…"];
  const bad = found.filter(item => item.level === "bad").length;
  if (bad) return ["bad", bad === 1 ? "One thing needs you" : `${bad} things need you`];
  if (found.length) return ["busy", found.length === 1 ? "One thing takes long" : `${found.length} things take long`];
  return ["good", "All is well"];
}

function census() {
  const pods = rows("pods");
  const count = level => pods.filter(pod => pod.level === level).length;
  const parts = [plural(rows("nodes").length, "node"), plural(rows("workloads").length, "workload"), `${plural(count("good"), "pod")} running`];
  if (count("busy")) parts.push(`${count("busy")} on their way`);
  if (count("bad")) parts.push(`${count("bad")} in trouble`);
  if (count("done")) parts.push(`${count("done")} done`);
  return parts.join(" · ");
}

// ---- nodes ----

function nodeItems() {
  const usage = row("usage", "") ?? { now: {}, nodes: {} };
  const pods = rows("pods");
  return rows("nodes").sort(byTrouble).map(node => ({
    ...node, since: age(node.since), measured: usage.problem, now: usage.now[`nodes/${node.name}`] ?? null,
    history: usage.nodes[`nodes/${node.name}`] ?? null,
    running: pods.filter(pod => pod.node === node.name && pod.level !== "done").length,
  }));
}

function nodeCard(node) {
  const state = node.level === "good" ? "Ready" : "Not ready";
  const meter = (name, at, most, write) => h("div.meter", {}, h("span.quiet", {}, name),
    chart(node.history[at], most, `${name} of ${node.name} over the last hour`),
    h("span.num", {}, `${write(node.now?.[name === "CPU" ? 0 : 1])} of ${write(most)}`));
  return h("div.card", {},
    h("div.top", {}, h("h3", {}, node.name), node.cordoned ? h("span.busy", {}, "cordoned") : null,
      h("span", { class: node.level }, node.level === "good" && node.cordoned ? "Ready" : state)),
    node.level === "bad" ? h("p.bad", {}, node.why) : null,
    node.history ? [meter("CPU", "cpu", node.cpu, cpu), meter("Memory", "memory", node.memory, memory)]
      : h("p.quiet", {}, `${cpu(node.cpu)} CPUs, ${memory(node.memory)}`),
    h("p.quiet", {}, `${node.running} of ${node.pods ?? "?"} pods · ${node.version} · ${node.since}`));
}

// ---- tables ----

const wanted = item => (!chosen.namespace || item.namespace === chosen.namespace)
  && (!chosen.text || `${item.namespace}/${item.name} ${item.node ?? ""} ${item.state ?? item.reason ?? ""} ${item.about ?? ""}`.toLowerCase().includes(chosen.text))
  && (!chosen.troubled || item.level === "bad" || item.level === "busy");

const ran = item => (item.kind !== "CronJob" ? "" : item.last === null ? "has not run yet" : `ran ${age(item.last)} ago`);

function cronJobRow(item) {
  return h("tr", {}, named(item), h("td.hide", {}, item.kind), h("td.side.mono", {}, item.schedule),
    h("td.why", {}, [item.ran, item.why].filter(Boolean).join(", ")),
    h("td.num.hide.quiet", {}, item.age));
}

function workloadRow(item) {
  if (item.kind === "CronJob") return cronJobRow(item);
  const share = item.wanted ? Math.min(item.ready / item.wanted, 1) * 100 : 100;
  const fill = h("i", { class: `fill-${item.level}` });
  fill.style.width = `${share}%`;
  fill.style.background = `var(--${item.level})`;
  return h("tr", {}, named(item), h("td.hide", {}, item.kind),
    h("td.side", {}, h("span.bar", { "aria-hidden": true }, fill),
      h("span", { class: item.level === "good" || item.level === "done" ? "" : "bad" }, `${item.ready}/${item.wanted}`)),
    h("td.why", {}, item.why), h("td.num.hide.quiet", {}, item.age));
}

function podRow(item) {
  return h("tr", {}, named(item, podLink(item)),
    h("td.side", {}, h("span.state", { class: item.level }, item.state)),
    h("td.hide", {}, item.ready), h("td.num.hide", {}, item.restarts ? `${item.restarts}` : h("span.quiet", {}, "0")),
    h("td.num.hide", {}, cpu(item.now?.[0])), h("td.num.hide", {}, memory(item.now?.[1])),
    h("td.hide.quiet", {}, item.node), h("td.num.hide.quiet", {}, item.age));
}

// ---- the overview ----

function overview() {
  document.title = "proa";
  const title = h("h1"), sum = h("p.quiet", { id: "census" }), list = h("div.list", { id: "troubles" });
  const nodes = h("div.cards", { id: "nodes" }), usage = h("span.quiet");
  const [workloadTable, workloads] = table(["Name", "Kind", "Ready", "", ">Age"]);
  const [podTable, pods] = table(["Name", "State", "Ready", ">Restarts", ">CPU", ">Memory", "Node", ">Age"]);
  const [serviceTable, services] = table(["Name", "Kind", "Ready", "Address", "Ports or routes", ">Age"]);
  const [eventsTable, events, eventRow] = eventTable();
  const more = h("p.empty"), nowhere = h("p.empty"), none = h("p.empty"), quiet = h("p.empty");
  pods.id = "pods";
  services.id = "services";
  const spaces = h("select", { "aria-label": "Namespace", onchange: () => { chosen.namespace = spaces.value; refresh(); } });
  const text = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter", oninput: () => { chosen.text = text.value.toLowerCase(); refresh(); } });
  text.value = chosen.text;
  const troubled = h("input", { type: "checkbox", onchange: () => { chosen.troubled = troubled.checked; refresh(); } });
  troubled.checked = chosen.troubled;
  const routine = h("input", { type: "checkbox", onchange: () => { chosen.routine = routine.checked; refresh(); } });
  routine.checked = chosen.routine;

  function namespaces() {
    const names = [...new Set([...rows("pods"), ...rows("workloads")].map(item => item.namespace))].sort();
    show(spaces, ["", ...names], name => name, name => h("option", { value: name }, name || "All namespaces"));
    spaces.value = chosen.namespace;
  }

  function refresh() {
    const found = troubles();
    const [level, sentence] = verdict(found);
    title.className = level;
    title.textContent = sentence;
    document.title = level === "bad" ? `(${found.length}) proa` : "proa";
    sum.textContent = complete() ? census() : "";
    show(list, found.slice(0, 30), item => item.key, trouble);
    usage.textContent = row("usage", "")?.problem ?? "";
    show(nodes, nodeItems(), item => item.key, nodeCard);
    namespaces();
    const shownWorkloads = rows("workloads").filter(wanted).sort(byTrouble);
    show(workloads, shownWorkloads.slice(0, MOST_ROWS).map(item => ({ ...item, since: 0, age: age(item.since), ran: ran(item) })), item => item.key, workloadRow);
    workloadTable.hidden = !shownWorkloads.length;
    none.textContent = shownWorkloads.length ? "" : "None.";
    const now = row("usage", "")?.now ?? {};
    const shownPods = rows("pods").filter(wanted).sort(byTrouble);
    show(pods, shownPods.slice(0, MOST_ROWS).map(item => ({
      key: item.key, name: item.name, namespace: item.namespace, level: item.level, state: item.state, ready: item.ready,
      restarts: item.restarts, node: item.node, age: age(item.since), now: now[`pods/${item.namespace}/${item.name}`] ?? null,
    })), item => item.key, podRow);
    podTable.hidden = !shownPods.length;
    more.textContent = !shownPods.length ? "None." : shownPods.length > MOST_ROWS ? `And ${shownPods.length - MOST_ROWS} more: narrow the filter.` : "";
    const shownServices = serviceItems().filter(wanted).sort(byTrouble);
    show(services, shownServices.slice(0, MOST_ROWS).map(item => ({ ...item, since: 0, age: age(item.since) })), item => item.key, serviceRow);
    serviceTable.hidden = !shownServices.length;
    nowhere.textContent = shownServices.length ? "" : "None.";
    const shownEvents = eventItems(item => wanted(item) && (chosen.routine || item.level === "bad"));
    show(events, shownEvents, item => item.key, eventRow);
    eventsTable.hidden = !shownEvents.length;
    quiet.textContent = shownEvents.length ? "" : chosen.routine ? "None." : "No warnings.";
  }

  main.replaceChildren(
    h("section.verdict", { "aria-live": "polite" }, title, sum, list),
    h("section", {}, h("div.head", {}, h("h2", {}, "Nodes"), usage), nodes),
    h("section", {}, h("div.head", {}, h("h2", {}, "Workloads"),
      h("div.tools", {}, text, spaces, h("label.quiet", {}, troubled, " only troubled"))), workloadTable, none),
    h("section", {}, h("div.head", {}, h("h2", {}, "Pods")), podTable, more),
    h("section", {}, h("div.head", {}, h("h2", {}, "Services")), serviceTable, nowhere),
    h("section", {}, h("div.head", {}, h("h2", {}, "Events"), h("div.tools", {}, h("label.quiet", {}, routine, " routine ones, too"))), eventsTable, quiet));
  refresh();
  return refresh;
}

// ---- moving about ----

function route() {
  end();
  end = () => {};
  const parts = location.hash.split("/").map(part => { try { return decodeURIComponent(part); } catch { return ""; } });
  if (parts[1] === "pods" && parts.length === 4) {
    const page = podPage(main, parts[2], parts[3]);
    [update, end] = [page.update, page.end];
  } else {
    update = overview();
  }
  scrollTo(0, 0);
}

function header() {
  const live = document.getElementById("live");
  const cluster = row("cluster", "");
  const asking = document.getElementById("token") !== null;
  live.textContent = asking ? "" : status.live ? "live" : cluster ? "connection lost: what you see is old" : "connecting…";
  live.className = status.live ? "on" : cluster ? "off" : "quiet";
  document.getElementById("leave").hidden = !cluster;
  if (cluster) document.getElementById("server").textContent = cluster.user === "you" ? cluster.server : `${cluster.server} as ${cluster.user}`;
}

function signIn(problem) {
  close();
  end();
  [update, end] = [() => {}, () => {}];
  document.getElementById("live").textContent = "";
  loginForm(main, problem, begin);
}

function begin() {
  route();
  open(() => signIn());
}

document.getElementById("leave").addEventListener("click", async () => { await leave(); signIn(); });
addEventListener("hashchange", () => { if (location.hash.startsWith("#login=")) location.reload(); else route(); });
changed(() => { header(); if (document.getElementById("token") === null) update(); });

const problem = await enterByLink().catch(error => error.message);
const known = await ask("usage");
if (known.status === 401) signIn(problem);
else begin();
