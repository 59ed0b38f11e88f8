// A stand-in for Web NFC's NDEFReader (W3C community draft, as Chrome on Android does it): a field where a test lays
// tags. A tag is { uid, url | text, locked }; `fails` names what its next operation does: a DOMException, "garble" (the
// write goes wrong unseen), "unreadable", or "swap" (another tag lies there from then on).
window.field = {
  tag: null,
  denied: false,
  written: [],
  readers: new Set(),
  waiting: [],
  lay(tag) {
    this.tag = { fails: [], ...tag };
    for (const reader of this.readers) this.tell(reader);
    for (const attempt of this.waiting.splice(0)) attempt();
  },
  lift() { this.tag = null; },
  tell(reader) {
    if (!this.tag || !this.readers.has(reader)) return;
    const encoder = new TextEncoder();
    const { uid = "", url, text, fails } = this.tag;
    if (fails[0] === "unreadable") { fails.shift(); reader.onreadingerror(new Event("readingerror")); return; }
    const record = (recordType, data) => ({ recordType, encoding: "utf-8", data: new DataView(encoder.encode(data).buffer) });
    const records = url ? [record("url", url)] : text ? [record("text", text)] : [{ recordType: "empty", data: null }];
    reader.onreading({ message: { records }, serialNumber: uid });
  },
  // Do something with the tag that is there, or with the next one that comes.
  operate(signal, act) {
    return new Promise((resolve, reject) => {
      const attempt = () => {
        if (signal.aborted) return;
        const how = this.tag.fails.shift();
        if (how && how.endsWith("Error")) { this.lift(); reject(new DOMException("", how)); return; }
        try { resolve(act(this.tag, how)); } catch (error) { reject(error); }
      };
      signal.addEventListener("abort", () => reject(signal.reason));
      if (this.tag) setTimeout(attempt); else this.waiting.push(attempt);
    });
  },
};
window.NDEFReader = class {
  async scan({ signal }) {
    if (field.denied) throw new DOMException("", "NotAllowedError");
    field.readers.add(this);
    signal.addEventListener("abort", () => field.readers.delete(this));
    setTimeout(() => field.tell(this));
  }
  write({ records: [record] }, { overwrite, signal }) {
    return field.operate(signal, (tag, how) => {
      if (tag.locked) throw new DOMException("", "NetworkError");
      if (!overwrite && (tag.url || tag.text)) throw new DOMException("", "NotAllowedError");
      tag.url = how === "garble" ? `${record.data}0` : record.data;
      field.written.push(record.data);
      if (how === "swap") field.tag = { fails: [], uid: "04:ff:ff:ff:ff:ff:ff", url: record.data };
    });
  }
  makeReadOnly({ signal }) {
    return field.operate(signal, (tag) => { tag.locked = true; });
  }
};
