// Pictures that a visitor marks as having something or not.
(() => {
  const { watched, put } = window.stylegan;
  const KEYS = { "+": 1, "=": 1, y: 1, "-": -1, n: -1, 0: 0, Delete: 0, Backspace: 0 };

  // {cells: [{query, m, file, alt, label, crisp, mark}], needed}, of which those of the model at hand
  // are in sight. `mark`, 1 or -1, comes with pictures from other tabs. What is chosen here stays,
  // whatever Python sends, and travels back as `mark` of each cell.
  function marks(element, props, watch) {
    const group = element.querySelector(".sg-cells");
    const said = element.querySelector(".sg-marked");
    const chosen = new Map(); // query -> 1 or -1
    let current = 0; // where the Tab key leads
    const all = () => [...group.children];
    const cell = (i) => cells()[i];
    let model = "";

    function cells() {
      return (props.value.cells || []).filter((c) => !model || c.m === model);
    }

    function mark(i, to) {
      if (to) chosen.set(cell(i).query, to);
      else chosen.delete(cell(i).query);
      kept();
      show();
    }

    function kept() {
      const all = props.value.cells.map((c) => ({ ...c, mark: chosen.get(c.query) || 0 }));
      props.value = { ...props.value, cells: all };
    }

    function newCell() {
      const root = document.createElement("div");
      root.className = "sg-mark";
      root.setAttribute("role", "group");
      const picture = document.createElement("img");
      const buttons = [1, -1].map((to) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = to > 0 ? "✓" : "✗";
        button.onclick = () => {
          const i = all().indexOf(root);
          mark(i, chosen.get(cell(i).query) === to ? 0 : to);
        };
        return button;
      });
      picture.onclick = () => { // has it, has it not, neither
        const i = all().indexOf(root);
        const now = chosen.get(cell(i).query);
        mark(i, now ? Math.min(0, -now) : 1);
      };
      const row = document.createElement("div");
      row.append(...buttons);
      root.append(picture, row);
      return group.appendChild(root);
    }

    function show() {
      const shown = cells();
      while (group.children.length > shown.length) group.lastChild.remove();
      shown.forEach((c, i) => {
        const root = group.children[i] || newCell();
        const now = chosen.get(c.query) || 0;
        const [picture, row] = root.children;
        put(picture, c);
        picture.classList.toggle("crisp", c.crisp);
        root.ariaLabel = c.label;
        root.classList.toggle("has", now > 0);
        root.classList.toggle("has-not", now < 0);
        [...row.children].forEach((button, k) => {
          button.disabled = !c.file;
          button.tabIndex = i === Math.min(current, shown.length - 1) ? 0 : -1;
          button.ariaLabel = `${c.label}: ${k ? "has it not" : "has it"}`;
          button.setAttribute("aria-pressed", String(now === (k ? -1 : 1)));
        });
      });
      const count = (to) => shown.filter((c) => chosen.get(c.query) === to).length;
      const [has, hasNot] = [count(1), count(-1)];
      const more = (n, what) => (n > 0 ? [`${n} more that ${what}`] : []);
      const needed = props.value.needed || 0;
      const missing = [...more(needed - has, "have it"), ...more(needed - hasNot, "have it not")];
      const counted = `${has} marked ✓ has it, ${hasNot} marked ✗ has it not`;
      const next = missing.length ? `mark ${missing.join(" and ")}` : "enough to begin with";
      const { status } = props.value;
      said.textContent = status || (shown.length ? `${counted}: ${next}` : "");
      said.parentElement.classList.toggle("sg-off", !said.textContent);
    }

    group.addEventListener("focusin", (event) => {
      current = all().indexOf(event.target.closest(".sg-mark"));
      show();
    });
    group.onkeydown = (event) => {
      const root = document.activeElement.closest(".sg-mark");
      const i = all().indexOf(root);
      if (i < 0) return;
      if (event.key in KEYS && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        mark(i, KEYS[event.key]);
        return;
      }
      const columns = getComputedStyle(group).gridTemplateColumns.split(" ").length;
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
      const to = all()[i + step[event.key]];
      if (!to) return;
      event.preventDefault();
      const which = [...root.querySelectorAll("button")].indexOf(document.activeElement);
      to.querySelectorAll("button")[Math.max(which, 0)].focus();
    };

    element.querySelector(".sg-clear").onclick = () => {
      chosen.clear();
      kept();
      show();
    };
    element.closest(".sg-tab").addEventListener("sg-shown", (event) => {
      model = event.detail.model;
      show();
    });
    watched(props, watch, (value) => {
      if (!value.cells) return;
      for (const c of value.cells) if (c.mark) chosen.set(c.query, c.mark);
      kept();
      show();
    });
  }

  // A line of text
  function said(element, props, watch) {
    const line = element.querySelector("p");
    watched(props, watch, (value) => (line.textContent = typeof value === "string" ? value : ""));
  }

  Object.assign(window.stylegan, { marks, said });
})();
