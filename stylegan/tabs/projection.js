// The Projection tab: one's own picture under a frame, and the search for its latent.
(() => {
  const { watched, put, make } = stylegan;
  const SETTLE_MS = 200; // after the last movement of the frame
  const NUDGE = 0.02; // of the frame's side, by an arrow key
  const ZOOM_STEP = 1.1;
  const ZOOM_TICKS = 100; // of the slider
  const PHOTO_PX = 1024;

  const off = (part, on) => part.classList.toggle("sg-off", on);

  // Hand a file to the button that sends it: the box of id `id` holds its input. Its name becomes
  // its own, as gradio gives one place to equal files of equal names, and the server deletes it.
  function send(id, file) {
    const input = document.querySelector(`#${id} input[type=file], input[type=file]#${id}`);
    if (!input) return;
    const files = new DataTransfer();
    const name = `${Math.random().toString(36).slice(2)}-${file.name}`;
    files.items.add(new File([file], name, { type: file.type }));
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  const firstFile = (data) => [...(data?.files || [])][0];

  // A picture under a square frame: {src, size, fit, frame, background, clear, said, zoom, words}.
  // What a visitor moves goes into `props.value` first, which is what Python is then sent.
  function easel(element, props, trigger, watch, id) {
    const stage = element.querySelector(".sg-stage");
    const image = stage.querySelector("img");
    const video = stage.querySelector("video");
    const invite = stage.querySelector(".sg-invite");
    const tools = element.querySelector(".sg-frame");
    const [zoom, colour] = tools.querySelectorAll("input");
    const row = element.querySelector(".sg-bringing");
    const status = element.querySelector(".sg-status");
    const pointers = new Map(); // fingers on the stage
    let timer = 0;
    let stream = null;

    const button = (words, act) => {
      const made = make("button", {}, words);
      made.onclick = act;
      return made;
    };
    const chooser = make("input", { type: "file", class: "sg-off", "aria-label": "Choose a picture" });
    const choose = button("Choose a picture", () => chooser.click());
    const camera = button("Camera", openCamera);
    const take = button("Take it", takePhoto);
    const close = button("Close the camera", closeCamera);
    const fill = button("Fill the square", () => refit("crop"));
    const whole = button("Show it whole", () => refit("pad"));
    row.append(choose, camera, take, close, fill, whole, chooser);
    zoom.min = 0;
    zoom.max = ZOOM_TICKS;

    function bring(file) {
      closeCamera();
      say("Opening it");
      send(id, file);
    }

    function say(text) {
      status.textContent = text;
    }

    chooser.onchange = () => {
      if (chooser.files[0]) bring(chooser.files[0]);
      chooser.value = "";
    };

    // The frame: left, top, side in pixels of the picture

    const value = () => props.value || {};

    function frame() {
      const { size, fit, frame: own } = value();
      if (fit === "own" && own) return own;
      const [width, height] = size;
      const side = fit === "pad" ? Math.max(width, height) : Math.min(width, height);
      return [(width - side) / 2, (height - side) / 2, side];
    }

    function limits() {
      const { size, zoom: [least, most] } = value();
      return [Math.max(1, Math.min(...size) / most), Math.max(...size) / least];
    }

    function set(changes) {
      props.value = { ...value(), ...changes };
      show();
      clearTimeout(timer);
      timer = setTimeout(() => trigger("input"), SETTLE_MS);
    }

    function reframe(left, top, side) {
      const { size } = value();
      const middle = (start, most) => Math.min(Math.max(start + side / 2, 0), most) - side / 2;
      set({ fit: "own", frame: [middle(left, size[0]), middle(top, size[1]), side] });
    }

    function refit(fit) {
      set({ fit, frame: null });
    }

    // `x` and `y` are the place on the stage that stays, 0 to 1
    function scaled(by, x = 0.5, y = 0.5) {
      const [left, top, side] = frame();
      const [least, most] = limits();
      const next = Math.min(Math.max(side / by, least), most);
      reframe(left + (side - next) * x, top + (side - next) * y, next);
    }

    function pushed(dx, dy) {
      const [left, top, side] = frame();
      reframe(left - dx * side, top - dy * side, side);
    }

    zoom.oninput = () => {
      const [least, most] = limits();
      const [, , side] = frame();
      scaled(side / (most * (least / most) ** (zoom.value / ZOOM_TICKS)));
    };
    colour.oninput = () => set({ background: colour.value });

    stage.onkeydown = (event) => {
      if (!value().src || stream) return;
      const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const step = moves[event.key];
      if (step) pushed(step[0] * NUDGE, step[1] * NUDGE);
      else if (event.key === "+" || event.key === "=") scaled(ZOOM_STEP);
      else if (event.key === "-") scaled(1 / ZOOM_STEP);
      else return;
      event.preventDefault();
    };
    stage.addEventListener(
      "wheel",
      (event) => {
        if (!value().src || stream || !stage.matches(":focus")) return; // the page scrolls
        event.preventDefault();
        const box = stage.getBoundingClientRect();
        const [x, y] = [event.clientX - box.left, event.clientY - box.top];
        scaled(event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP, x / box.width, y / box.height);
      },
      { passive: false }
    );
    stage.onpointerdown = (event) => {
      if (!value().src || stream) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    };
    stage.onpointermove = (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const width = stage.clientWidth;
      const now = [event.clientX, event.clientY];
      if (pointers.size === 2) {
        const [other] = [...pointers].filter(([id]) => id !== event.pointerId)[0].slice(1);
        const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        scaled(apart(now) / apart(before));
      } else {
        pushed((now[0] - before[0]) / width, (now[1] - before[1]) / width);
      }
      pointers.set(event.pointerId, now);
    };
    stage.onpointerup = stage.onpointercancel = (event) => pointers.delete(event.pointerId);

    // What is dropped or pasted

    stage.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      stage.classList.add("sg-over");
    });
    stage.addEventListener("dragleave", () => stage.classList.remove("sg-over"));
    stage.addEventListener("drop", (event) => {
      stage.classList.remove("sg-over");
      const file = firstFile(event.dataTransfer);
      if (!file) return;
      event.preventDefault();
      bring(file);
    });
    addEventListener("paste", (event) => {
      const file = firstFile(event.clipboardData);
      if (!file || !element.isConnected || !element.checkVisibility()) return;
      event.preventDefault();
      bring(file);
    });

    // The camera

    async function openCamera() {
      if (!navigator.mediaDevices?.getUserMedia) {
        return say("The camera needs an address that begins with https, or this machine itself.");
      }
      try {
        const wanted = { width: { ideal: PHOTO_PX }, height: { ideal: PHOTO_PX }, facingMode: "user" };
        stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
      } catch {
        return say("There is no camera, or this page may not use it.");
      }
      video.srcObject = stream;
      await video.play();
      show();
      take.focus();
    }

    function closeCamera() {
      if (!stream) return;
      stream.getTracks().forEach((track) => track.stop());
      stream = video.srcObject = null;
      show();
    }

    function takePhoto() {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => bring(new File([blob], "camera.png")), "image/png");
    }

    function show() {
      const { src, size, background, clear, said } = value();
      const here = Boolean(src) && !stream;
      off(invite, Boolean(src) || Boolean(stream));
      off(video, !stream);
      off(tools, !here);
      for (const part of [fill, whole]) off(part, !here);
      for (const part of [take, close]) off(part, !stream);
      for (const part of [choose, camera]) off(part, Boolean(stream));
      choose.textContent = src ? "Another picture" : "Choose a picture";
      stage.classList.toggle("sg-full", here);
      stage.setAttribute("aria-label", here ? "Your picture: drag it, or use arrows, + and -" : "Your picture");
      off(image, !here);
      if (!here) return;
      if (image.getAttribute("src") !== src) image.src = src;
      image.alt = said || "";
      image.classList.toggle("crisp", Math.max(...size) < 256);
      const [left, top, side] = frame();
      const share = (part) => `${(part / side) * 100}%`;
      Object.assign(image.style, {
        left: share(-left), top: share(-top), width: share(size[0]), height: share(size[1]),
      });
      stage.style.setProperty("--behind", background || "#ffffff");
      colour.value = background || "#ffffff";
      const beyond = left < -0.5 || top < -0.5 || left + side > size[0] + 0.5 || top + side > size[1] + 0.5;
      off(colour.parentElement, !clear && !beyond);
      const [least, most] = limits();
      if (document.activeElement !== zoom) {
        zoom.value = (Math.log(side / most) / Math.log(least / most)) * ZOOM_TICKS;
      }
      const { fit } = value();
      fill.setAttribute("aria-pressed", String(fit === "crop"));
      whole.setAttribute("aria-pressed", String(fit === "pad"));
    }

    watched(props, watch, (sent) => {
      say(sent.words || "");
      show();
    });
  }

  // What is to be found: {src, alt, caption, side}
  function target(element, props, watch) {
    const image = element.querySelector("img");
    const caption = element.querySelector("figcaption");
    watched(props, watch, (value) => {
      put(image, value.src ? { file: { url: value.src }, alt: value.alt } : null);
      image.classList.toggle("crisp", !(value.side >= 512));
      caption.textContent = value.caption || "";
      element.querySelector("figure").classList.toggle("sg-none", !value.src);
    });
  }

  // The search: {state: idle, waiting, running, cancelling, done or failed; share, words, curve}
  function search(element, props, trigger, watch) {
    const block = element.closest(".block") || element;
    const [find, keep, cancel] = element.querySelectorAll(".sg-do button");
    const bar = element.querySelector("progress");
    const said = element.querySelector(".sg-status");
    const figure = element.querySelector(".sg-curve");
    const line = figure.querySelector("polyline");
    const caption = figure.querySelector("figcaption");
    let ticket = 0; // of the newest search

    function set(value) {
      props.value = value;
      show(value);
    }

    function show(value) {
      const running = value.state === "running";
      const busy = running || value.state === "waiting";
      element.querySelector(".sg-maker").dataset.state = value.state || "idle";
      find.disabled = busy || value.state === "cancelling";
      off(keep, !running);
      off(cancel, !busy);
      off(bar, !busy);
      if (running) bar.value = value.share;
      else bar.removeAttribute("value");
      said.textContent = value.words || "";
      draw(value.curve || []);
    }

    // The distance by steps, on a logarithmic scale
    function draw(curve) {
      off(figure, curve.length < 2);
      if (curve.length < 2) return;
      const logs = curve.map(([, distance]) => Math.log(Math.max(distance, 1e-9)));
      const [low, high] = [Math.min(...logs), Math.max(...logs)];
      const last = curve[curve.length - 1][0] || 1;
      const points = curve.map(([step], i) => {
        const y = 76 - ((logs[i] - low) / (high - low || 1)) * 72;
        return `${((step / last) * 320).toFixed(1)},${y.toFixed(1)}`;
      });
      line.setAttribute("points", points.join(" "));
      const [first, end] = [curve[0][1], curve[curve.length - 1][1]];
      const words = `Distance by steps: ${first.toPrecision(3)} at first, ${end.toPrecision(3)} after ${last}`;
      caption.textContent = words;
      figure.querySelector("svg").setAttribute("aria-label", words);
    }

    find.onclick = () => {
      ticket = Date.now();
      set({ state: "waiting", words: "Waiting for its turn", ticket });
      trigger("submit");
    };
    keep.onclick = () => {
      trigger("stop");
      set({ ...props.value, words: "Stopping" });
    };
    cancel.onclick = () => {
      set({ state: "cancelling", words: "Cancelling", ticket }); // until Python says that it is
      trigger("clear");
    };
    // gradio writes a request's place in its queue beside the part that waits
    new MutationObserver(() => {
      const [, place, of] = /queue: (\d+)\/(\d+)/.exec(block.textContent) || [];
      if (!place || props.value.state !== "waiting") return;
      const text = `Waiting: number ${place} of ${of} in the queue`;
      if (said.textContent !== text) said.textContent = text;
    }).observe(block, { subtree: true, childList: true, characterData: true });

    watched(props, watch, show);
  }

  Object.assign(stylegan, { easel, target, search });
})();
