// The cluster as this browser knows it: tables of rows, kept current by one stream.

import { ask, pieces } from "./asking.js";

export const tables = {};
export const status = { live: false };
const listeners = new Set();
let source = null;
let pending = false;
let skew = 0;

const table = name => (tables[name] ??= new Map());
export const rows = name => [...table(name)].map(([key, row]) => ({ key, ...row }));
export const row = (name, key) => table(name).get(key);

/** Seconds since a moment, by the cluster's clock. */
export const since = moment => (moment === null || moment === undefined ? null : Date.now() / 1000 + skew - moment);

export function changed(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    for (const listener of listeners) listener();
  });
}

/** Whether every kind has been listed once: before that nothing can be said. */
export const complete = () => table("ready").size >= (row("cluster", "")?.kinds ?? Infinity);

function take(changes) {
  status.live = true;
  for (const [name, key, value] of changes) {
    if (name === "cluster") skew = value.now - Date.now() / 1000;
    if (value === null) table(name).delete(key);
    else table(name).set(key, value);
  }
  tell();
}

/** Read one stream to its end; everything comes anew at its beginning. */
async function read(stop) {
  const answer = await ask("stream", { signal: stop.signal });
  if (answer.status === 401) return true;
  if (!answer.ok) return false;
  for (const name of Object.keys(tables)) if (name !== "usage") tables[name].clear();
  let rest = "";
  for await (const piece of pieces(answer)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) take(JSON.parse(line));
  }
  return false;
}

/** Follow the cluster until `close`, over every failure; `refused` is called when the session is over. */
export async function open(refused) {
  close();
  const stop = source = new AbortController();
  for (let pause = 500; !stop.signal.aborted; pause = Math.min(pause * 2, 8000)) {
    const over = await read(stop).catch(() => false);
    if (stop.signal.aborted) return;
    if (over) { refused(); return; }
    if (status.live) pause = 500;
    status.live = false;
    tell();
    await new Promise(resume => setTimeout(resume, pause));
  }
}

export function close() {
  source?.abort();
  source = null;
  status.live = false;
  for (const name of Object.keys(tables)) tables[name].clear();
  tell();
}

// Ages go on when nothing else happens.
setInterval(tell, 5000);
