// Recovery codes. A code comes behind the #, which no server sees: it fills the field and leaves the address bar.
const $ = (id) => document.getElementById(id);
const typed = $("code");
if (typed && !typed.readOnly && location.hash.length > 1) {
  typed.value = location.hash.slice(1, 81);
  history.replaceState(null, "", location.pathname + location.search);
}

// Copying works on plain http too: there the field is selected and the old command asked.
const copy = $("copy");
if (copy) {
  const said = () => { $("copied").textContent = copy.dataset.copied; };
  copy.hidden = false;
  copy.addEventListener("click", () => {
    typed.select();
    if (navigator.clipboard) navigator.clipboard.writeText(typed.value).then(said, () => {});
    else if (document.execCommand("copy")) said();
  });
}
const send = $("send");
if (send && navigator.share) {
  send.hidden = false;
  send.addEventListener("click", () => navigator.share({ text: send.dataset.text }).catch(() => {}));
}
if ($("errors")) $("errors").focus();
