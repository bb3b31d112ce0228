// The page: an upload, the job that is open, the queue, the models. What changes comes over one WebSocket.

import "./camera.js";
import { openJob, showJob, showModels } from "./job.js";
import { $, answered, ask, bytes, count, duration, say, tellProgress } from "./words.js";

const AGAIN_MS = 1500;  // between two tries to reach the server
const WORDS = { uploading: "arriving", ready: "ready", waiting: "waiting", running: "rendering", done: "done", failed: "failed", stopped: "stopped" };

let about = { max_upload: Infinity };
let jobs = new Map();
let sending = null;

// The open job's id is in the address, and for a tab whose address lost it, in the session.
const remembered = () => /^#job=([0-9a-f]{32})$/.exec(location.hash)?.[1] || sessionStorage.getItem("job") || "";

function remember(id) {
  if (id) sessionStorage.setItem("job", id);
  else sessionStorage.removeItem("job");
  history.replaceState(null, "", id ? `#job=${id}` : location.pathname);
}

function open(id) {
  remember(id);
  const job = jobs.get(id);
  if (job) showJob(job);
  showQueue();
}

// Upload

async function send(file) {
  say("sending-error", "");
  if (sending || !file) return;
  if (file.size >= about.max_upload) {
    say("sending-error", `${file.name} has ${bytes(file.size)}; less than ${about.max_upload_words} is taken here; try: the command line, or tween serve --max-upload`);
    return;
  }
  $("sending").hidden = false;
  $("drop").hidden = true;
  try {
    const job = await upload(file);
    jobs.set(job.id, job);
    open(job.id);
    $("job").scrollIntoView({ block: "start" });
    $("kind-rate").focus({ preventScroll: true });
  } catch (error) {
    say("sending-error", error.message);
  } finally {
    sending = null;
    $("sending").hidden = true;
    $("drop").hidden = false;
    $("file").value = "";
  }
}

function upload(file) {
  const request = new XMLHttpRequest();
  sending = request;
  request.open("POST", `/jobs?name=${encodeURIComponent(file.name)}`);
  request.setRequestHeader("content-type", "application/octet-stream");
  const tell = (done) => {
    $("sending-bar").value = file.size ? done / file.size : 0;
    const isAll = done >= file.size;
    const words = isAll ? `Looking at ${file.name}` : `Sending ${file.name}: ${Math.floor((100 * done) / file.size)} %`;
    tellProgress("sending", words, done / file.size);
  };
  tell(0);
  return new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => tell(event.loaded);
    request.upload.onload = () => tell(file.size);
    request.onload = () => {
      const found = answered(request.status, request.responseText);
      if (request.status === 200) resolve(found);
      else reject(new Error(found));
    };
    request.onerror = () => reject(new Error("the upload broke off; the server does not answer, or refused it"));
    request.onabort = () => reject(new Error("the upload was cancelled; nothing of it was kept"));
    request.send(file);
  });
}

$("file").addEventListener("change", (event) => send(event.target.files[0]));
$("sending-stop").addEventListener("click", () => sending?.abort());
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.remove("over"); });
}
document.addEventListener("drop", (event) => send(event.dataTransfer?.files[0]));

// Queue

function showQueue() {
  const rows = [...jobs.values()];
  $("no-jobs").hidden = rows.length > 0;
  const list = $("jobs"), old = new Map([...list.children].map((row) => [row.dataset.id, row]));
  rows.forEach((job, k) => {
    const row = old.get(job.id) || newRow(job);
    old.delete(job.id);
    row.classList.toggle("open", openJob()?.id === job.id);
    row.querySelector("span").textContent = words(job);
    if (list.children[k] !== row) list.insertBefore(row, list.children[k] || null);
  });
  for (const row of old.values()) row.remove();
}

