// The till beyond its forms: a coupon taken without network waits in this browser and goes when the network is back.
// Without this file every form still works.
const $ = (id) => document.getElementById(id);
const take = $("take");
const use = $("use");
const form = take || use;
const said = $("said");
const KEY = `passerelle-till-${form?.dataset.till}`;  // a phone may move to another shop: each has its own
const ahead = form ? form.dataset.now - Date.now() : 0;  // the server's clock before this phone's
const say = (key) => { if (said) said.textContent = key ? said.dataset[key] : ""; };

// Storage may be refused, or full: then nothing is taken without network.
const rows = () => { try { return JSON.parse(localStorage.getItem(KEY)) || []; } catch { return []; } };
const keep = (all) => { try { localStorage.setItem(KEY, JSON.stringify(all)); return true; } catch { return false; } };
const change = (nonce, how) => keep(rows().flatMap((one) => (one.nonce === nonce ? how(one) : [one])));

const newNonce = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const clean = (text) => {
  const code = text.trim().split("?")[0].replace(/\/+$/, "").split("/").pop().toUpperCase()
    .replace(/[\s\u00a0\u202f\-\u2010-\u2015]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  return /^[0-9A-HJKMNP-TV-Z]{10}$/.test(code) ? code : "";
};
const shown = (code) => code.match(/.{1,4}/g).join("-");

// Whether the server is there: a phone with Wi-Fi and no internet says that it is online.
const reaches = async () => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 4000);
  try { return (await fetch("/healthz", { cache: "no-store", signal: stop.signal })).ok; } catch { return false; } finally { clearTimeout(timer); }
};

const queue = (code, nonce, device) => keep([...rows(), { code, nonce, device, occurred_at: new Date(Date.now() + ahead).toISOString() }]);

const list = $("queue");
const draw = () => {
  if (!list) return;
  const all = rows();
  $("waiting").hidden = !all.length;
  list.replaceChildren(...all.map((one) => {
    const line = document.createElement("li");
    const name = document.createElement("strong");
    name.textContent = shown(one.code);
    line.append(name, ` · ${one.told || list.dataset.waits}`);
    if (one.told) {
      const read = document.createElement("button");
      read.className = "plain";
      read.textContent = list.dataset.read;
      read.addEventListener("click", () => { change(one.nonce, () => []); draw(); });
      line.append(document.createElement("br"), read);
    }
    return line;
  }));
};

// One after the other, the oldest first. The same again gets the same answer, so a lost answer costs nothing.
let sending = false;
const send = async () => {
  if (sending || !form) return;
  sending = true;
  for (const one of rows().filter((row) => !row.told)) {
    try {
      const answer = await fetch(`/staff/coupons/redemptions?lang=${document.documentElement.lang}`, {
        method: "POST",
        headers: { Accept: "application/json", "Content-Type": "application/json" },
        body: JSON.stringify(one),
      });
      if (answer.status >= 500 || [401, 403, 429].includes(answer.status)) break;
      const body = await answer.json();
      if (body.code === "busy") break;
      change(one.nonce, (row) => (answer.status === 201 ? [] : [{ ...row, told: body.words || body.detail }]));
    } catch { break; }
    draw();
  }
  sending = false;
  draw();
};
if (form) {
  window.addEventListener("online", send);
  setInterval(send, 30000);
  send();
  draw();
}

if (take) {
  const field = $("code");
  const alone = $("alone");
  const start = () => { alone.hidden = true; field.value = ""; field.focus(); };
  take.addEventListener("submit", async (event) => {
    event.preventDefault();
    alone.hidden = true;
    say("");
    if (await reaches()) { take.submit(); return; }
    if (clean(field.value)) alone.hidden = false; else say("unreadable");
  });
  $("leave").addEventListener("click", start);
  $("risk").addEventListener("click", () => {
    say(queue(clean(field.value), newNonce(), take.dataset.device) ? "queued" : "full");
    start();
    draw();
  });
}

if (use) {
  use.addEventListener("submit", async (event) => {
    event.preventDefault();
    use.querySelector("button").disabled = true;
    if (await reaches()) { use.submit(); return; }
    const { code, nonce, device } = use.elements;
    say(queue(code.value, nonce.value, device.value) ? "queued" : "full");
  });
}

if ($("errors")) $("errors").focus();
