// Being let in: by the code after `#login=`, which no server ever logs, or by a token of the API.

import { ask, forget, keep } from "./asking.js";
import { h } from "./parts.js";

async function enter(shown) {
  const answer = await ask("session", { method: "POST", body: JSON.stringify(shown) });
  if (!answer.ok) return (await answer.text()) || `The page answers ${answer.status}.`;
  keep((await answer.json()).key);
  return null;
}

/** Use up the code in the address, if there is one, and return why it let nobody in, if it did not. */
export async function enterByLink() {
  const code = location.hash.startsWith("#login=") ? location.hash.slice(7) : null;
  if (code === null) return null;
  history.replaceState(null, "", location.pathname);
  return enter({ code });
}

export function leave() {
  return ask("session", { method: "DELETE" }).finally(forget);
}

export function loginForm(main, problem, entered) {
  const said = h("p.bad", { role: "alert" }, problem ?? "");
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const form = h("form", {
    onsubmit: async event => {
      event.preventDefault();
      const refused = await enter({ token: field.value.trim() }).catch(error => error.message);
      field.value = "";
      if (refused === null) entered();
      else said.textContent = refused;
    },
  }, h("label.visually-hidden", { for: "token" }, "Token"), field, h("button", { type: "submit" }, "Sign in"));
  main.replaceChildren(h("div.login", {},
    h("h1", {}, "Who is there?"),
    h("p", {}, "Open the link that ", h("code", {}, "proa up"), " or ", h("code", {}, "proa dashboard"),
      " prints: it lets you in once. Or give a token of the cluster:"),
    form, said,
    h("p.quiet", {}, "You will see what the token's owner may see. A token is made by ",
      h("code", {}, "kubectl create token ACCOUNT"), ".")));
  field.focus();
}
