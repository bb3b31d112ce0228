// The browser's camera: its pictures go to the server as JPEGs, what comes back is drawn as it comes.

import { $, say } from "./words.js";

const WIDEST = 640;         // pixels of what is sent
const RATE = 30;
const WAITING = 300_000;    // bytes that are not sent yet, at which a picture is left out
const QUALITY = 0.85;
const HEAD = 8;             // bytes: when it was taken

const camera = $("camera-in"), view = $("camera-out"), go = $("camera-go");
const small = document.createElement("canvas");
let stream = null, socket = null, isReady = false, isBusy = false, timer = 0;

async function start() {
  say("camera-error", "");
  if (!navigator.mediaDevices) {
    say("camera-error", "the browser gives its camera only to pages of its own machine, or over https");
    return;
  }
  say("camera-words", "Waiting for the camera");
  try {
    const wanted = { width: { ideal: WIDEST }, height: { ideal: 360 }, frameRate: { ideal: RATE } };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    say("camera-words", "");
    say("camera-error", error.name === "NotAllowedError" ? "the camera was not allowed" : "no camera was found");
    return;
  }
  go.textContent = "Stop";
  go.setAttribute("aria-pressed", "true");
  $("camera-mode").disabled = true;
  $("camera-view").hidden = false;
  camera.srcObject = stream;
  await camera.play();
  connect();
}

function connect() {
  const scale = Math.min(1, WIDEST / camera.videoWidth);
  small.width = Math.round(camera.videoWidth * scale);
  small.height = Math.round(camera.videoHeight * scale);
  view.width = small.width;
  view.height = small.height;
  const rate = Math.round(stream.getVideoTracks()[0].getSettings().frameRate || RATE);
  const asked = new URLSearchParams({ mode: $("camera-mode").value, rate });
  socket = new WebSocket(`ws${location.protocol === "https:" ? "s" : ""}://${location.host}/live?${asked}`);
  socket.binaryType = "arraybuffer";
  say("camera-words", "Starting");
  socket.onmessage = (event) => (typeof event.data === "string" ? heard(JSON.parse(event.data)) : show(event.data));
  socket.onclose = () => stop();
  timer = setInterval(sendPicture, 1000 / Math.min(rate, RATE));
}

function heard(message) {
  if (message.ready) isReady = true;
  if (message.error) say("camera-error", message.error);
  if (message.stats) say("camera-words", statsWords(message.stats));
}

function statsWords(stats) {
  const parts = [`${Math.round(stats.fps_in)} → ${Math.round(stats.fps_out)} frames a second`];
  if (stats.latency_ms !== null) parts.push(`${Math.round(stats.latency_ms)} ms on the server`);
  parts.push(`${stats.model}, ${stats.size[1]}×${stats.size[0]}`);
  if (stats.dropped) parts.push(`${stats.dropped} left out`);
  if (stats.steps.length) parts.push(stats.steps[stats.steps.length - 1]);
  return parts.join(" · ");
}

function sendPicture() {
  if (!isReady || isBusy || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > WAITING) return;
  isBusy = true;
  const taken = performance.now();
  small.getContext("2d").drawImage(camera, 0, 0, small.width, small.height);
  small.toBlob(async (blob) => {
    isBusy = false;
    if (!blob || !socket) return;
    const data = new Uint8Array(HEAD + blob.size);
    new DataView(data.buffer).setFloat64(0, taken, true);
    data.set(new Uint8Array(await blob.arrayBuffer()), HEAD);
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(data);
  }, "image/jpeg", QUALITY);
}

async function show(data) {
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEAD)], { type: "image/jpeg" }));
  view.getContext("2d").drawImage(picture, 0, 0, view.width, view.height);
  picture.close();
}

function stop() {
  clearInterval(timer);
  const open = socket;
  socket = null;
  isReady = isBusy = false;
  open?.close();
  for (const track of stream?.getTracks() || []) track.stop();
  stream = camera.srcObject = null;
  go.textContent = "Start";
  go.setAttribute("aria-pressed", "false");
  $("camera-mode").disabled = false;
  $("camera-view").hidden = true;
  say("camera-words", "");
}

go.addEventListener("click", () => (stream ? stop() : start()));
window.addEventListener("pagehide", stop);
