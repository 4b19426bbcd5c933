// What the page does by itself. Each function serves one kind of gr.HTML component (parts.py):
// `element` is its root, `props.value` what Python sent; watch() calls back when that changes.
// Text goes in as text and addresses as attributes, never as HTML.
window.stylegan = (() => {
  const HOST = "https://huggingface.co"; // the frame around a Space
  const ADDRESS_MS = 250; // browsers allow about 100 address changes in 30 s

  const follows = []; // how each link sets the address

  function watched(props, watch, show) {
    const safely = () => show(props.value || {});
    watch("value", safely);
    addEventListener("sg-named", safely); // the visitor gave something a name of his own
    safely();
  }

  function put(image, cell) {
    const url = cell && cell.file ? cell.file.url : "";
    if (url && image.getAttribute("src") !== url) image.src = url;
    if (!url) image.removeAttribute("src");
    image.alt = url ? cell.alt : "";
  }

  // The big picture: {cell: {file, alt}, caption, crisp}
  function picture(element, props, watch) {
    const image = element.querySelector("img");
    const caption = element.querySelector("figcaption");
    watched(props, watch, (value) => {
      const m = new URLSearchParams(value.query).get("m");
      const cell = value.cell && { ...value.cell, alt: stylegan.worded(value.cell.alt, m) };
      put(image, cell);
      image.classList.toggle("crisp", value.crisp !== false);
      caption.textContent = stylegan.worded(value.caption, m);
      stylegan.acts(element, value);
    });
  }

  // Pictures to choose from: {cells: [{file, alt, label}], current, status, crisp}
  function cells(element, props, trigger, watch) {
    const group = element.querySelector(".sg-cells");
    const status = element.querySelector(".sg-status");
    const columns = () => getComputedStyle(group).gridTemplateColumns.split(" ").length;

    function newCell() {
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("img"), document.createElement("span"));
      button.onclick = () => {
        mark([...group.children].indexOf(button));
        trigger("select", { index: [...group.children].indexOf(button) });
      };
      return group.appendChild(button);
    }

    function mark(current) {
      [...group.children].forEach((button, i) => {
        button.setAttribute("aria-pressed", String(i === current));
        button.tabIndex = i === Math.max(current, 0) ? 0 : -1;
      });
    }

    group.onkeydown = (event) => {
      const all = [...group.children];
      const i = all.indexOf(document.activeElement);
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() };
      const to = { Home: 0, End: all.length - 1 }[event.key] ?? i + step[event.key];
      if (i < 0 || !all[to]) return;
      event.preventDefault();
      all[to].focus();
    };

    watched(props, watch, (value) => {
      const wanted = value.cells || [];
      const inRow = group.classList.contains("row-only");
      const side = inRow ? wanted.length : Math.ceil(Math.sqrt(wanted.length));
      group.style.setProperty("--columns", Math.max(side, inRow ? 1 : 2));
      while (group.children.length > wanted.length) group.lastChild.remove();
      wanted.forEach((cell, i) => {
        const button = group.children[i] || newCell();
        put(button.firstChild, cell);
        button.firstChild.classList.toggle("crisp", value.crisp !== false);
        button.lastChild.textContent = stylegan.worded(cell.label, value.m);
        button.disabled = !cell.file;
      });
      group.classList.toggle("none", !wanted.length);
      mark(value.current ?? -1);
      status.textContent = value.status || "";
    });
  }

  // Sentences for the visitor: [text, ...]
  function notes(element, props, watch) {
    const list = element.querySelector("ul");
    watched(props, watch, (value) => {
      const items = [...value].map((text) => {
        const item = document.createElement("li");
        item.textContent = text;
        return item;
      });
      list.replaceChildren(...items);
    });
  }

  // A share link: {query}, empty if too long. The address follows that of the tab in sight, also
  // the address of the page around a Space; a link that does not lead is copied and no more.
  function link(element, props, watch, leads) {
    const button = element.querySelector("button");
    const said = element.querySelector("output");
    const usual = button.textContent;
    let query = "";
    let shown = false; // something was drawn
    let timer = 0;
    const address = () => location.origin + location.pathname + (query && "?" + query);
    if (leads) follows.push(follow);

    function follow() {
      clearTimeout(timer);
      timer = 0;
      if (!shown || !element.checkVisibility()) return; // of another tab
      history.replaceState(history.state, "", address());
      if (window.parent !== window) window.parent.postMessage({ queryString: query }, HOST);
    }

    function say(text) {
      said.textContent = button.textContent = text;
      setTimeout(() => {
        said.textContent = "";
        if (!button.disabled) button.textContent = usual;
      }, 2500);
    }

    button.onclick = async () => {
      if (!query) return;
      if (leads) follow();
      say((await copy(address())) ? "Copied" : leads ? "See the address bar" : "Not allowed");
    };
    watched(props, watch, (value) => {
      if (value.query === undefined) return; // nothing is drawn yet
      shown = true;
      if (leads) stylegan.linked(element, value);
      button.disabled = !value.query;
      button.textContent = value.query ? usual : "Too long for a link";
      if (value.query === query) return;
      query = value.query;
      if (leads) timer = timer || setTimeout(follow, ADDRESS_MS);
    });
  }

  // Another tab is in sight
  function turned() {
    requestAnimationFrame(() => requestAnimationFrame(() => follows.forEach((follow) => follow())));
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // no permission, or an address without https
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }

  // A file to be saved: {file, name, count}; each new count is one click of a button
  function saver(element, props, watch) {
    let last;
    watched(props, watch, (value) => {
      if (!value.file || value.count === last) return;
      last = value.count;
      const anchor = document.createElement("a");
      anchor.href = value.file.url;
      anchor.download = value.name;
      element.append(anchor);
      anchor.click();
      anchor.remove();
    });
  }

  // A gradio text box tells of keys alone; here it tells as well of what is pasted, cut or erased.
  addEventListener("input", ({ target }) => {
    if (!target.matches?.("[data-testid=textbox]")) return;
    target.dispatchEvent(new KeyboardEvent("keypress", { bubbles: true }));
  });

  // Files dropped anywhere on the page go to the button that opens them.
  function dropping(id) {
    let inside = false; // something of this page itself is dragged
    const carries = (event) => !inside && [...event.dataTransfer.types].includes("Files");
    const over = (on) => document.body.classList.toggle("sg-drop", on);
    addEventListener("dragstart", () => (inside = true));
    addEventListener("dragend", () => (inside = false));
    addEventListener("dragover", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      over(true);
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) over(false);
    });
    addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      over(false);
      const input = document.querySelector(`#${id} input[type=file], input[type=file]#${id}`);
      if (!input || !event.dataTransfer.files.length) return;
      const files = new DataTransfer();
      files.items.add(event.dataTransfer.files[0]);
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }

  return { watched, put, copy, picture, cells, notes, link, turned, saver, dropping };
})();
