// The page on which a run is watched: status, alerts, pictures over time, curves, settings.
(() => {
  const { watched } = stylegan;
  const FRAME_MS = 300; // of a time-lapse
  const HEIGHT = 170; // of a chart, in px
  const EDGE = { left: 46, right: 10, top: 8, bottom: 22 };
  const LOG_SPAN = 20; // largest / smallest value from which an axis is logarithmic
  const STATES = {
    training: ["Training", "a process trains this run now"],
    resting: ["Not training", "all is saved; to go on from here, start it with the same line"],
    done: ["Done", "its budget is used up"],
    empty: ["Not begun", "there is nothing to see yet; this page shows it as soon as there is"],
  };

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  }

  function span(seconds) {
    const [s, m, h] = [seconds, seconds / 60, seconds / 3600];
    if (s < 90) return `${Math.round(s)} s`;
    if (m < 90) return `${Math.round(m)} min`;
    return h < 48 ? `${h.toFixed(1)} h` : `${(h / 24).toFixed(1)} days`;
  }

  // Where it stands: {name, state, asked, numbers: [[name, value]], at, tick_sec, left_sec, late_sec, now}
  function status(element, props, watch) {
    const heading = element.querySelector("h1");
    const line = element.querySelector(".sg-state");
    const since = element.querySelector(".sg-since");
    const list = element.querySelector("dl");
    let ahead = 0; // ms, of this clock before that of the training

    function count() {
      const value = props.value || {};
      if (!value.at) return (since.textContent = "");
      const ago = Math.max(0, (Date.now() - ahead) / 1000 - value.at);
      const parts = [`last tick ${span(ago)} ago`];
      const trained = value.state === "training";
      const late = trained && value.late_sec && ago > value.late_sec;
      if (late) parts.push(`usually one takes ${span(value.tick_sec)}`);
      if (trained && value.left_sec !== null) {
        parts.push(`about ${span(Math.max(0, value.left_sec - ago))} left`);
      }
      since.textContent = parts.join(" · ");
      since.classList.toggle("late", Boolean(late));
    }

    watched(props, watch, (value) => {
      if (!value.state) return;
      ahead = Date.now() - value.now * 1000;
      const kimg = (value.numbers || []).find(([name]) => name === "kimg");
      heading.textContent = value.name;
      document.title = kimg ? `${value.name}, ${kimg[1]} kimg` : value.name;
      const [name, meaning] = STATES[value.state];
      const words = { stop: "to stop after this tick", snapshot: "for a snapshot" };
      const asked = value.state === "training" ? value.asked.map((x) => words[x]) : [];
      line.dataset.state = value.state;
      line.querySelector("b").textContent = name;
      line.querySelector("span").textContent = asked.length ? `asked ${asked.join(" and ")}` : meaning;
      list.replaceChildren(
        ...(value.numbers || []).map(([name, number]) => {
          const item = make("div");
          item.append(make("dt", name), make("dd", number));
          return item;
        })
      );
      count();
    });
    const timer = setInterval(() => (element.isConnected ? count() : clearInterval(timer)), 1000);
  }

  // What the run has told: [{kind, from, until, seen, means, advice}]
  function alerts(element, props, watch) {
    const box = element.querySelector(".sg-alerts");

    function item(alert) {
      const at = (kimg) => `${kimg.toLocaleString("en", { maximumFractionDigits: 1 })} kimg`;
      const when = alert.until === null ? `since ${at(alert.from)}` : `${at(alert.from)} to ${at(alert.until)}`;
      const one = make("div", undefined, alert.until === null ? "sg-alert" : "sg-alert over");
      const head = make("p");
      head.append(make("b", alert.kind), make("span", ` ${when}: ${alert.seen}.`));
      one.append(head);
      for (const [name, text] of [["Usually", alert.means], ["Try", alert.advice]]) {
        const line = make("p");
        line.append(make("i", name), make("span", ` ${text}.`));
        one.append(line);
      }
      return one;
    }

    watched(props, watch, (value) => {
      const all = Array.isArray(value) ? value : [];
      const over = all.filter((alert) => alert.until !== null);
      const open = box.querySelector("details")?.open;
      box.replaceChildren(...all.filter((alert) => alert.until === null).map(item));
      if (!over.length) return;
      const past = make("details");
      past.open = Boolean(open);
      past.append(make("summary", `${over.length} earlier ${over.length > 1 ? "alerts" : "alert"}`));
      past.append(...over.map(item));
      box.append(past);
    });
  }

  // Grids over time: {frames: [{label, file, stamp}], reals: {file, stamp}, side}
  function lapse(element, props, watch) {
    const figure = element.querySelector("figure");
    const image = element.querySelector("img");
    const caption = element.querySelector("figcaption");
    const range = element.querySelector("input");
    const [button, reals] = element.querySelectorAll("button");
    const said = element.querySelector("output");
    let playing = 0;
    let compared = false; // the real pictures are shown
    let wanted = "";

    const frames = () => (props.value && props.value.frames) || [];
    const address = (cell) => (cell ? `${cell.file.url}?v=${cell.stamp}` : "");

    // The old picture stays until the new one can be seen
    function show() {
      const frame = frames()[Number(range.value)];
      const url = compared ? address(props.value.reals) : address(frame);
      const label = compared ? "real pictures" : frame ? frame.label : "";
      said.textContent = frame ? `${frame.label} · ${Number(range.value) + 1} of ${frames().length}` : "";
      range.setAttribute("aria-valuetext", frame ? frame.label : "no picture yet");
      if (url === wanted) return;
      wanted = url;
      const next = new Image();
      next.src = url;
      const put = () => {
        if (url !== wanted) return;
        image.src = url;
        image.alt = compared ? "Real pictures of the data" : `Pictures of fixed seeds at ${label}`;
        caption.textContent = label;
      };
      next.decode().then(put, put);
    }

    function go(index) {
      range.value = index;
      show();
      const after = frames()[Number(range.value) + 1];
      if (after) new Image().src = address(after); // for the next step
    }

    function pause() {
      clearInterval(playing);
      playing = 0;
      button.textContent = "Play";
    }

    function compare(on) {
      compared = on;
      reals.setAttribute("aria-pressed", String(on));
      show();
    }

    button.onclick = () => {
      if (playing) return pause();
      compare(false);
      if (Number(range.value) >= frames().length - 1) go(0);
      button.textContent = "Pause";
      playing = setInterval(() => {
        if (!element.isConnected || Number(range.value) >= frames().length - 1) return pause();
        if (image.getAttribute("src") === wanted) go(Number(range.value) + 1); // else it is loading
      }, FRAME_MS);
    };
    range.oninput = () => {
      pause();
      compare(false);
      go(Number(range.value));
    };
    reals.onclick = () => {
      pause();
      compare(!compared);
    };

    let name = null;
    watched(props, watch, (value) => {
      const last = Math.max(frames().length - 1, 0);
      const newest = Number(range.value) >= Number(range.max) || name !== value.name;
      name = value.name;
      if (!value.reals) compared = false;
      range.max = last;
      range.disabled = button.disabled = !last;
      reals.hidden = !value.reals;
      figure.hidden = !frames().length && !value.reals;
      image.classList.toggle("crisp", (value.side || 0) < 64);
      if (newest && !playing) range.value = last;
      show();
    });
  }

  // Curves

  const NS = "http://www.w3.org/2000/svg";

  function draw(parent, tag, attributes, text) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }

  function short(x) {
    if (x === null || x === undefined) return "-";
    const size = Math.abs(x);
    if (size >= 10000) return x.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
    return String(Number(size && size < 0.001 ? x.toExponential(1) : x.toPrecision(3)));
  }

  // Round numbers within a range, about `count` of them
  function rounds(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.75);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high + step * 1e-6; i++) found.push(i * step);
    return found;
  }

  function decades(low, high) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      for (const x of [1, 2, 5]) if (x * 10 ** e >= low && x * 10 ** e <= high) found.push(x * 10 ** e);
    }
    return found.length > 5 ? found.filter((x) => String(x.toExponential()).startsWith("1e")) : found;
  }

  // From values to pixels
  function scales(panel, axis, width, range) {
    const values = panel.lines.flatMap((line) => line.mean).filter((y) => y !== null);
    if (panel.rule) values.push(panel.rule.at);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    const log = panel.log && low > 0 && high / low > LOG_SPAN;
    if (!log) {
      const room = (high - low || Math.abs(high) || 1) * 0.06;
      const floor = low >= 0 && low < (high - low) * 0.5 ? 0 : low - room;
      [low, high] = [floor, high + room];
    }
    const turn = log ? Math.log : (y) => y;
    const inner = HEIGHT - EDGE.top - EDGE.bottom;
    return {
      low, high, log,
      x: (x) => EDGE.left + ((x - range[0]) / (range[1] - range[0] || 1)) * (width - EDGE.left - EDGE.right),
      y: (y) => EDGE.top + (1 - (turn(y) - turn(low)) / (turn(high) - turn(low) || 1)) * inner,
    };
  }

  // The parts of a line between what is missing, as lists of [x, y]
  function pieces(line, axis, to, values) {
    const found = [[]];
    values.forEach((y, i) => {
      if (y === null || line[axis][i] === null || (to.log && y <= 0)) found.push([]);
      else found[found.length - 1].push([to.x(line[axis][i]), to.y(y)]);
    });
    return found.filter((piece) => piece.length);
  }

  const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");

  function chart(figure, panel, axis, range) {
    const svg = figure.querySelector("svg");
    const width = figure.clientWidth;
    if (!width) return;
    const to = scales(panel, axis, width, range);
    const root = document.createElementNS(NS, "g");
    const ys = to.log ? decades(to.low, to.high) : rounds(to.low, to.high, 4);
    for (const y of ys) {
      draw(root, "line", { x1: EDGE.left, x2: width - EDGE.right, y1: to.y(y), y2: to.y(y), class: "rule" });
      draw(root, "text", { x: EDGE.left - 6, y: to.y(y) + 4, "text-anchor": "end" }, short(y));
    }
    for (const x of rounds(...range, Math.min(6, width / 80))) {
      draw(root, "text", { x: to.x(x), y: HEIGHT - 6, "text-anchor": "middle" }, short(x));
    }
    if (panel.rule) {
      const y = to.y(panel.rule.at);
      draw(root, "line", { x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y, class: "aim" });
      draw(root, "text", { x: width - EDGE.right, y: y - 4, "text-anchor": "end" }, panel.rule.label);
    }
    for (const line of panel.lines) {
      if (line.std && !to.log) {
        const side = (sign) => line.mean.map((y, i) => (y === null || line.std[i] === null ? null : y + sign * line.std[i]));
        const [above, below] = [pieces(line, axis, to, side(1)), pieces(line, axis, to, side(-1))];
        above.forEach((piece, i) => {
          if (piece.length < 2) return;
          const clipped = [...piece, ...[...below[i]].reverse()].map(([x, y]) => [x, Math.min(Math.max(y, EDGE.top), HEIGHT - EDGE.bottom)]);
          draw(root, "path", { d: path(clipped) + "Z", fill: line.colour, opacity: 0.12 });
        });
      }
      for (const piece of pieces(line, axis, to, line.mean)) {
        if (piece.length > 1) draw(root, "path", { d: path(piece), stroke: line.colour, class: "curve" });
        if (piece.length > 1 && !(panel.dots && piece.length < 60)) continue;
        for (const [x, y] of piece) draw(root, "circle", { cx: x, cy: y, r: 2.5, fill: line.colour });
      }
    }
    const cursor = draw(root, "line", { y1: EDGE.top, y2: HEIGHT - EDGE.bottom, class: "cursor", visibility: "hidden" });
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren(root);
    pointed(figure, panel, axis, to, cursor);
  }

  // What the legend says: the newest values, or those under the pointer
  function pointed(figure, panel, axis, to, cursor) {
    const svg = figure.querySelector("svg");
    const outputs = figure.querySelectorAll("output");
    const moment = figure.querySelector("small");
    const all = panel.lines.map((line) => line[axis].map((x, i) => [x, line.mean[i]]).filter(([x, y]) => x !== null && y !== null));

    function rest() {
      cursor.setAttribute("visibility", "hidden");
      moment.textContent = "";
      outputs.forEach((output, i) => (output.textContent = short(all[i].at(-1)?.[1])));
    }

    svg.onpointermove = svg.onpointerdown = (event) => {
      const at = event.clientX - svg.getBoundingClientRect().left;
      const near = all.map((points) =>
        points.reduce((best, point) => (!best || Math.abs(to.x(point[0]) - at) < Math.abs(to.x(best[0]) - at) ? point : best), null)
      );
      const point = near.find(Boolean);
      if (!point) return;
      cursor.setAttribute("x1", to.x(point[0]));
      cursor.setAttribute("x2", to.x(point[0]));
      cursor.setAttribute("visibility", "visible");
      moment.textContent = `at ${short(point[0])} ${axis}`;
      outputs.forEach((output, i) => (output.textContent = short(near[i]?.[1])));
    };
    svg.onpointerleave = svg.onpointercancel = rest;
    rest();
  }

  // Panels side by side: {panels: [{title, dots, log, rule, lines: [{label, colour, kimg, hours, mean, std}]}]}
  function charts(element, props, watch) {
    const box = element.querySelector(".sg-charts");
    const axes = [...element.querySelectorAll(".sg-axis button")];
    let axis = "kimg";

    const panels = () => (props.value && props.value.panels) || [];

    function frame(panel) {
      const figure = make("figure");
      const head = make("figcaption");
      const [title, legend] = [make("div"), make("div")];
      title.append(make("b", panel.title), make("small"));
      head.append(title, legend);
      for (const line of panel.lines) {
        const label = make("span");
        const dash = make("i");
        dash.style.background = line.colour;
        label.append(dash, make("span", line.label === panel.title ? "" : line.label), make("output"));
        legend.append(label);
      }
      const svg = document.createElementNS(NS, "svg");
      svg.setAttribute("height", HEIGHT);
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${panel.title} over ${axis}`);
      figure.append(head, svg);
      figure.dataset.key = key(panel);
      return figure;
    }

    const key = (panel) => JSON.stringify([panel.title, panel.lines.map((line) => line.label)]);

    function show() {
      const old = new Map([...box.children].map((figure) => [figure.dataset.key, figure]));
      const figures = panels().map((panel) => old.get(key(panel)) || frame(panel));
      if (figures.some((figure, i) => figure !== box.children[i]) || figures.length !== box.children.length) {
        box.replaceChildren(...figures);
      }
      element.classList.toggle("none", !panels().length);
      const xs = panels().flatMap((panel) => panel.lines.flatMap((line) => line[axis])).filter((x) => x !== null);
      let [low, high] = xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
      if (low < (high - low) / 2) low = 0;
      if (low === high) [low, high] = [low - 0.5, high + 0.5];
      panels().forEach((panel, i) => chart(figures[i], panel, axis, [low, high]));
    }

    axes.forEach((button) => {
      button.onclick = () => {
        axis = button.textContent;
        axes.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        show();
      };
    });
    new ResizeObserver(show).observe(box);
    watched(props, watch, show);
  }

  // All settings: {rows: [{name, value, usual}], preset, data}
  function settings(element, props, watch) {
    const box = element.querySelector(".sg-settings");
    watched(props, watch, (value) => {
      const rows = value.rows || [];
      const own = rows.filter((row) => row.usual);
      const table = (shown, usual) => {
        const found = make("table");
        for (const row of shown) {
          const line = found.insertRow();
          line.append(make("th", row.name), make("td", row.value));
          if (usual) line.append(make("td", `${value.preset} has ${row.usual}`));
        }
        return found;
      };
      box.replaceChildren();
      if (value.data) box.append(make("p", value.data));
      if (own.length) box.append(make("h3", `Other than the preset ${value.preset}`), table(own, true));
      if (rows.length) box.append(make("h3", "All"), table(rows, false));
      else box.append(make("p", "There are none yet."));
    });
  }

  Object.assign(stylegan, { status, alerts, lapse, charts, settings });
})();
