// The Mixing tab: which layers come from the columns, and the cross table.
(() => {
  const { watched, put } = window.stylegan;
  const CORNER = [0, 0];
  const NAMES = { rows: "row", cols: "column" };

  // What is large is kept in a part of its own, by which the page hears of it; the table marks it.
  let choose = () => {};
  let mark = () => {};

  // Which picture is large: {at: [row, column]}, null along an edge
  function choice(props, trigger, watch) {
    choose = (at) => {
      props.value = { at };
      trigger("input");
    };
    watched(props, watch, (value) => mark(value.at || CORNER));
  }

  // Layers: {layers: [row, ...], sides: [px, ...], bands: [{name, rows: [first, last], sides}]}
  //
  // layers is also what the page sends back.
  function layers(element, props, trigger, watch) {
    const bands = element.querySelector(".sg-bands");
    const said = element.querySelector(".sg-layers-said");
    const [low, high] = element.querySelectorAll(".sg-span input");
    const span = element.querySelector(".sg-span");
    const ticks = element.querySelector(".sg-ticks");
    let sides = [];

    const range = (first, last) => sides.map((_, i) => i).filter((i) => first <= i && i <= last);
    const ticked = () => range(0, sides.length).filter((i) => boxes()[i].checked);
    const boxes = () => [...ticks.querySelectorAll("input")];

    function chosen(rows) {
      mirror(rows);
      props.value = { ...props.value, layers: rows };
      trigger("input");
    }

    // Every control says the same
    function mirror(rows) {
      const [first, last] = [Math.min(...rows), Math.max(...rows)];
      boxes().forEach((box, i) => (box.checked = rows.includes(i)));
      if (rows.length) {
        low.value = first;
        high.value = last;
        span.style.setProperty("--first", first);
        span.style.setProperty("--last", last);
      }
      span.classList.toggle("broken", rows.length !== last - first + 1);
      for (const input of [low, high]) {
        input.setAttribute("aria-valuetext", `row ${input.value}, ${sides[input.value]} px`);
      }
      low.style.zIndex = first * 2 >= sides.length ? 2 : 1; // of two on one spot, that with room
      [...bands.children].forEach((button) => {
        const own = range(...button.rows);
        button.setAttribute("aria-pressed", String(String(own) === String(rows)));
      });
      said.textContent = rows.length ? words(rows) : "tick at least one row";
    }

    // "rows 0-3, 4-16 px"
    function words(rows) {
      const spans = [];
      for (const row of rows) {
        const end = spans.at(-1);
        if (end && end[1] === row - 1) end[1] = row;
        else spans.push([row, row]);
      }
      const text = ([a, b]) => (a === b ? `${a}` : `${a}-${b}`);
      const px = spans.map(([a, b]) => text([sides[a], sides[b]])).join(", ");
      return `${rows.length > 1 ? "rows" : "row"} ${spans.map(text).join(", ")}: ${px} px`;
    }

    low.oninput = () => chosen(range(+low.value, Math.max(+low.value, +high.value)));
    high.oninput = () => chosen(range(Math.min(+low.value, +high.value), +high.value));

    function build(value) {
      sides = value.sides;
      span.style.setProperty("--rows", sides.length);
      for (const input of [low, high]) input.max = sides.length - 1;
      bands.replaceChildren(
        ...value.bands.map((band) => {
          const button = document.createElement("button");
          button.type = "button";
          button.rows = band.rows;
          button.append(band.name, document.createElement("small"));
          button.lastChild.textContent = band.sides;
          button.onclick = () => chosen(range(...band.rows));
          return button;
        }),
      );
      ticks.style.setProperty("--rows", sides.length);
      ticks.replaceChildren(
        ...sides.map((side, i) => {
          const label = document.createElement("label");
          const box = document.createElement("input");
          box.type = "checkbox";
          box.ariaLabel = `row ${i}, ${side} px`;
          box.onchange = () => chosen(ticked());
          label.append(box, String(i));
          return label;
        }),
        ...sides.flatMap((side, i) => {
          if (sides[i - 1] === side) return [];
          const size = document.createElement("span");
          size.textContent = side;
          size.style.gridColumn = `span ${sides.filter((other) => other === side).length}`;
          return [size];
        }),
      );
    }

    watched(props, watch, (value) => {
      if (!value.sides) return;
      if (String(sides) !== String(value.sides) || !bands.children.length) build(value);
      mirror([...value.layers]);
    });
  }

  // The cross table: {rows: [{file, label}], cols, cells: [[{file}]], layers, sides, status, crisp}
  function crossTable(element, props, trigger, watch) {
    const frame = element.querySelector(".sg-cross");
    const table = element.querySelector("table");
    const status = element.querySelector(".sg-status");
    const tools = element.querySelector(".sg-edge-tools");
    const [name, back, on, away] = tools.children;
    let labels = { rows: [], cols: [] };
    let at = CORNER;

    // The buttons line by line as they are seen: [0][0] is the corner, where nothing is
    const lines = () => [...table.rows].map((row) => [...row.cells].map((cell) => cell.firstChild));
    const button = ([row, col]) => table.rows[(row ?? -1) + 1]?.cells[(col ?? -1) + 1]?.firstChild;
    const axis = () => (at[0] === null ? "cols" : at[1] === null ? "rows" : null);
    const index = () => at[0] ?? at[1];

    mark = (place) => {
      const within = table.contains(document.activeElement);
      at = place;
      const marked = button(at);
      for (const other of table.querySelectorAll("button")) {
        other.setAttribute("aria-pressed", String(other === marked));
        other.tabIndex = -1;
      }
      const first = marked || table.querySelector("button");
      if (first) first.tabIndex = 0;
      if (within && marked) marked.focus({ preventScroll: true });
      showTools();
    };

    function showTools() {
      const [own, i] = [axis(), index()];
      const count = own ? labels[own].length : 0;
      tools.classList.toggle("none", !own);
      name.textContent = own
        ? `${NAMES[own]} ${i + 1} of ${count}: ${labels[own][i] ?? ""}`
        : "Choose a picture at the edge to move or remove it";
      [back.textContent, on.textContent] = own === "rows" ? ["Up", "Down"] : ["Left", "Right"];
      back.disabled = !own || i === 0;
      on.disabled = !own || i >= count - 1;
      away.disabled = !own || count < 2;
    }

    // A row or column goes to another place, or away
    function move(own, from, to) {
      const end = labels[own].length - 1;
      if (to === null ? !end : to < 0 || to > end || to === from) return;
      const place = to ?? Math.min(from, end - 1);
      mark(own === "rows" ? [place, null] : [null, place]);
      trigger("select", { axis: own, index: from, to });
    }

    back.onclick = () => move(axis(), index(), index() - 1);
    on.onclick = () => move(axis(), index(), index() + 1);
    away.onclick = () => move(axis(), index(), null);

    table.onclick = (event) => {
      const clicked = event.target.closest("button");
      if (!clicked) return;
      mark(clicked.place);
      choose(clicked.place);
    };

    table.onkeydown = (event) => {
      const focused = document.activeElement;
      if (!table.contains(focused) || event.altKey || event.metaKey) return;
      const [row, col] = focused.place.map((i) => (i ?? -1) + 1);
      const own = !row ? "cols" : !col ? "rows" : null;
      const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      const step = steps[event.key];
      const from = own === "rows" ? row - 1 : col - 1;
      if (event.key === "Delete" && own) {
        move(own, from, null);
      } else if (step && event.shiftKey && own) {
        move(own, from, from + step[own === "rows" ? 0 : 1]);
      } else {
        const [end, all] = [table.rows[row].cells.length - 1, lines()];
        const ends = { Home: [row, col ? 1 : 0], End: [row, end] };
        const [r, c] = step ? [row + step[0], col + step[1]] : ends[event.key] || [row, col];
        const next = all[r]?.[c];
        if (!(next instanceof HTMLButtonElement) || next === focused) return;
        focused.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
      event.preventDefault();
    };

    // Dragging a picture along its edge
    let dragged = null;
    const over = (event) => {
      const cell = event.target.closest("th")?.querySelector("button");
      return dragged && cell && cell.axis === dragged.axis ? cell : null;
    };
    table.ondragstart = (event) => {
      dragged = event.target.closest("th")?.querySelector("button") || null;
      if (!dragged) event.preventDefault();
    };
    table.ondragover = (event) => over(event) && event.preventDefault();
    table.ondragend = () => (dragged = null);
    table.ondrop = (event) => {
      const target = over(event);
      if (!target) return;
      event.preventDefault();
      move(dragged.axis, dragged.index, target.index);
    };

    function newCell(kind, place) {
      const cell = document.createElement(kind);
      const made = document.createElement("button");
      made.type = "button";
      made.place = place;
      made.tabIndex = -1;
      made.append(document.createElement("img"));
      made.firstChild.loading = "lazy";
      if (kind === "th") {
        made.axis = place[0] === null ? "cols" : "rows";
        made.index = place[0] ?? place[1];
        made.draggable = true;
        made.append(document.createElement("span"));
        cell.scope = made.axis === "cols" ? "col" : "row";
      }
      cell.append(made);
      return cell;
    }

    function build(rows, cols) {
      const corner = document.createElement("td");
      corner.append(document.createElement("p"));
      const line = (cells) => {
        const row = document.createElement("tr");
        row.append(...cells);
        return row;
      };
      table.replaceChildren(
        line([corner, ...cols.map((_, j) => newCell("th", [null, j]))]),
        ...rows.map((_, i) =>
          line([newCell("th", [i, null]), ...cols.map((_, j) => newCell("td", [i, j]))]),
        ),
      );
      frame.style.setProperty("--columns", cols.length + 1);
    }

    watched(props, watch, (value) => {
      if (!value.rows) return;
      const within = table.contains(document.activeElement);
      const [rows, cols] = [value.rows, value.cols];
      if (labels.rows.length !== rows.length || labels.cols.length !== cols.length) {
        build(rows, cols);
      }
      labels = { rows: rows.map((row) => row.label), cols: cols.map((col) => col.label) };
      table.classList.toggle("crisp", value.crisp !== false);
      table.rows[0].cells[0].firstChild.textContent = `${value.layers} of the columns, ${value.sides}`;
      const show = (place, cell, label) => {
        const shown = button(place);
        put(shown.firstChild, { ...cell, alt: "" }); // the button has the words
        shown.ariaLabel = label;
        shown.title = label;
        if (shown.lastChild !== shown.firstChild) shown.lastChild.textContent = cell.label;
      };
      cols.forEach((col, j) => show([null, j], col, `${col.label}, column ${j + 1}`));
      rows.forEach((row, i) => {
        show([i, null], row, `${row.label}, row ${i + 1}`);
        value.cells[i].forEach((cell, j) =>
          show([i, j], cell, `${row.label}, ${value.layers} of ${cols[j].label}`),
        );
      });
      status.textContent = value.status || "";
      mark(at);
      if (within && !table.contains(document.activeElement)) button(at)?.focus();
    });
  }

  Object.assign(window.stylegan, { choice, layers, crossTable });
})();
