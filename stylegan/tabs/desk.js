// The desk at the foot of the page: the shelf, the history with undo, somebody's shelf that was
// opened; and the bar below each large picture. Its pieces are in desk-*.js.
Object.assign(window.stylegan, (() => {
  const { make, menu, thumbs, shelf, past } = window.stylegan;
  const SHARED = "stylegan-shared"; // of sessionStorage: somebody's shelf, until it is put away
  const SAY_MS = 8000;
  const PEEK = 12;
  const NOTHING = "Nothing is kept yet. ♡ below a picture, or the key k, puts it here: in this browser, for nobody else to see.";

  const bars = new Map(); // element of a large picture -> {value, refresh}
  let settings = { sends: [], most: 0, history: 0, link_chars: 0 };
  let others = []; // items of somebody's shelf
  let removed = []; // items with their places, to be put back
  let ask = () => {}; // (action, items): the server opens pictures or sends them to a tab
  let askSmall = () => {}; // (items): the server draws those that have no thumbnail
  let askFile = () => {}; // (action, items): the server makes a file
  let stopFile = () => {};
  let say = () => {}; // (text, {words, act}, stays): a line on the desk
  let show = () => {}; // all of the desk, as things are now
  let unfold = () => {}; // (drawer)
  let atFocus = () => null; // the item of the desk that has the focus

  const queries = (items) => items.map((item) => item.query);
  const pictures = (count) => (count === 1 ? "1 picture" : `${count} pictures`);

  // Links

  const address = (query) => `${location.origin}${location.pathname}?${query}`;

  // The text of a shelf, as stylegan/shelf.py writes it: a model that all share stands before them
  function shelfText(items) {
    const parts = items.map((item) => item.query.split("&").filter(Boolean));
    const model = (names) => names.find((name) => name.startsWith("m="));
    const first = model(parts[0]);
    const common = parts.every((names) => model(names) === first) ? first : undefined;
    const texts = parts.map((names) => {
      const own = names.filter((name) => name !== common).join(";");
      return `p=${encodeURIComponent(own).replace(/%(40|3A|2F|2C|3D|3B)/g, decodeURIComponent)}`;
    });
    return ["t=shelf", ...(common ? [common] : []), ...texts].join("&");
  }

  async function copyText(text, done) {
    say((await stylegan.copy(text)) ? done : "This browser does not let the page copy.");
  }

  function copyLinks(items) {
    const short = items.filter((item) => item.query.length <= settings.link_chars);
    const long = items.length - short.length;
    const left = long ? ` ${pictures(long)} left out, too long for a link: a zip carries all.` : "";
    if (!short.length) return say(left.trim());
    const links = short.map((item) => address(item.query)).join("\n");
    return copyText(links, `Copied ${short.length === 1 ? "1 link" : `${short.length} links`}.${left}`);
  }

  function copyShelf(items) {
    const text = shelfText(items);
    if (text.length <= settings.link_chars) {
      return copyText(address(text), `Copied one link to ${pictures(items.length)}.`);
    }
    const why = `${pictures(items.length)}: too long for one link. A sheet carries them all.`;
    return say(why, { words: "Save a sheet", act: () => save("sheet", items) }, true);
  }

  function save(action, items) {
    say("Waiting for the server", { words: "Stop", act: stopFile }, true);
    askFile(action, items);
  }

  // Keeping

  function keep(items) {
    const before = shelf.items().length;
    const trouble = shelf.add(items);
    const after = shelf.items().length;
    say(trouble || (after > before ? `Kept: ${after} on the shelf.` : "On the shelf already."));
    const bare = shelf.items().filter((item) => !item.thumb);
    const urls = new Map(items.map((item) => [item.query, item.url]));
    for (const { query } of bare.filter((item) => urls.get(item.query))) {
      stylegan.thumbnail(urls.get(query)).then((thumb) => thumb && shelf.setThumb(query, thumb));
    }
    askSmall(bare.filter((item) => !urls.get(item.query)));
  }

  function takeAway(which) {
    removed = shelf.remove(which);
    if (!removed.length) return;
    say(`Took ${pictures(removed.length)} off the shelf.`, { words: "Put back", act: putBack }, true);
  }

  function putBack() {
    if (!removed.length) return false;
    say(shelf.putBack(removed) || "Put back.");
    removed = [];
    return true;
  }

  function toggle(item) {
    if (shelf.has(item.query)) takeAway([item.query]);
    else keep([item]);
  }

  // Sending

  const tabOf = (text) => new URLSearchParams(text).get("t") || "seeds";

  // What a menu offers for some items; a tab is not sent its own picture to be shown
  function sends(items, shownIn) {
    return settings.sends
      .filter(({ how, tab }) => how !== tab || tab !== shownIn)
      .map(({ how, words }) => ({ words, act: () => ask(how, items()) }));
  }

  // The bar below a large picture

  const itemOf = (value) => ({
    query: value.query || "",
    label: value.caption || "",
    url: value.cell?.file?.url || "",
    thumb: "",
  });

  function acts(element, value) {
    if (!bars.has(element)) bars.set(element, newBar(element.querySelector(".sg-acts")));
    const bar = bars.get(element);
    bar.value = value;
    bar.refresh();
    past.later();
  }

  function newBar(box) {
    const heart = make("span", { "aria-hidden": "true" }, "♡");
    const words = make("span", {}, "Keep");
    const button = make("button", { "aria-pressed": "false", "aria-keyshortcuts": "k" }, heart, words);
    const use = menu("Use in", () => sends(() => [itemOf(bar.value)], tabOf(past.text())));
    const bar = { value: {}, refresh };
    button.onclick = () => toggle(itemOf(bar.value));
    box.append(button, use);

    function refresh() {
      const { query, cell } = bar.value;
      const kept = shelf.has(query);
      heart.textContent = kept ? "♥" : "♡";
      words.textContent = kept ? "Kept" : "Keep";
      button.setAttribute("aria-pressed", String(kept));
      button.title = kept ? "Take off the shelf (k)" : "Keep on the shelf, in this browser (k)";
      button.disabled = use.button.disabled = !query;
      box.hidden = Boolean(cell) && query === undefined; // a picture beside the large one
    }
    return bar;
  }

  // The large picture in sight
  function large() {
    for (const [element, { value }] of bars) {
      if (!element.isConnected) bars.delete(element);
      else if (value.cell && value.query !== undefined && element.checkVisibility()) return itemOf(value);
    }
    return null;
  }

  // Keys of the whole page

  function typing(element) {
    const box = element.closest?.("input, textarea, select, [contenteditable=true]");
    return box && !["range", "checkbox", "radio", "button", "file"].includes(box.type);
  }

  function pressed(event) {
    if (event.defaultPrevented || event.altKey || typing(event.target)) return;
    const key = event.key.toLowerCase();
    const command = event.ctrlKey || event.metaKey;
    if (command && key === "z") (event.shiftKey ? past.redo : past.undo)();
    else if (command && key === "y") past.redo();
    else if (key === "k" && !command && !event.shiftKey && !event.repeat) {
      const item = atFocus() || large();
      if (item?.query) toggle(item);
    } else return;
    event.preventDefault();
  }

  // The desk

  function button(words, act, enabled, title) {
    const made = make("button", { title, "aria-label": title.split(" (")[0] }, words);
    made.onclick = act;
    made.refresh = () => (made.disabled = !enabled());
    return made;
  }

  function usable(made, enabled) {
    made.refresh = () => (made.button.disabled = !enabled());
    return made;
  }

  // Open, use, share: of the items that are selected, or else of all
  function tools(items) {
    const some = () => items().length > 0;
    const one = () => items().length === 1;
    return [
      button("Open", () => ask("open", items()), one, "Open in its tab (Enter, or click twice)"),
      usable(menu("Use in", () => sends(items, "")), some),
      usable(menu("Share", () => [
        { words: "Copy one link to all", act: () => copyShelf(items()) },
        { words: "Copy links, one a line", act: () => copyLinks(items()) },
        { words: "Save a zip, pixels as drawn", act: () => save("zip", items()) },
        { words: "Save a zip, enlarged", act: () => save("large", items()) },
        { words: "Save a sheet that opens here", act: () => save("sheet", items()) },
      ]), some),
    ];
  }

  // A button on the desk, and what it unfolds: tools and a list
  function newDrawer(words, list, tools, empty) {
    const count = make("span", { class: "sg-count" });
    const tab = make("button", { "aria-expanded": "false" }, words, count);
    const which = make("span", { class: "sg-which" });
    const bar = make("div", { role: "toolbar", "aria-label": words, class: "sg-desk-tools" }, which, ...tools);
    const nothing = make("p", { class: "sg-hint" }, empty);
    const panel = make("div", { class: "sg-desk-panel" }, bar, nothing, list.box);
    const drawer = { tab, panel, refresh };
    panel.hidden = true;
    tab.onclick = () => unfold(panel.hidden ? drawer : null);

    function refresh(items, current) {
      list.show(items, current);
      const chosen = list.chosen().length;
      count.textContent = items.length || "";
      bar.hidden = list.box.hidden = !items.length;
      nothing.hidden = items.length > 0;
      which.textContent = chosen ? `${chosen} of ${items.length}` : `All ${items.length}`;
      tools.forEach((tool) => tool.refresh());
    }
    return drawer;
  }

  const worded = (item) => stylegan.worded(item.label, new URLSearchParams(item.query).get("m"));
  const listed = (items) => items.map((item) => ({ ...item, key: item.query, words: worded(item) }));
  const selected = (list, items) => {
    const keys = new Set(list.chosen());
    return keys.size ? items.filter((item) => keys.has(item.query)) : items;
  };

  function shelfDrawer() {
    const list = thumbs("Pictures on the shelf", {
      open: (query) => ask("open", [{ query }]),
      select: () => show(),
      remove: takeAway,
      move: (keys, before) => say(shelf.move(keys, before)),
      step: (keys, by) => say(shelf.step(keys, by)),
      back: putBack,
    });
    const items = () => selected(list, shelf.items());
    const some = () => items().length > 0;
    const picked = () => list.chosen().length > 0;
    const step = (by) => () => say(shelf.step(list.chosen(), by));
    const drawer = newDrawer("Shelf", list, [
      ...tools(items),
      button("◂", step(-1), picked, "Move what is selected forward (Alt and arrow keys)"),
      button("▸", step(1), picked, "Move what is selected back (Alt and arrow keys)"),
      button("Remove", () => takeAway(queries(items())), some, "Take off the shelf (Delete)"),
    ], NOTHING);
    return { ...drawer, show: () => drawer.refresh(listed(shelf.items())), focused: () => null };
  }

  function historyDrawer() {
    const key = (entry, i) => `${i} ${entry.text}`;
    const list = thumbs("Pictures shown before, the newest last", {
      open: (wanted) => past.go(past.entries().findIndex((entry, i) => key(entry, i) === wanted)),
    });
    const marked = () => past.entries().slice(past.at(), past.at() + 1);
    const drawer = newDrawer("History", list, [
      button("Keep", () => keep(marked()), () => Boolean(marked()[0]?.query), "Keep the picture that is marked (k)"),
      usable(menu("Use in", () => sends(marked, "")), () => Boolean(marked()[0]?.query)),
      button("Forget", past.forget, () => past.entries().length > 1, "Forget all but the picture that is marked"),
    ], `The last ${settings.history} pictures come here as they are shown.`);
    const entries = () => past.entries().map((entry, i) => ({ ...entry, key: key(entry, i), words: worded(entry) }));
    return {
      ...drawer,
      show: () => drawer.refresh(entries(), past.at()),
      focused: () => entries().find((entry) => entry.key === list.focused()),
    };
  }

  function sharedDrawer() {
    const list = thumbs("Pictures of the shelf that was opened", {
      open: (query) => ask("open", [{ query }]),
      select: () => show(),
    });
    const items = () => selected(list, others);
    const some = () => others.length > 0;
    const drawer = newDrawer("Shared shelf", list, [
      button("Keep", () => keep(items()), some, "Put these on your own shelf"),
      ...tools(items),
      button("Close", () => setOthers([]), some, "Put this shelf away; yours stays"),
    ], "");
    return {
      ...drawer,
      show() {
        drawer.refresh(listed(others));
        drawer.tab.hidden = !others.length;
        if (!others.length && !drawer.panel.hidden) unfold(null);
      },
      focused: () => others.find((item) => item.query === list.focused()),
    };
  }

  function newLine() {
    const spoken = make("span", { role: "status" });
    const line = make("p", { class: "sg-desk-line" }, spoken);
    let timer = 0;
    say = (text, action, stays) => {
      clearTimeout(timer);
      spoken.textContent = text || "";
      line.replaceChildren(spoken);
      if (action) {
        const made = make("button", {}, action.words);
        made.onclick = action.act;
        line.append(made);
      }
      if (text && !stays) timer = setTimeout(say, SAY_MS);
    };
    return line;
  }

  function setOthers(items) {
    others = items;
    try {
      sessionStorage.setItem(SHARED, JSON.stringify(items));
    } catch {
      // it is gone when the page closes
    }
    show();
  }

  function desk(element, props, trigger) {
    settings = props.value;
    ask = (action, items) => trigger("select", { action, queries: queries(items) });
    const drawers = { shelf: shelfDrawer(), past: historyDrawer(), others: sharedDrawer() };
    const every = Object.values(drawers);
    const undo = button("↶", past.undo, () => past.at() > 0, "Undo (Ctrl+Z)");
    const redo = button("↷", past.redo, () => past.at() < past.entries().length - 1, "Redo (Ctrl+Shift+Z)");
    const peek = make("div", { class: "sg-desk-peek", "aria-hidden": "true" });
    const head = make("div", { class: "sg-desk-head" }, ...every.map(({ tab }) => tab), peek, undo, redo);
    const root = make("section", { class: "sg-desk", "aria-label": "Kept pictures and history" });
    root.append(head, newLine(), ...every.map(({ panel }) => panel));
    element.replaceChildren(root);

    unfold = (wanted) => {
      for (const { tab, panel } of every) {
        panel.hidden = panel !== wanted?.panel;
        tab.setAttribute("aria-expanded", String(!panel.hidden));
      }
      root.classList.toggle("open", Boolean(wanted));
    };
    unfoldShared = () => unfold(drawers.others);
    atFocus = () => every.map(({ focused }) => focused()).find(Boolean);
    show = () => {
      every.forEach((drawer) => drawer.show());
      [undo, redo].forEach((made) => made.refresh());
      const last = shelf.items().filter((item) => item.thumb).slice(-PEEK);
      peek.replaceChildren(...last.map((item) => make("img", { src: item.thumb, alt: "" })));
      bars.forEach(({ refresh }) => refresh());
    };

    try {
      others = shelf.clean(JSON.parse(sessionStorage.getItem(SHARED)));
    } catch {
      // none was opened
    }
    shelf.start(settings.most, show);
    past.start(settings.history, {
      listen: show,
      open: (entry) => ask("open", [{ query: entry.text }]),
      large,
    });
    addEventListener("keydown", pressed);
    addEventListener("sg-named", show);
    show();
  }
  let unfoldShared = () => {};

  // Answers of the server

  // Somebody's shelf: {cells: [{query, label}], count}
  function shared(element, props, watch) {
    let last;
    stylegan.watched(props, watch, (value) => {
      if (!value.cells || value.count === last) return;
      last = value.count;
      setOthers(shelf.clean(value.cells));
      unfoldShared();
      askSmall(others);
    });
  }

  // Files of pictures that had no thumbnail: {cells: [{query, file}]}, and at the end {asked}, all
  function small(element, props, trigger, watch) {
    const seen = new Set();
    askSmall = (items) => {
      if (items.length) trigger("select", { action: "small", queries: queries(items) });
    };
    askSmall(shelf.items().filter((item) => !item.thumb)); // kept just before the page closed
    askSmall(others.filter((item) => !item.thumb));
    stylegan.watched(props, watch, async ({ cells = [], asked = [] }) => {
      const fresh = cells.filter((cell) => !seen.has(cell.query));
      const drawn = new Map();
      fresh.forEach((cell) => seen.add(cell.query));
      for (const cell of fresh) drawn.set(cell.query, await stylegan.thumbnail(cell.file.url));
      const given = new Set(cells.map((cell) => cell.query));
      const missing = new Set(asked.filter((query) => !given.has(query)));
      drawn.forEach((thumb, query) => shelf.has(query) && shelf.setThumb(query, thumb));
      if (!others.some(({ query }) => drawn.has(query) || missing.has(query))) return;
      setOthers(others.map((item) => ({
        ...item,
        thumb: drawn.get(item.query) || item.thumb,
        missing: item.missing || missing.has(item.query),
      })));
    });
  }

  // A file that is made: {said, going}, and at the end {said, file, name, count}
  function files(element, props, trigger, watch) {
    const anchor = make("a", { hidden: "" });
    let stopped = false;
    let last;
    element.append(anchor);
    askFile = (action, items) => {
      stopped = false;
      trigger("select", { action, queries: queries(items) });
    };
    stopFile = () => {
      stopped = true;
      trigger("stop");
      say("Stopping", null, true);
    };
    stylegan.watched(props, watch, (value) => {
      if (!value.said) return;
      if (stopped && value.going) return trigger("stop"); // it began after the click
      say(value.said, value.going && { words: "Stop", act: stopFile }, value.going);
      if (!value.file || value.count === last) return;
      last = value.count;
      anchor.href = value.file.url;
      anchor.download = value.name;
      anchor.click();
    });
  }

  return { acts, linked: past.linked, desk, shared, small, files };
})());
