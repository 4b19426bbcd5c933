// The Interpolation tab: keyframes that can be moved, the timeline, the making of a clip.
// What a visitor does here goes into `props.value` first, which is what Python is then sent.
(() => {
  const { watched, put } = stylegan;
  const PLAY_MS = 80; // between two frames of the preview: others want the model, too
  const RANDOM_SEEDS = 1000000; // that can be read out to somebody

  let goTo = () => {}; // moves the timeline to a frame
  let showFilm = () => {}; // fills the timeline with pictures

  // A sentence
  function words(element, props, watch) {
    const line = element.querySelector("p");
    watched(props, watch, (value) => (line.textContent = typeof value === "string" ? value : ""));
  }

  function clock(seconds) {
    const rest = (seconds % 60).toFixed(2).padStart(5, "0");
    return `${Math.floor(seconds / 60)}:${rest}`;
  }

  // A length in the other unit, beside which it is typed
  function counted(unit, per, fps) {
    if (per === null || !(fps > 0)) return per;
    return unit === "seconds" ? Number((per / fps).toFixed(3)) : Math.max(1, Math.round(per * fps));
  }

  // Frames to move through: {total, fps, at, marks, closed}
  function timeline(element, props, trigger, watch) {
    const range = element.querySelector("input");
    const film = element.querySelector(".sg-film");
    const marks = element.querySelector(".sg-marks");
    const button = element.querySelector("button");
    const said = element.querySelector("output");
    let held = false; // the visitor's hand is on it
    let playing = 0;

    function say() {
      const { total = 1, fps = 1 } = props.value || {};
      const at = Number(range.value);
      const text = `${clock(at / fps)} of ${clock(total / fps)}`;
      said.textContent = `${text} · frame ${at + 1} of ${total}`;
      range.setAttribute("aria-valuetext", text);
    }

    function set(frame) {
      range.value = frame;
      say();
      if (props.value.at === Number(range.value)) return;
      props.value = { ...props.value, at: Number(range.value) };
      trigger("input");
    }

    function pause() {
      clearInterval(playing);
      playing = 0;
      button.textContent = "Play";
    }

    function play() {
      const { total, fps, closed } = props.value;
      const from = Number(range.value) >= total - 1 ? 0 : Number(range.value);
      const start = performance.now();
      button.textContent = "Pause";
      playing = setInterval(() => {
        if (!element.isConnected || !element.checkVisibility()) return pause();
        const frame = from + Math.floor(((performance.now() - start) / 1000) * fps);
        set(closed ? frame % total : Math.min(frame, total - 1));
        if (!closed && frame >= total - 1) pause();
      }, PLAY_MS);
    }

    range.oninput = () => {
      pause();
      set(Number(range.value));
    };
    range.onpointerdown = () => (held = true);
    range.onpointerup = range.onpointercancel = () => (held = false);
    button.onclick = () => (playing ? pause() : play());
    goTo = (frame) => {
      pause();
      set(frame);
    };
    showFilm = (value) => {
      const cells = value.cells || [];
      while (film.children.length > cells.length) film.lastChild.remove();
      while (film.children.length < cells.length) film.append(document.createElement("img"));
      cells.forEach((cell, i) => {
        put(film.children[i], cell);
        film.children[i].draggable = false;
        film.children[i].classList.toggle("crisp", value.crisp !== false);
      });
    };

    watched(props, watch, (value) => {
      const last = Math.max((value.total || 1) - 1, 0);
      range.max = last;
      range.disabled = button.disabled = !last;
      if (!held && !playing) range.value = value.at || 0;
      marks.replaceChildren(
        ...(value.marks || []).map((at) => {
          const mark = document.createElement("i");
          mark.style.left = `${Math.min(1, at / (last || 1)) * 100}%`;
          return mark;
        })
      );
      say();
    });
  }

  // The pictures of the timeline, as `cells` shows them
  function film(element, props, watch) {
    watched(props, watch, (value) => showFilm(value));
  }

  // Keyframes in order: {cells: [{label, at, file, alt}], each, most, serial, status, crisp}. A new
  // order counts `serial` up; answers to an older one are not shown, and it is sent again.
  function keyframes(element, props, trigger, watch) {
    const list = element.querySelector("ol");
    const status = element.querySelector(".sg-status");
    const [earlier, later, twice, remove, more] = element.querySelectorAll(".sg-tools button");
    let value = {};
    let current = 0;
    let serial = 0;
    let dragged = -1;

    const cells = () => value.cells || [];
    const walks = () => Math.max(1, Math.round(cells().length / (value.each || 1)));
    const buttons = () => [...list.querySelectorAll("button")];

    function arrange(order, chosen, said) {
      serial += 1;
      value = { ...value, cells: order, each: order.length / walks(), serial, status: said };
      current = chosen;
      props.value = value;
      show();
      trigger("input");
    }

    function move(from, to) {
      if (from < 0 || to < 0 || to >= cells().length || from === to) return;
      const order = [...cells()];
      order.splice(to, 0, ...order.splice(from, 1));
      const said = `${order[to].label} is now number ${to + 1} of ${order.length}`;
      arrange(order, to, said);
    }

    // All walks of a grid have as many keyframes: each changes at the same place.
    function eachWalk(change, chosen, said) {
      const each = value.each || cells().length;
      const order = [];
      for (let i = 0; i < cells().length; i += each) {
        order.push(...change(cells().slice(i, i + each)));
      }
      arrange(order, Math.min(chosen, order.length - 1), said);
    }

    function double() {
      const at = current % value.each;
      eachWalk((walk) => walk.toSpliced(at, 0, walk[at]), current + 1, "One more of the same");
    }

    function drop() {
      if (value.each < 2) return;
      const at = current % value.each;
      eachWalk((walk) => walk.toSpliced(at, 1), Math.max(0, current - 1), "Removed");
    }

    function add() {
      const fresh = () => ({ label: String(Math.floor(Math.random() * RANDOM_SEEDS)) });
      eachWalk((walk) => [...walk, fresh()], cells().length + walks() - 1, "Added at the end");
    }

    function newItem() {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.append(document.createElement("img"), document.createElement("span"));
      item.append(button);
      item.draggable = true;
      const index = () => [...list.children].indexOf(item);
      button.onclick = () => {
        current = index();
        mark();
        goTo(cells()[current].at || 0);
      };
      item.ondragstart = (event) => {
        dragged = index();
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", cells()[dragged].label);
      };
      item.ondragover = (event) => {
        if (dragged < 0) return;
        event.preventDefault();
        item.dataset.over = index() < dragged ? "before" : "after";
      };
      item.ondragleave = () => delete item.dataset.over;
      item.ondragend = () => (dragged = -1);
      item.ondrop = (event) => {
        if (dragged < 0) return;
        event.preventDefault();
        delete item.dataset.over;
        move(dragged, index());
        dragged = -1;
      };
      list.append(item);
    }

    function mark() {
      const last = cells().length - 1;
      current = Math.max(0, Math.min(current, last));
      buttons().forEach((button, i) => {
        button.setAttribute("aria-pressed", String(i === current));
        button.tabIndex = i === current ? 0 : -1;
      });
      earlier.disabled = current < 1;
      later.disabled = current >= last;
      remove.disabled = !(value.each > 1);
      twice.disabled = more.disabled = last < 0 || cells().length + walks() > (value.most || 0);
    }

    function show() {
      const wanted = cells();
      while (list.children.length > wanted.length) list.lastChild.remove();
      while (list.children.length < wanted.length) newItem();
      wanted.forEach((cell, i) => {
        const [image, label] = list.children[i].firstChild.children;
        put(image, cell);
        image.draggable = false;
        image.classList.toggle("crisp", value.crisp !== false);
        label.textContent = cell.label;
        const first = walks() > 1 && i % value.each === 0;
        list.children[i].classList.toggle("first", first);
        if (first) list.children[i].dataset.walk = `walk ${i / value.each + 1}`;
      });
      list.style.setProperty("--each", value.each || 1);
      list.classList.toggle("walks", walks() > 1);
      status.textContent = value.status || "";
      mark();
    }

    earlier.onclick = () => move(current, current - 1);
    later.onclick = () => move(current, current + 1);
    twice.onclick = double;
    remove.onclick = drop;
    more.onclick = add;
    list.onkeydown = (event) => {
      const all = buttons();
      const i = all.indexOf(document.activeElement);
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (i < 0 || (step === undefined && event.key !== "Delete")) return;
      event.preventDefault();
      current = i;
      if (event.key === "Delete") drop();
      else if (event.shiftKey) move(i, i + step);
      else current = i + step;
      mark();
      buttons()[current].focus();
    };

    watched(props, watch, (sent) => {
      if (sent.serial && sent.serial < serial) {
        props.value = value;
        trigger("input");
        return;
      }
      serial = Math.max(serial, sent.serial || 0);
      value = sent;
      show();
    });
  }

  // A clip: {state, done, total, words, file, name, video, alt}
  function maker(element, props, trigger, watch) {
    const block = element.closest(".block");
    const [make, cancel] = element.querySelectorAll("button");
    const bar = element.querySelector("progress");
    const said = element.querySelector(".sg-status");
    const figure = element.querySelector("figure");
    const [video, image] = figure.querySelectorAll("video, img");
    const caption = figure.querySelector("figcaption");
    const anchor = figure.querySelector("a");
    let busy = false;
    let cancelled = false;

    function set(value) {
      props.value = value;
      show(value);
    }

    const off = (part, on) => part.classList.toggle("sg-off", on);

    function show(value) {
      busy = value.state === "waiting" || value.state === "making";
      make.disabled = busy;
      off(cancel, !busy);
      off(bar, !busy);
      if (value.done) bar.value = value.done / value.total;
      else bar.removeAttribute("value");
      said.textContent = value.state === "done" ? "" : value.words || "";
      const url = value.file ? value.file.url : "";
      off(figure, !url);
      off(video, !value.video);
      off(image, !!value.video);
      if (!url || !value.video) video.removeAttribute("src");
      else if (video.getAttribute("src") !== url) {
        video.src = url;
        if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
      }
      put(image, !value.video && value.file ? value : null);
      if (!url) return;
      video.setAttribute("aria-label", value.alt);
      caption.textContent = value.words;
      anchor.href = url;
      anchor.download = value.name;
    }

    make.onclick = () => {
      cancelled = false;
      set({ state: "waiting", words: "Waiting for its turn" });
      trigger("submit");
    };
    cancel.onclick = () => {
      trigger("stop");
      cancelled = true;
      set({ state: "idle", words: "Cancelled; nothing was kept." });
      make.focus();
    };
    // gradio writes a request's place in its queue beside the part that waits
    new MutationObserver(() => {
      const [, place, of] = /queue: (\d+)\/(\d+)/.exec(block.textContent) || [];
      if (!place || props.value.state !== "waiting") return;
      const text = `Waiting: number ${place} of ${of} in the queue`;
      if (said.textContent !== text) said.textContent = text;
    }).observe(block, { subtree: true, childList: true, characterData: true });

    watched(props, watch, (value) => {
      if (value.state === "idle" && busy) return; // another walk was opened; this one goes on
      if (value.state !== "idle" && cancelled) return; // it was on its way
      show(value);
    });
  }

  Object.assign(stylegan, { words, counted, timeline, film, keyframes, maker });
})();
