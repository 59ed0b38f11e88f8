// Keeps the board of figures live: a snapshot comes as an event or, where events do not come through, is asked for.
const board = document.getElementById("figures");
const link = document.getElementById("link");
const lang = document.documentElement.lang;
const whole = new Intl.NumberFormat(lang);
const percent = new Intl.NumberFormat(lang, { style: "percent", signDisplay: "exceptZero" });
const tell = (key) => { if (link.textContent !== link.dataset[key]) link.textContent = link.dataset[key]; };
const write = (place, text) => { if (place.textContent !== text) place.textContent = text; };

const words = { percent: (value) => percent.format(value), time: (value) => value.slice(11, 19) };
const show = (now) => {
  const minutes = now.minutes;
  now.minutes.sum = minutes.reduce((sum, one) => sum + one, 0);
  for (const place of board.querySelectorAll("[data-n]")) {
    const value = place.dataset.n.split(".").reduce((part, name) => part[name], now);
    write(place, value === null ? "–" : (words[place.dataset.as] || ((one) => whole.format(one)))(value));
  }
  const most = Math.max(1, ...minutes);
  for (const bar of board.querySelectorAll("[data-bar]")) {
    const tall = 56 * (minutes[minutes.length - 1 - bar.dataset.bar] || 0) / most;
    bar.setAttribute("y", 58 - tall);
    bar.setAttribute("height", tall);
  }
};

let stream, timer, tag = "", lost = 0, asked = 0;
const ask = async () => {
  try {
    const answer = await fetch(board.dataset.newest, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) return location.reload(); // locked or signed out: the page says it
    if (answer.status === 200) { tag = answer.headers.get("ETag"); show(await answer.json()); }
    tell(answer.status < 400 ? "asks" : "lost");
  } catch { tell("lost"); }
  asked += 1;
  timer = setTimeout(asked % 6 ? ask : again, 10000); // once a minute events have another chance
};
const again = () => { lost = 0; start(); };
const stop = () => { if (stream) stream.close(); stream = null; clearTimeout(timer); };
const start = () => {
  stop();
  if (document.hidden) return;
  if (!window.EventSource || lost > 2) return ask();
  stream = new EventSource(board.dataset.stream);
  stream.addEventListener("figures", (event) => { lost = 0; show(JSON.parse(event.data)); tell("live"); });
  stream.addEventListener("open", () => tell("live"));
  stream.addEventListener("error", () => {
    tell("lost");
    lost += 1;
    // Refused, not merely cut, or cut again and again: ask instead, the answer says why.
    if (stream.readyState === EventSource.CLOSED || lost > 2) { stop(); ask(); }
  });
};
document.addEventListener("visibilitychange", start);
addEventListener("pagehide", stop);
if (board) start();
