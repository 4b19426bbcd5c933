// The Editing tab: sliders of a model's directions, the original behind the picture, a row of
// strengths, and the names that a visitor gives to directions, which stay in this browser.
(() => {
  const KEPT = "stylegan-names"; // {model: {direction: its name here}}
  const USUAL = 5; // sliders go so far, in standard deviations
  const { watched, put, cells } = window.stylegan;

  // Names

  let names = read();
  addEventListener("storage", (event) => {
    if (event.key === KEPT) renamed(read());
  });

  function read() {
    try {
      return Object(JSON.parse(localStorage.getItem(KEPT)) || {});
    } catch { // not allowed here, or not ours
      return {};
    }
  }

  function renamed(all) {
    names = all;
    dispatchEvent(new Event("sg-named"));
  }

  function ownName(model, direction) {
    const name = Object(names[model])[direction];
    return typeof name === "string" ? name : "";
  }

  // What the sliders of a model call its directions, {model: {direction: label}}
  const labels = {};

  function rename(model, direction, name) {
    const all = read();
    all[model] = { ...Object(all[model]), [direction]: name.trim() || undefined };
    try {
      localStorage.setItem(KEPT, JSON.stringify(all));
    } catch { // then for as long as this page is open
    }
    renamed(all);
  }

  // A caption that names the directions of model `m` as they are called here: "big smile +2"
  function worded(text, m) {
    return (text || "").replace(
      /(^|[\s:])([A-Za-z0-9][A-Za-z0-9_.-]*)(?= [+-][0-9])/g,
      (all, before, direction) => before + (ownName(m, direction) || labels[m]?.[direction] || direction),
    );
  }

  // The original, {cell, caption, crisp}: in sight for as long as the button is held
  function original(element, props, watch) {
    const figure = element.querySelector("figure");
    const button = element.querySelector("button");
    const image = element.querySelector("img");
    const show = (on) => {
      figure.classList.toggle("held", on);
      button.setAttribute("aria-pressed", String(on));
    };
    button.onpointerdown = (event) => {
      button.setPointerCapture(event.pointerId);
      show(true);
    };
    button.onpointerup = button.onpointercancel = button.onblur = () => show(false);
    button.onkeydown = (event) => [" ", "Enter"].includes(event.key) && show(true);
    button.onkeyup = () => show(false);
    button.oncontextmenu = (event) => event.preventDefault(); // a long press on a phone
    watched(props, watch, (value) => {
      put(image, value.cell);
      image.classList.toggle("crisp", value.crisp !== false);
      figure.querySelector("figcaption").textContent = value.caption || "";
      button.disabled = !value.cell;
    });
  }

  // Sliders: {model, sides, items: [{direction, label, note, rows, kind}], edits, chosen}
  //
  // edits, [{direction, strength, rows}], and chosen are also what the page sends. What the
  // visitor made is told by mine(), since no link knows of it.
  function directions(element, props, trigger, watch) {
    const named = element.querySelector(".sg-named");
    const found = element.querySelector(".sg-found");
    const empty = element.querySelector(".sg-none");
    const unlinked = element.querySelector(".sg-unlinked");
    let own = [];
    let lines = [];

    const tab = () => element.closest(".sg-tab");
    const known = (value) => [
      ...own.filter((item) => item.m === value.model),
      ...(value.items || []),
    ];

    function send(chosen) {
      const edits = lines.filter((line) => line.matters()).map((line) => line.edit());
      const order = props.value.edits.map((edit) => edit.direction);
      const place = (edit) => (order.indexOf(edit.direction) + 1 || Infinity);
      edits.sort((a, b) => place(a) - place(b) || 0);
      props.value = { ...props.value, edits, chosen: chosen ?? props.value.chosen };
      tell();
      trigger("input");
    }

    // Which strength of the chosen direction is shown, for the row of strengths
    function tell() {
      const chosen = lines.find((line) => line.item.direction === props.value.chosen);
      lines.forEach((line) => line.choose(line === chosen));
      const baked = lines.filter((line) => line.edit().strength && !line.item.linked);
      const which = [...new Set(baked.map((line) => line.label))].join(", ");
      unlinked.textContent = which && `A link keeps the picture, but not ${which}: the model's file \
has no such direction, so the link carries the latent that it leads to.`;
      const detail = { strength: chosen ? chosen.edit().strength : null };
      tab()?.dispatchEvent(new CustomEvent("sg-moved", { detail }));
    }

    function build() {
      const value = props.value;
      const items = known(value);
      const opened = new Set(lines.filter((line) => line.open()).map((line) => line.key));
      const focus = element.contains(document.activeElement) && document.activeElement.dataset.key;
      lines = [];
      for (const item of items) {
        const edits = (value.edits || []).filter((edit) => edit.direction === item.direction);
        (edits.length ? edits : [null]).forEach((edit, i) => {
          lines.push(newLine(item, edit, `${item.direction}#${i}`));
        });
      }
      const nameless = lines.filter((line) => line.nameless);
      named.replaceChildren(...lines.filter((line) => !line.nameless).map((line) => line.root));
      found.lastElementChild.replaceChildren(...nameless.map((line) => line.root));
      found.classList.toggle("sg-off", !nameless.length);
      found.open ||= nameless.some((line) => line.matters());
      found.firstElementChild.textContent = `Explore: ${nameless.length} more without names`;
      empty.classList.toggle("sg-off", items.length > 0);
      lines.forEach((line) => line.open(opened.has(line.key)));
      if (focus) element.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
      tell();
    }

    function label() {
      const { model } = props.value;
      const now = Object.fromEntries(known(props.value).map((item) => [item.direction, item.label]));
      if (JSON.stringify(now) === JSON.stringify(labels[model])) return;
      labels[model] = now;
      dispatchEvent(new Event("sg-named"));
    }

    function newLine(item, edit, key) {
      const { model, sides } = props.value;
      const last = sides.length - 1;
      const given = ownName(model, item.direction);
      const label = given || item.label;
      const root = document.querySelector("#sg-direction").content.cloneNode(true).firstElementChild;
      const part = (name) => root.querySelector(`.${name}`);
      const [pick, box, range] = [part("sg-pick"), part("sg-strength"), part("sg-range")];
      const [from, to] = [part("sg-from"), part("sg-to")];
      const whole = [0, last];
      const usual = item.rows || whole;
      let strength = edit ? edit.strength : 0;
      let rows = edit ? edit.rows || whole : usual;
      const all = () => rows[0] === 0 && rows[1] === last;

      root.dataset.direction = item.direction;
      for (const [i, control] of [...root.querySelectorAll("button, input")].entries()) {
        control.dataset.key = `${key}-${i}`;
      }
      pick.textContent = pick.title = label;
      part("sg-note").textContent = item.note || "";
      const inLinks = given ? `in links it is ${item.direction}` : "";
      part("sg-note").title = [item.method, inLinks].filter(Boolean).join("; ");
      box.ariaLabel = range.ariaLabel = `${label}, in standard deviations`;
      from.ariaLabel = `${label}: first layer`;
      to.ariaLabel = `${label}: last layer`;
      part("sg-reset").ariaLabel = `Reset ${label}`;
      part("sg-rename").ariaLabel = `Rename ${label}`;
      part("sg-remove").ariaLabel = `Remove ${label}`;
      part("sg-remove").classList.toggle("sg-off", item.kind !== "own");
      part("sg-rename").classList.toggle("sg-off", item.kind === "own");
      from.max = to.max = last;

      function show(typing) {
        const far = Math.max(USUAL, Math.ceil(Math.abs(strength)));
        [range.min, range.max, range.value] = [-far, far, strength];
        range.style.setProperty("--at", `${50 + (50 * strength) / far}%`);
        if (!typing) box.value = strength;
        [from.value, to.value] = rows;
        root.classList.toggle("moved", strength !== 0);
        const ends = rows.map((row) => sides[row]);
        const px = ends[0] === ends[1] ? ends[0] : `${ends[0]} to ${ends[1]}`;
        part("sg-extent-said").textContent = all()
          ? "all layers"
          : `layers ${rows[0]} to ${rows[1]} of ${last}, ${px} px`;
        [from, to].forEach((control, i) => {
          control.ariaValueText = `layer ${rows[i]}, ${ends[i]} px`;
          control.nextElementSibling.textContent = `${rows[i]} · ${ends[i]} px`;
        });
      }

      function move(to, typing) {
        if (!Number.isFinite(to)) return; // emptied, to be typed into
        strength = to;
        show(typing);
        send(item.direction);
      }

      range.oninput = () => move(range.valueAsNumber);
      box.oninput = () => move(box.valueAsNumber, true);
      box.onchange = () => show();
      from.oninput = to.oninput = (event) => {
        const [a, b] = [from.valueAsNumber, to.valueAsNumber];
        const first = event.target === from;
        rows = [first ? a : Math.min(a, b), first ? Math.max(a, b) : b];
        show();
        send(item.direction);
      };
      pick.onclick = () => send(item.direction);
      part("sg-reset").onclick = () => {
        line.reset();
        send(item.direction);
      };
      part("sg-remove").onclick = () => trigger("delete", { name: item.direction });
      part("sg-rename").onclick = () => ask();

      function ask() {
        const input = document.createElement("input");
        Object.assign(input, { className: "sg-name", value: label, maxLength: 40 });
        input.ariaLabel = `New name of ${item.label}; empty for its own`;
        input.dataset.key = `${key}-name`;
        let asked = true;
        const end = (name) => {
          if (!asked) return;
          asked = false;
          input.replaceWith(pick);
          part("sg-rename").focus();
          if (name !== undefined) rename(model, item.direction, name === item.label ? "" : name);
        };
        input.onkeydown = (event) => {
          if (!["Enter", "Escape"].includes(event.key)) return;
          event.preventDefault(); // else Enter would press the button that is focused next
          end(event.key === "Enter" ? input.value : undefined);
        };
        input.onblur = () => end(input.value);
        pick.replaceWith(input);
        input.focus();
        input.select();
      }

      const line = {
        item, root, key, label,
        nameless: item.kind === "found" && !given,
        matters: () => strength !== 0 || rows[0] !== usual[0] || rows[1] !== usual[1],
        edit: () => ({ direction: item.direction, strength, rows: all() ? null : rows }),
        open: (on) => (on === undefined ? part("sg-extent").open : (part("sg-extent").open = on)),
        choose: (on) => {
          root.classList.toggle("chosen", on);
          pick.setAttribute("aria-pressed", String(on));
        },
        move,
        reset: () => {
          [strength, rows] = [0, usual];
          show();
        },
      };
      show();
      return line;
    }

    element.querySelector(".sg-reset-all").onclick = () => {
      lines.forEach((line) => line.reset());
      send();
    };
    watched(props, watch, (value) => {
      if (!value.model) return;
      build();
      label();
      tab().dispatchEvent(new CustomEvent("sg-shown", { detail: { model: value.model } }));
      tab().addEventListener("sg-strength", chosenStrength);
      tab().addEventListener("sg-mine", made);
    });

    function chosenStrength(event) {
      lines.find((line) => line.item.direction === props.value.chosen)?.move(event.detail);
    }

    function made(event) {
      const before = props.value.edits.length;
      own = event.detail.own;
      const { chosen } = event.detail;
      const items = known(props.value).map((item) => item.direction);
      const edits = props.value.edits.filter((edit) => items.includes(edit.direction));
      const wanted = chosen || (items.includes(props.value.chosen) ? props.value.chosen : items[0]);
      const changed = wanted !== props.value.chosen || edits.length < before || chosen;
      props.value = { ...props.value, edits, chosen: wanted ?? null };
      build();
      label();
      if (changed) trigger("input");
    }
  }

  // What the visitor made: {own: [item], chosen}; the sliders show it
  function mine(element, props, watch) {
    watched(props, watch, (value) => {
      if (!value.own) return;
      const detail = { own: value.own, chosen: value.chosen };
      element.closest(".sg-tab").dispatchEvent(new CustomEvent("sg-mine", { detail }));
    });
  }

  // Pictures at some strengths of a direction: what cells() takes, {m, direction, label,
  // strengths}. Choosing one moves its slider.
  function strengths(element, props, watch) {
    const title = element.querySelector(".sg-title");
    const group = element.querySelector(".sg-cells");
    let now = null;
    const tab = () => element.closest(".sg-tab");

    function mark() {
      const index = (props.value.strengths || []).indexOf(now);
      [...group.children].forEach((button, i) => {
        button.setAttribute("aria-pressed", String(i === index));
      });
    }

    const choose = (name, { index }) => {
      const detail = props.value.strengths[index];
      tab().dispatchEvent(new CustomEvent("sg-strength", { detail }));
    };
    cells(element, props, choose, watch);
    watched(props, watch, (value) => {
      const name = ownName(value.m, value.direction) || value.label;
      const ends = value.strengths || [];
      title.textContent = name ? `${name}, from ${ends[0]} to +${ends.at(-1)} σ` : "";
      group.ariaLabel = title.textContent;
      mark();
      if (value.m) tab().addEventListener("sg-moved", moved);
    });

    function moved(event) {
      now = event.detail.strength;
      mark();
    }
  }

  Object.assign(window.stylegan, { worded, original, directions, mine, strengths });
})();
