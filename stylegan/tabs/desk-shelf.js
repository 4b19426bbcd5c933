// The shelf: pictures that a visitor keeps, in this browser's own storage and nowhere else. An item
// is {query, label, thumb}: a recipe, its words, a small picture as text. Two windows of one
// browser show the same.
stylegan.shelf = (() => {
  const KEY = "stylegan-shelf";
  const WRITE_MS = 200; // small pictures that arrive together are written together
  let most = Infinity;
  let items = [];
  let lasting = true; // this browser stores something
  let listen = () => {};
  let thumbs = new Map(); // that are not written yet
  let timer = 0;

  // Items out of what was stored, which can be anything
  function clean(found) {
    const seen = new Set();
    return (Array.isArray(found) ? found : [])
      .filter((item) => item && typeof item.query === "string" && !seen.has(item.query) && seen.add(item.query))
      .map(({ query, label, thumb }) => ({
        query,
        label: typeof label === "string" ? label : "",
        thumb: typeof thumb === "string" && thumb.startsWith("data:image/") ? thumb : "",
      }))
      .slice(0, most);
  }

  function read() {
    try {
      items = clean(JSON.parse(localStorage.getItem(KEY)));
    } catch (error) {
      if (error instanceof SyntaxError) items = [];
      else lasting = false;
    }
    return items;
  }

  // Put other items in place; why not, in words
  function change(edit) {
    if (lasting) read();
    const wanted = edit([...items]);
    if (wanted.length > most) return `The shelf holds ${most} pictures: remove some first.`;
    let trouble = "";
    try {
      localStorage.setItem(KEY, JSON.stringify(wanted));
    } catch (error) {
      if (error.name === "QuotaExceededError") {
        return "This browser has no room for more pictures: remove some first.";
      }
      if (lasting) trouble = "This browser stores nothing: the shelf lasts until the page closes.";
      lasting = false;
    }
    items = wanted;
    listen();
    return trouble;
  }

  const has = (query) => items.some((item) => item.query === query);
  const but = (list, queries) => list.filter((item) => !queries.includes(item.query));

  function add(wanted) {
    const fresh = clean(wanted);
    return change((list) => [...list, ...but(fresh, list.map((item) => item.query))]);
  }

  // What is taken away, with its place, to be put back
  function remove(queries) {
    const gone = [];
    change((list) => {
      list.forEach((item, i) => queries.includes(item.query) && gone.push({ item, i }));
      return but(list, queries);
    });
    return gone;
  }

  function putBack(gone) {
    return change((list) => {
      for (const { item, i } of gone) {
        if (!list.some((other) => other.query === item.query)) list.splice(i, 0, item);
      }
      return list;
    });
  }

  // Before another picture, or to the end
  function move(queries, before) {
    return change((list) => {
      const rest = but(list, queries);
      const to = rest.findIndex((item) => item.query === before);
      rest.splice(to < 0 ? rest.length : to, 0, ...list.filter((item) => queries.includes(item.query)));
      return rest;
    });
  }

  // So many places on, together
  function step(queries, by) {
    return change((list) => {
      const first = list.findIndex((item) => queries.includes(item.query));
      const rest = but(list, queries);
      const to = Math.min(Math.max(first + by, 0), rest.length);
      rest.splice(to, 0, ...list.filter((item) => queries.includes(item.query)));
      return rest;
    });
  }

  function setThumb(query, thumb) {
    thumbs.set(query, thumb);
    timer = timer || setTimeout(() => {
      const arrived = thumbs;
      timer = 0;
      thumbs = new Map();
      change((list) =>
        list.map((item) => (arrived.has(item.query) ? { ...item, thumb: arrived.get(item.query) } : item))
      );
    }, WRITE_MS);
  }

  function start(limit, onchange) {
    most = limit;
    listen = onchange;
    read();
    addEventListener("storage", (event) => {
      if (event.key !== KEY && event.key !== null) return;
      read();
      listen();
    });
  }

  return { start, clean, items: () => items, has, add, remove, putBack, move, step, setThumb };
})();