function newRow(job) {
  const row = document.createElement("li"), link = document.createElement("a"), soft = document.createElement("span");
  const button = document.createElement("button");
  row.dataset.id = job.id;
  link.href = `#job=${job.id}`;
  link.textContent = job.name;
  soft.className = "soft";
  button.type = "button";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove ${job.name}`);
  button.addEventListener("click", () => remove(job));
  row.append(link, button, soft);
  return row;
}

function words(job) {
  const { status } = job, parts = [WORDS[job.state]];
  if (job.state === "waiting" && job.ahead) parts.push(`${count(job.ahead, "job")} before it`);
  const expected = status.expected || job.outcome.frames;
  if (job.state === "running" && status.frames && expected) {
    parts.push(`${Math.min(100, Math.floor((100 * status.frames) / expected))} %`);
  }
  if (job.outcome.name) parts.push(job.outcome.name);
  parts.push(bytes(job.bytes));
  if (!["running", "waiting", "uploading"].includes(job.state)) parts.push(`kept for ${duration(job.expires_s)}`);
  return parts.join(" · ");
}

async function remove(job) {
  if (!confirm(`Remove ${job.name} and what was made of it?`)) return;
  try {
    await ask("DELETE", `/jobs/${job.id}`);
  } catch (error) {
    say("sending-error", error.message);
    return;
  }
  if (openJob()?.id === job.id) { remember(""); showJob(null); }
  $("file").focus({ preventScroll: true });
}

// What the server tells

function watch() {
  const socket = new WebSocket(`ws${location.protocol === "https:" ? "s" : ""}://${location.host}/watch`);
  socket.onmessage = (event) => {
    $("lost").hidden = true;
    jobs = new Map(JSON.parse(event.data).jobs.map((job) => [job.id, job]));
    const job = jobs.get(remembered());
    if (job && job.state !== "uploading") showJob(job);
    else if (openJob() && !jobs.has(openJob().id)) { remember(""); showJob(null); }
    showQueue();
    if (!about.models) learn();
  };
  socket.onclose = () => { $("lost").hidden = false; setTimeout(watch, AGAIN_MS); };
}

async function learn() {
  about = await ask("GET", "/about");
  $("limit").textContent = `Less than ${about.max_upload_words}. It is kept for ${about.keep_hours} hours.`;
  if (!about.models) return;
  showModels(about);
  showRows();
}

function showRows() {
  const isAll = $("all-models").getAttribute("aria-expanded") === "true";
  const shown = about.models.filter((row) => isAll || row.here || Object.keys(row.scores).length);
  $("model-rows").replaceChildren(...shown.map(modelRow));
  $("all-models").hidden = false;
  $("all-models").textContent = isAll ? "Show fewer" : `Show all ${about.models.length}`;
}

$("all-models").addEventListener("click", (event) => {
  const isAll = event.target.getAttribute("aria-expanded") === "true";
  event.target.setAttribute("aria-expanded", String(!isAll));
  showRows();
});

function parameters(count) {
  if (!count) return "–";
  return count < 1e5 ? `${Math.round(count / 1e3)} k` : `${(count / 1e6).toFixed(1)} M`;
}

function modelRow(row) {
  const line = document.createElement("tr"), name = document.createElement("th");
  line.classList.toggle("away", !row.here);
  name.scope = "row";
  name.textContent = row.name + (row.name === about.default ? " (default)" : "");
  const score = (set) => (set in row.scores ? row.scores[set].toFixed(2) : "–");
  const cells = [
    row.here ? (row.tags.join(", ") || "yes") : "no weights",
    parameters(row.parameters),
    row.gmacs || "–", score("Vimeo-90K"), score("UCF101"), score("SNU-FILM hard"),
  ];
  line.append(name, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  const what = row.about + (row.any_time ? "" : " (midpoint only)");
  line.append(Object.assign(document.createElement("td"), { className: "words", textContent: what }));
  return line;
}

window.addEventListener("hashchange", () => {
  const id = /^#job=([0-9a-f]{32})$/.exec(location.hash)?.[1];
  if (id && jobs.has(id)) { open(id); $("job").scrollIntoView({ block: "start" }); }
});
learn().catch(() => {});
watch();
