// What was shown before, in this window of the browser: an entry is {text, query, label, thumb}.
// `text` is the link of a tab, which brings all its controls back; `query` its large picture.
stylegan.past = (() => {
  const KEY = "stylegan-history";
  const PAUSE_MS = 1000; // a drag that rests for so long is over
  const SETTLE_MS = 60; // what one answer of the server brings, arrives within
  const THUMB_MS = 300;
  const links = new Map(); // element -> {text, fresh}
  const seen = new ResizeObserver(() => later()); // a tab comes in sight
  const awaited = new Set(); // texts that were gone back to and are not shown yet
  let most = 0;
  let entries = [];
  let at = -1;
  let listen = () => {};
  let open = () => {};
  let large = () => null; // the picture in sight: {query, label, url}
  let gesture = 0; // all inputs of one drag, or one click
  let inputAt = 0;
  let timer = 0;
  let thumbTimer = 0;

  addEventListener("input", () => {
    if (performance.now() - inputAt > PAUSE_MS) gesture += 1;
    inputAt = performance.now();
  }, true);
  addEventListener("click", (event) => {
    if (event.target.closest?.("input, label")) return;
    gesture += 1;
    inputAt = 0;
  }, true);

  // A tab's link has changed
  function linked(element, value) {
    const text = value.query || value.text;
    if (!text) return;
    if (!links.has(element)) seen.observe(element);
    const fresh = links.get(element)?.text !== text || links.get(element).fresh;
    links.set(element, { text, fresh });
    later();
  }

  function later() {
    timer = timer || setTimeout(note, SETTLE_MS);
  }

  function inSight() {
    for (const [element, link] of links) {
      if (!element.isConnected) links.delete(element);
      else if (element.checkVisibility()) return link;
    }
    return null;
  }

  // The link of the tab in sight
  const text = () => inSight()?.text || "";

  function note() {
    timer = 0;
    const link = inSight();
    const picture = large();
    if (!link || !picture) return;
    const now = entries[at];
    if (now?.text === link.text) {
      awaited.clear();
      link.fresh = false;
      if (now.query !== picture.query || !now.thumb) Object.assign(now, picture, { thumb: "" });
    } else if (link.fresh) {
      link.fresh = false;
      if (awaited.delete(link.text)) return; // on the way to one further back
      const entry = { text: link.text, ...picture, thumb: "", gesture };
      const again = now && now.gesture === gesture && at === entries.length - 1;
      entries = [...entries.slice(0, again ? at : at + 1), entry].slice(-most);
      at = entries.length - 1;
    } else return;
    listen();
    save();
    clearTimeout(thumbTimer);
    thumbTimer = setTimeout(draw, THUMB_MS);
  }

  async function draw() {
    for (const entry of entries.filter((entry) => !entry.thumb && entry.url)) {
      const { url } = entry;
      const thumb = await stylegan.thumbnail(url);
      if (entry.url === url) entry.thumb = thumb;
    }
    listen();
    save();
  }

  function save() {
    const kept = entries.map(({ text, query, label, thumb }) => ({ text, query, label, thumb }));
    for (let first = 0; first <= kept.length; first += 1) {
      try {
        sessionStorage.setItem(KEY, JSON.stringify({ at: at - first, entries: kept.slice(first) }));
        return;
      } catch {
        // no room: the oldest go; or nothing is stored here at all
      }
    }
  }

  function load() {
    try {
      const found = JSON.parse(sessionStorage.getItem(KEY));
      const texts = (entry) => [entry.text, entry.query, entry.label, entry.thumb];
      if (!found.entries.every((entry) => texts(entry).every((x) => typeof x === "string"))) return;
      entries = found.entries.slice(-most);
      at = Math.min(Math.max(Number(found.at) || 0, 0), entries.length - 1);
    } catch {
      // nothing was stored
    }
  }

  function go(to) {
    if (!entries[to] || to === at) return false;
    at = to;
    awaited.add(entries[at].text);
    listen();
    save();
    open(entries[at]);
    return true;
  }

  function forget() {
    entries = entries.slice(at, at + 1);
    at = entries.length - 1;
    listen();
    save();
  }

  function start(limit, parts) {
    ({ listen, open, large } = parts);
    most = limit;
    load();
    later();
  }

  return {
    start, linked, later, text, go, forget,
    undo: () => go(at - 1),
    redo: () => go(at + 1),
    entries: () => entries,
    at: () => at,
  };
})();
