// Pieces that the desk is made of: small pictures of pictures, lists of them, and menus.
Object.assign(window.stylegan, (() => {
  const SHOWN_PX = 64; // side of a small picture
  const THUMB_PX = 2 * SHOWN_PX; // as fine screens need it
  const ROOM_PX = 8; // between a menu and the edge of the window

  function make(tag, attributes = {}, ...inside) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inside);
    if (tag === "button") element.type = "button";
    return element;
  }

  // A small picture as text, which outlives the file; empty where that is gone
  async function thumbnail(url) {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch {
      return "";
    }
    const shrink = Math.min(1, THUMB_PX / Math.max(image.naturalWidth, image.naturalHeight));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(image.naturalWidth * shrink));
    canvas.height = Math.max(1, Math.round(image.naturalHeight * shrink));
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/webp", 0.9); // PNG where a browser cannot
  }

  // A button that opens a menu; entries() are {words, act} at the time
  function menu(words, entries) {
    const button = make("button", { "aria-haspopup": "menu", "aria-expanded": "false" }, words);
    const box = make("div", { popover: "auto", role: "menu", "aria-label": words, class: "sg-menu" });
    const span = make("span", { class: "sg-menu-of" }, button, box);
    const open = () => box.matches(":popover-open");
    let pressed = false; // the click that closes it must not open it again

    function fill() {
      const items = entries().map(({ words, act }) => {
        const item = make("button", { role: "menuitem", tabindex: "-1" }, words);
        item.onclick = () => {
          box.hidePopover();
          act();
        };
        return item;
      });
      box.replaceChildren(...items);
    }

    function place() {
      const at = button.getBoundingClientRect();
      const below = innerHeight - at.bottom - ROOM_PX;
      const up = below < box.offsetHeight && at.top > below;
      const left = Math.min(at.left, innerWidth - box.offsetWidth - ROOM_PX);
      box.style.left = `${Math.max(ROOM_PX, left)}px`;
      box.style.top = `${up ? Math.max(ROOM_PX, at.top - box.offsetHeight - 4) : at.bottom + 4}px`;
    }

    button.onpointerdown = () => (pressed = open());
    button.onclick = () => {
      const closed = pressed;
      pressed = false;
      if (closed) return box.hidePopover();
      fill();
      box.showPopover();
      place();
      box.firstChild?.focus();
    };
    box.onbeforetoggle = (event) => {
      button.setAttribute("aria-expanded", String(event.newState === "open"));
      if (event.newState !== "closed") return;
      if (box.contains(document.activeElement)) button.focus();
    };
    box.onkeydown = (event) => {
      const all = [...box.children];
      const i = all.indexOf(document.activeElement);
      const to = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: all.length - 1 }[event.key];
      if (event.key === "Tab") box.hidePopover();
      if (to === undefined) return;
      event.preventDefault();
      all[(to + all.length) % all.length].focus();
    };
    addEventListener("scroll", () => open() && place(), true);
    span.button = button;
    return span;
  }

  // Small pictures {key, words, thumb, missing} in a list. `on` may have: open(key), select(),
  // remove(keys), move(keys, before), step(keys, by), back(). Without select, a click opens.
  function thumbs(label, on) {
    const box = make("ul", { role: "listbox", "aria-label": label, class: "sg-thumbs" });
    box.setAttribute("aria-multiselectable", String(Boolean(on.select)));
    const nodes = new Map(); // by key
    const chosen = new Set();
    let keys = [];
    let from = 0; // where a selection with shift begins
    let dragged = [];

    const at = (node) => [...box.children].indexOf(node);
    const picked = () => keys.filter((key) => chosen.has(key));
    const acting = (key) => (chosen.has(key) ? picked() : [key]);

    function newNode(key) {
      const image = make("img", { alt: "", draggable: "false" });
      const node = make("li", { role: "option", tabindex: "-1" }, image);
      node.draggable = Boolean(on.move);
      image.onload = () => image.classList.toggle("crisp", image.naturalWidth <= SHOWN_PX);
      node.onclick = (event) => {
        focus(at(node));
        if (on.select) select(at(node), event.shiftKey);
        else on.open(key);
      };
      node.ondblclick = () => on.select && on.open(key);
      node.ondragstart = (event) => {
        dragged = acting(key);
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", node.title);
      };
      node.ondragend = () => mark(null);
      return node;
    }

    function dress(node, item, selected) {
      const image = node.firstChild;
      if (!item.thumb) image.removeAttribute("src");
      else if (image.getAttribute("src") !== item.thumb) image.src = item.thumb;
      node.title = item.missing ? `${item.words} (cannot be drawn here)` : item.words;
      node.setAttribute("aria-label", node.title);
      node.setAttribute("aria-selected", String(selected));
      node.classList.toggle("none", Boolean(item.missing));
      return node;
    }

    function show(items, current = -1) {
      const had = at(document.activeElement);
      const focusedKey = keys[had];
      keys = items.map((item) => item.key);
      [...chosen].forEach((key) => keys.includes(key) || chosen.delete(key));
      const now = items.map((item, i) => {
        const selected = on.select ? chosen.has(item.key) : i === current;
        return dress(nodes.get(item.key) || newNode(item.key), item, selected);
      });
      nodes.clear();
      now.forEach((node, i) => nodes.set(keys[i], node));
      if (now.length !== box.children.length || now.some((node, i) => box.children[i] !== node)) {
        box.replaceChildren(...now);
        if (had >= 0) focus(keys.includes(focusedKey) ? keys.indexOf(focusedKey) : had);
      }
      if (!now.some((node) => node.tabIndex === 0)) now[Math.max(current, 0)]?.setAttribute("tabindex", "0");
    }

    function focus(i) {
      const to = Math.min(Math.max(i, 0), box.children.length - 1);
      [...box.children].forEach((node, j) => (node.tabIndex = j === to ? 0 : -1));
      box.children[to]?.focus();
    }

    function select(i, range) {
      if (range) {
        keys.slice(Math.min(from, i), Math.max(from, i) + 1).forEach((key) => chosen.add(key));
      } else {
        if (!chosen.delete(keys[i])) chosen.add(keys[i]);
        from = i;
      }
      on.select();
    }

    function choose(wanted) {
      chosen.clear();
      wanted.forEach((key) => chosen.add(key));
      on.select();
    }

    // How many stand in one line
    function columns() {
      const top = box.firstChild.offsetTop;
      const next = [...box.children].findIndex((node) => node.offsetTop > top);
      return next < 0 ? keys.length : next;
    }

    function mark(over, after) {
      [...box.children].forEach((node) => node.classList.remove("before", "after"));
      if (over) over.classList.add(after ? "after" : "before");
    }

    box.ondragover = (event) => {
      if (!dragged.length) return;
      event.preventDefault();
      const over = event.target.closest?.("li");
      const side = over?.getBoundingClientRect();
      mark(over, side && event.clientX > side.left + side.width / 2);
    };
    box.ondrop = (event) => {
      if (!dragged.length) return;
      event.preventDefault();
      event.stopPropagation();
      const over = box.querySelector(".before, .after");
      const to = over ? at(over) + over.classList.contains("after") : keys.length;
      on.move(dragged, keys.slice(to).find((key) => !dragged.includes(key)));
      dragged = [];
      mark(null);
    };

    function moved(event, i) {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
      const to = { Home: 0, End: keys.length - 1 }[event.key] ?? i + step;
      if (event.altKey) return Boolean(step && on.step) && (on.step(acting(keys[i]), step), true);
      if (!(to in keys)) return step !== undefined; // at the edge, the page stays where it is
      if (event.shiftKey && on.select) {
        if (!chosen.size) from = i;
        select(to, true);
      }
      focus(to);
      return true;
    }

    function pressed(event, i) {
      const command = event.ctrlKey || event.metaKey;
      const key = event.key.toLowerCase();
      if (command && key === "a" && on.select) return choose(keys), true;
      if (command && key === "z" && !event.shiftKey) return Boolean(on.back?.());
      if (command) return false;
      if (moved(event, i)) return true;
      if (key === "enter" || (key === " " && !on.select)) on.open(keys[i]);
      else if (key === " ") select(i, event.shiftKey);
      else if (key === "escape" && chosen.size) choose([]);
      else if (["delete", "backspace"].includes(key) && on.remove) on.remove(acting(keys[i]));
      else return false;
      return true;
    }

    box.onkeydown = (event) => {
      const i = at(document.activeElement);
      if (i >= 0 && pressed(event, i)) event.preventDefault();
    };

    return { box, show, chosen: picked, focused: () => keys[at(document.activeElement)] };
  }

  return { make, thumbnail, menu, thumbs };
})());
