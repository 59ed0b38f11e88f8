// Writes a shop's plain NFC tags with Web NFC (Chrome on Android, https): reads first, writes, reads back, tells the
// server, offers the lock. Without Web NFC the page says how else it is done; without this file too.
const $ = (id) => document.getElementById(id);
const panel = $("writer");
const rows = [...document.querySelectorAll("[data-url]")];
const buttons = [...document.querySelectorAll("[data-act]")];
const lockable = "NDEFReader" in window && "makeReadOnly" in window.NDEFReader.prototype;
let control = new AbortController(); // of the run: Stop aborts it

// What went wrong, by the name of its sentence on the page.
class Trouble extends Error {
  constructor(key) { super(key); this.key = key; }
}
const SENTENCES = {
  NotAllowedError: "notAllowed",
  NotSupportedError: "notSupported",
  NotReadableError: "notReadable",
  NetworkError: "network",
};
const fill = (key, values) => panel.dataset[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const say = (key, values = {}) => { $("told").textContent = fill(key, values); };
const show = (...acts) => {
  const hadFocus = buttons.includes(document.activeElement);
  for (const one of buttons) one.hidden = !acts.includes(one.dataset.act);
  if (hadFocus) $("writer-title").focus({ preventScroll: true }); // never left on a button that is gone or means else
};

// Which of these buttons is pressed. Stop is always one of them, and ends the run.
const choose = (...acts) => new Promise((resolve, reject) => {
  control.signal.throwIfAborted();
  show(...acts, "stop");
  control.signal.addEventListener("abort", () => reject(control.signal.reason), { once: true });
  for (const one of buttons.filter(({ dataset }) => acts.includes(dataset.act))) {
    one.onclick = () => { show("stop"); resolve(one.dataset.act); };
  }
});

// One tag: the first that touches the phone, or the one that still does.
const read = () => new Promise((resolve, reject) => {
  control.signal.throwIfAborted();
  const once = new AbortController();
  const end = (settle, value) => { once.abort(); settle(value); };
  const reader = new NDEFReader();
  reader.onreading = ({ message, serialNumber }) => end(resolve, { uid: serialNumber, ...contentOf(message) });
  reader.onreadingerror = () => end(reject, new Trouble("unreadable"));
  control.signal.addEventListener("abort", () => end(reject, control.signal.reason), { once: true });
  reader.scan({ signal: once.signal }).catch((error) => end(reject, error));
});

// What stands on a tag: nothing, one address, or something else in a few words.
const contentOf = ({ records }) => {
  const full = records.filter((one) => one.recordType !== "empty");
  const text = ({ data, encoding }) => { try { return new TextDecoder(encoding).decode(data); } catch { return ""; } };
  const isUrl = full.length === 1 && full[0].recordType === "url";
  return { isEmpty: !full.length, url: isUrl ? text(full[0]) : "", words: full.map(text).join(" ").slice(0, 80) };
};

// The code in an address of ours, however it is spelt and whatever a chip puts behind it; else nothing.
const codeOf = (url) => {
  const { prefix } = panel.dataset;
  const isOurs = url.slice(0, prefix.length).toUpperCase() === prefix.toUpperCase();
  return isOurs ? url.slice(prefix.length).split(/[?#]/)[0].toUpperCase() : "";
};
const href = (url) => { try { return new URL(url).href; } catch { return ""; } }; // scheme and host in one case
const isAnother = (one, other) => one.uid !== "" && other.uid !== "" && one.uid !== other.uid;
const carries = (tag, row) => codeOf(tag.url) !== "" && codeOf(tag.url) === codeOf(row.dataset.url);

// A tag that may be written: empty, ours already, or one whose content may go; asked once for that very tag.
const approve = async (row) => {
  const { name } = row.dataset;
  let allowed = null;
  for (;;) {
    const tag = await read();
    const known = allowed && !isAnother(tag, allowed) && tag.words === allowed.words;
    if (tag.isEmpty || carries(tag, row) || known) return { tag, ours: codeOf(tag.url) };
    const ours = codeOf(tag.url);
    const other = rows.find((one) => ours && codeOf(one.dataset.url) === ours);
    say(ours ? "ours" : "foreign", { name, found: other ? other.dataset.name : ours || tag.words });
    allowed = (await choose("overwrite", "another")) === "overwrite" ? tag : null;
    say(allowed ? "confirmed" : "hold", { name });
  }
};

const write = async (row, before) => {
  say("writing");
  const message = { records: [{ recordType: "url", data: row.dataset.url }] };
  try {
    // An empty tag is written only while it is empty: another one that slips under the phone keeps what it has.
    await new NDEFReader().write(message, { overwrite: !before.isEmpty, signal: control.signal });
  } catch (error) {
    throw error.name === "NotAllowedError" && before.isEmpty ? new Trouble("notEmpty") : error;
  }
  say("checking");
  const after = await read();
  if (isAnother(before, after)) throw new Trouble("swapped");
  if (href(after.url) !== href(row.dataset.url)) throw new Trouble("differs");
  return after;
};

const post = async (path, body) => {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })
    .catch(() => { throw new Trouble("unsaved"); });
  return { status: answer.status, body: await answer.json().catch(() => ({})) };
};

// The server's record. A tag that our list gives to another code is given to this one only when that is wanted.
const record = async (row, fields) => {
  const { name, path } = row.dataset;
  say("telling");
  const { status, body } = await post(`${path}/writings`, fields);
  if (status === 201) return body;
  if (status === 401) throw new Trouble("signedOut");
  if (body.code === "locked") throw new Trouble("asleep");
  if (status >= 500 || status === 429) throw new Trouble("unsaved");
  if (body.code !== "tag_taken") throw new Trouble("refused");
  say("taken", { name, found: body.label });
  return (await choose("replace", "skip")) === "replace" ? record(row, { ...fields, replace: true }) : null;
};

const lock = async (row, written, tag) => {
  if (!written.locked_at) {
    say("locking");
    const again = await read();
    if (isAnother(again, tag) || !carries(again, row)) throw new Trouble("swapped");
    await new NDEFReader().makeReadOnly({ signal: control.signal });
    written.locked_at = "now"; // whatever the server says next, the tag is locked
  }
  const { status, body } = await post(written.lock_url, {});
  if (status !== 200) throw new Trouble(body.code === "locked" ? "asleep" : "unsaved");
  row.querySelector(".state").textContent += ` · ${panel.dataset.lockedstate}`;
  return true;
};

// Asked twice: nothing undoes it.
const offerLock = async (row, written, tag, onward) => {
  const { name } = row.dataset;
  const isOpen = lockable && !written.locked_at;
  if ((await choose(onward, ...(isOpen ? ["lock"] : []))) === onward) return;
  say("warning");
  if ((await choose("sure", "leave")) === "leave") return;
  if (!(await insist(() => lock(row, written, tag), "leave"))) return;
  say("locked", { name });
  await choose(onward);
};

// Again until it works, or the person has enough of it: what it gave, or null.
const insist = async (act, otherwise) => {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      say(error.key ?? SENTENCES[error.name] ?? "failed");
      if ((await choose("again", otherwise)) === otherwise) return null;
    }
  }
};

