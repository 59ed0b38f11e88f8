// Keeps the shop's console live: the server sends #live anew, this file puts it in place and counts the seconds down.
const live = document.getElementById("live");
const link = document.getElementById("link");
const tell = (key) => { if (link.textContent !== link.dataset[key]) link.textContent = link.dataset[key]; };

// What the reader opened stays open, and the focus stays where it was.
const replace = (html) => {
  const open = [...live.querySelectorAll("details[open]")].map((box) => box.id);
  const focused = live.contains(document.activeElement) && document.activeElement.closest("details");
  live.innerHTML = html;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused.id)?.querySelector("summary").focus();
};

if (live && live.dataset.stream) {
  const stream = new EventSource(live.dataset.stream);
  stream.addEventListener("open", () => tell("live"));
  stream.addEventListener("error", () => {
    tell("lost");
    // Refused, not merely cut (signed out elsewhere): the browser will not try again, the page itself can say why.
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  });
  stream.addEventListener("live", (event) => { replace(JSON.parse(event.data)); tell("live"); });
}

setInterval(() => {
  const left = document.getElementById("left");
  if (!left) return;
  left.dataset.left = Math.max(0, left.dataset.left - 1);
  left.textContent = left.dataset.left;
}, 1000);
