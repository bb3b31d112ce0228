// Numbers as words, and questions to the server.

export const $ = (id) => document.getElementById(id);

export function bytes(amount) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let k = 0;
  while (amount >= 1000 && k < units.length - 1) { amount /= 1000; k += 1; }
  return `${Number(amount.toPrecision(3))} ${units[k]}`;
}

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Number((seconds / 3600).toFixed(1))} h`;
}

export function clock(seconds) {
  const whole = Math.floor(seconds / 60);
  return `${whole}:${(seconds - 60 * whole).toFixed(2).padStart(5, "0")}`;
}

export const count = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

// Ask the server. What it refuses is thrown as an Error with its words.
export async function ask(method, path, object) {
  const request = { method, headers: {} };
  if (object !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(object);
  }
  let reply;
  try {
    reply = await fetch(path, request);
  } catch {
    throw new Error("the server does not answer");
  }
  const found = await answered(reply.status, await reply.text());
  if (!reply.ok) throw new Error(found);
  return found;
}

// The object of an answer, or the words of a refusal.
export function answered(status, text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    found = { error: text || `the server answered ${status}` };
  }
  return status >= 200 && status < 300 ? found : found.error;
}

// Words on how far something is. They change all the time: a screen reader hears every tenth of the way alone.
export function tellProgress(name, words, part) {
  say(`${name}-words`, words);
  const live = $(`${name}-live`), key = `${words.split(":")[0]} ${Math.floor(10 * part)}`;
  if (live.dataset.key === key) return;
  live.dataset.key = key;
  live.textContent = words;
}

// Show words in an element, or hide it where there are none.
export function say(id, words) {
  const place = $(id);
  if (place.textContent !== (words || "")) place.textContent = words || "";
  place.hidden = !words;
}