const attend = async (row) => {
  const { name } = row.dataset;
  say("hold", { name });
  const { tag, ours } = await approve(row);
  const isSame = carries(tag, row);
  const after = isSame ? tag : await write(row, tag);
  const was = tag.isEmpty ? "empty" : isSame ? "same" : "other";
  const replace = ours !== "" && !isSame; // that its code goes was just confirmed
  const written = await record(row, { uid: after.uid, was, replace });
  if (!written) return null;
  const state = written.uid ? fill("now", { uid: written.uid.match(/../g).join(" ") }) : panel.dataset.nowUnnamed;
  row.querySelector(".state").textContent = state + (written.locked_at ? ` · ${panel.dataset.lockedstate}` : "");
  row.toggleAttribute("data-written", true);
  say(isSame ? "already" : "done", { name });
  return { written, tag: after };
};

const waiting = () => rows.filter((row) => !("written" in row.dataset));

const rest = () => {
  const left = waiting().length;
  show(...(left ? ["start"] : []));
  for (const one of document.querySelectorAll("[data-write]")) one.disabled = false;
  return left;
};

// One tag after the other. Stop leaves the rest for later: what is written is known to the server.
const run = async (list) => {
  control = new AbortController();
  for (const one of document.querySelectorAll("[data-write]")) one.disabled = true;
  $("progress").hidden = rows.length < 2;
  $("progress").value = rows.length - waiting().length;
  panel.scrollIntoView({ block: "start" });
  try {
    for (const [at, row] of list.entries()) {
      const place = { n: rows.indexOf(row) + 1, total: rows.length, name: row.dataset.name };
      $("step").textContent = fill("step", place);
      show("stop");
      const done = await insist(() => attend(row), "skip");
      $("progress").value = rows.length - waiting().length;
      if (done) await offerLock(row, done.written, done.tag, at + 1 < list.length ? "next" : "finish");
    }
    const left = rest();
    say(left ? "left" : "none", { left, total: rows.length });
  } catch (error) {
    rest();
    say(error.name === "AbortError" ? "stopped" : "failed");
  }
  $("step").textContent = "";
};

if (panel && "NDEFReader" in window) {
  $("without").hidden = true;
  panel.hidden = false;
  buttons.find((one) => one.dataset.act === "stop").addEventListener("click", () => control.abort());
  for (const row of rows) {
    const button = row.querySelector("[data-write]");
    button.hidden = false;
    button.addEventListener("click", () => run([row]));
  }
  const begin = () => { const left = rest(); say(left ? "left" : "none", { left, total: rows.length }); };
  buttons.find((one) => one.dataset.act === "start").addEventListener("click", () => run(waiting()));
  begin();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", () => navigator.clipboard.writeText($(button.dataset.copy).textContent).then(
    () => { button.textContent = button.dataset.copied; }, () => {}));
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
