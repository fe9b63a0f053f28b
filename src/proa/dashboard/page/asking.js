// Requests to the page's server. A cookie is half of what lets in; the other half is kept here, since browsers send
// cookies to every port of a host, and what else listens there shall not be able to use this one.

const KEY = "proa-key";

export const keep = key => localStorage.setItem(KEY, key);
export const forget = () => localStorage.removeItem(KEY);

export function ask(path, options = {}) {
  const headers = { ...options.headers, "Proa-Key": localStorage.getItem(KEY) ?? "" };
  if (options.method) headers["Content-Type"] = "application/json";
  return fetch(path, { ...options, headers });
}

/** Read an answer as text, piece by piece, as it comes. */
export async function* pieces(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
