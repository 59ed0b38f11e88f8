// Keeps a shop's screen on the code of the moment. It holds an hour of codes ready made, never a key, and asks for the
// next hour every minute, so it outlasts a lost network. Time is the server's, counted on from its answer by
// performance.now(): the clock of the tablet may be wrong.
const $ = (id) => document.getElementById(id);
const board = $("board");
const RENEW_MS = 60000; // between two renewals
const AGAIN_MS = 5000; // after one that failed
const PATIENCE_MS = 8000; // for an answer: a later one would tell the time wrongly
const SILENT_MS = 90000; // without a renewal, before the screen says so
const SLEPT_MS = 5000; // between the two clocks: less is drift

// What the page came with: one window, drawn already.
const digits = $("digits").textContent;
let held = { now: Number(board.dataset.now), seconds: 30, digits: [digits], at: performance.now(), date: Date.now() };
held.first = Math.floor(held.now / held.seconds);
let drawn = held.first;
let renewed = held.at;
let refused = false;
let timer = 0;

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// The dark modules of one matrix as a path: a box for each run in a row.
const outline = (bits, side) => {
  const dark = (x, y) => { const at = y * side + x; return x < side && (bits[at >> 3] >> (7 - (at & 7))) & 1; };
  let path = "";
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const start = x;
      while (dark(x, y)) x += 1;
      if (x > start) path += `M${start} ${y}h${x - start}v1h${start - x}z`;
    }
  }
  return path;
};

const draw = (index) => {
  const size = held.bits.length / held.digits.length;
  const { side } = held;
  $("matrix").setAttribute("viewBox", `-4 -4 ${side + 8} ${side + 8}`);
  $("modules").setAttribute("d", outline(held.bits.subarray(index * size, (index + 1) * size), side));
  $("digits").textContent = held.digits[index].replace(/^(...)/, "$1 ");
  drawn = held.first + index;
};

const say = (text) => { if ($("state").textContent !== text) $("state").textContent = text; };

// Some devices stop performance.now() while they sleep: how long that was, Date can tell, right or wrong.
const wakeUp = () => {
  const slept = Date.now() - held.date - (performance.now() - held.at);
  if (slept < SLEPT_MS) return;
  held.at -= slept;
  renew();
};

const show = () => {
  wakeUp();
  const now = held.now + (performance.now() - held.at) / 1000;
  const index = Math.floor(now / held.seconds) - held.first;
  const good = !refused && index >= 0 && index < held.digits.length;
  $("shown").hidden = $("invite").hidden = !good;
  $("refused").hidden = !refused;
  $("over").hidden = good || refused;
  if (!good) {
    $("modules").setAttribute("d", "");
    $("digits").textContent = "";
    drawn = NaN;
    say("");
    return;
  }
  if (drawn !== held.first + index) draw(index);
  $("left").setAttribute("width", Math.ceil(held.seconds - (now % held.seconds)));
  const minutes = Math.ceil(((held.first + held.digits.length) * held.seconds - now) / 60);
  say(performance.now() - renewed > SILENT_MS ? board.dataset.offline.replace("{n}", minutes) : "");
};

const take = async (answer, asked) => {
  if (answer.headers.get("Content-Type") === "application/problem+json" && answer.status < 429) {
    refused = true; // signed out or withdrawn: our own answer, not that of a Wi-Fi's sign-in page
    held.digits = [];
    return;
  }
  if (!answer.ok) throw new Error(answer.status);
  const body = await answer.json();
  const back = performance.now();
  const half = (back - asked) / 2;
  held = { ...body, bits: bytes(body.matrices), at: back - half, date: Date.now() - half };
  renewed = back;
  refused = false;
};

const renew = async () => {
  clearTimeout(timer);
  timer = setTimeout(renew, AGAIN_MS + PATIENCE_MS);
  const asked = performance.now();
  const abort = new AbortController();
  const patience = setTimeout(() => abort.abort(), PATIENCE_MS);
  try {
    await take(await fetch(board.dataset.windows, { headers: { Accept: "application/json" }, signal: abort.signal }), asked);
    clearTimeout(timer);
    timer = setTimeout(renew, RENEW_MS);
  } catch {
    clearTimeout(timer); // no network: what is held lasts
    timer = setTimeout(renew, AGAIN_MS);
  }
  clearTimeout(patience);
  show();
};

// The screen stays lit where the browser allows it.
const wake = () => {
  if (document.visibilityState !== "visible") return;
  if (navigator.wakeLock) navigator.wakeLock.request("screen").catch(() => {});
  renew();
};
document.addEventListener("visibilitychange", wake);
window.addEventListener("online", renew);
setInterval(show, 500);
wake();
