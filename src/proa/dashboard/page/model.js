// The cluster as this browser knows it: tables of rows, kept current by one stream.

export const tables = {};
export const status = { live: false, entered: null };
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
export const complete = () => table("ready").size >= 7;

export function open(refused) {
  source?.close();
  source = new EventSource("stream");
  let fresh = true;
  source.onmessage = message => {
    if (fresh) { // everything comes anew after each connection
      for (const name of Object.keys(tables)) if (name !== "usage") tables[name].clear();
      fresh = false;
    }
    status.live = true;
    for (const [name, key, value] of JSON.parse(message.data)) {
      if (name === "cluster") skew = value.now - Date.now() / 1000;
      if (value === null) table(name).delete(key);
      else table(name).set(key, value);
    }
    tell();
  };
  source.onerror = () => {
    fresh = true;
    status.live = false;
    tell();
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    source = null;
    fetch("usage").then(answer => (answer.status === 401 ? refused() : setTimeout(() => open(refused), 2000)),
      () => setTimeout(() => open(refused), 2000));
  };
}

export function close() {
  source?.close();
  source = null;
  status.live = false;
  for (const name of Object.keys(tables)) tables[name].clear();
  tell();
}

// Ages go on when nothing else happens.
setInterval(tell, 5000);
