// What a shopper's page does beyond its forms: confirms that it was really seen, shares a position after a tap, waits
// for the network, shares the link. Without this file every form still works.
const $ = (id) => document.getElementById(id);
const act = $("act");
const say = (box, key) => { if (box) { box.textContent = box.dataset[key]; box.hidden = false; } };

// The form's action ends in /check-in; confirm and position are its siblings and take the same receipt.
const post = (name, fields) => fetch(act.getAttribute("action").replace(/[^/]*$/, name), {
  method: "POST",
  headers: { Accept: "application/json" },
  body: new URLSearchParams({ receipt: act.elements.namedItem("receipt").value, ...fields }),
  credentials: "same-origin",
  keepalive: true,
});

// One confirm a page, once a person can see it. A lost one is tried again: the server counts it once.
let confirming = false;
let tries = 0;
const confirmSeen = () => {
  if (!act || confirming || tries > 4 || document.visibilityState !== "visible") return;
  confirming = true;
  tries += 1;
  const again = () => { confirming = false; setTimeout(confirmSeen, 2000 * tries); };
  post("confirm", {}).then((answer) => { if (answer.status >= 500 || answer.status === 429) again(); }, again);
};
if (act) {
  document.addEventListener("visibilitychange", confirmSeen);
  window.addEventListener("online", confirmSeen);
  confirmSeen();
}

// Position: asked after the tap, judged by the server, told in words. A refusal blocks nothing.
const locate = $("locate");
if (act && locate) {
  const box = $("located");
  const done = (key) => { say(box, key); locate.disabled = false; $("then").hidden = false; };
  $("position").hidden = false;
  if (!window.isSecureContext || !navigator.geolocation) {
    $("why").hidden = locate.hidden = true;
    say(box, "insecure");
  } else {
    locate.addEventListener("click", () => {
      locate.disabled = true;
      say(box, "asking");
      navigator.geolocation.getCurrentPosition(({ coords, timestamp }) => {
        post("position", {
          lat: coords.latitude,
          lon: coords.longitude,
          accuracy_m: coords.accuracy,
          age_s: Math.max(0, Math.round((Date.now() - timestamp) / 1000)),
        }).then((answer) => (answer.ok ? answer.json() : Promise.reject(answer)))
          .then(({ geofence }) => done(geofence in box.dataset ? geofence : "failed"))
          .catch(() => done("failed"));
      }, (error) => done(error.code === 1 ? "refused" : "failed"),
      { enableHighAccuracy: true, timeout: 15000, maximumAge: 60000 });
    });
  }
}

// Without network a form waits on its page and goes by itself when the network is back; nothing is stored.
const held = $("held");
for (const form of held ? document.querySelectorAll("form[method=post]") : []) {
  form.addEventListener("submit", (event) => {
    if (navigator.onLine) return;
    event.preventDefault();
    say(held, "offline");
    window.addEventListener("online", () => form.submit(), { once: true });
  });
}

// Sharing, where the phone can; else the link is copied.
const share = $("share");
if (share && (navigator.share || navigator.clipboard)) {
  share.hidden = false;
  share.addEventListener("click", () => {
    const url = share.dataset.url || location.origin + location.pathname;
    if (navigator.share) navigator.share({ title: share.dataset.title, url }).catch(() => {});
    else navigator.clipboard.writeText(url).then(() => say(share, "copied"), () => {});
  });
}

// The money of the mission, each 15 s while the page is seen: the server's own words in the place of the old ones.
const money = $("money");
let told = "";
if (money) setInterval(() => {
  if (document.visibilityState !== "visible") return;
  fetch(money.dataset.url, { headers: { Accept: "text/html" } })
    .then((answer) => (answer.ok ? answer.text() : told))
    .then((words) => { if (words !== told) money.innerHTML = told = words; }, () => {});
}, 15000);

// What was just done is said again, so that a screen reader hears it; an error takes the focus.
const just = $("just");
if (just && !just.hidden) setTimeout(() => { just.innerHTML += ""; }, 300);
if ($("errors")) $("errors").focus();
