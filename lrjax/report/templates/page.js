(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  document.documentElement.classList.add("js");

  const valueOf = (cell, numeric) => {
    const text = (cell.dataset.v ?? cell.textContent).trim();
    if (!numeric) return text === "" || text === "\u2013" ? null : text;
    const value = Number.parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
    return Number.isNaN(value) ? null : value;
  };

  const sortRows = (table, head, descending) => {
    const index = head.cellIndex;
    const numeric = head.classList.contains("n");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [valueOf(row.cells[index], numeric), row]);
    const sign = descending ? -1 : 1;
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (numeric ? a - b : collator.compare(a, b));
    });
    body.append(...keyed.map(([, row]) => row));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    if ("rank" in head.dataset) rankRows(table, head);
  };

  const rankRows = (table, head) => {
    const rows = [...table.tBodies[0].rows];
    const values = rows.map((row) => ("unranked" in row.dataset ? null : valueOf(row.cells[head.cellIndex], true)));
    rows.forEach((row, i) => {
      const better = values.filter((value) => value !== null && value > values[i]).length;
      row.querySelector(".rank").textContent = values[i] === null ? "\u2013" : better + 1;
    });
    const by = table.querySelector(".rank-by");
    if (by) by.textContent = head.textContent;
  };

  for (const table of all("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      if ("fixed" in head.dataset) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        sortRows(table, head, now ? now === "ascending" : head.classList.contains("n"));
      });
    }
  }

  const press = (root, chosen) => {
    for (const button of all("button[data-group]", root)) {
      button.setAttribute("aria-pressed", String(chosen.has(button.dataset.group)));
    }
  };

  const showSeries = (root, visible) => {
    for (const series of all(".series", root)) series.classList.toggle("off", !visible(series.dataset));
    for (const svg of all("svg", root)) {
      const open = all(".series:not(.off) .point", svg);
      if (open.length && !open.some((point) => point.tabIndex === 0)) svg.dispatchEvent(new CustomEvent("refocus"));
    }
  };

  const onGroup = (root, chosen, update) => {
    press(root, chosen);
    for (const button of all("button[data-group]", root)) {
      button.addEventListener("click", () => {
        const name = button.dataset.group;
        if (!chosen.delete(name)) chosen.add(name);
        update();
      });
    }
  };

  const setUpBoard = (board) => {
    const table = board.querySelector("table.leaderboard");
    const search = board.querySelector("input[type=search]");
    const reset = board.querySelector(".reset");
    const chosen = new Set();
    const rows = [...table.tBodies[0].rows];
    const update = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = new Set();
      for (const row of rows) {
        const { name, group, text } = row.dataset;
        row.hidden = (chosen.size > 0 && !chosen.has(group)) || !words.every((word) => text.includes(word));
        if (!row.hidden) shown.add(name);
      }
      board.querySelector("output").textContent = `${shown.size} of ${rows.length}`;
      board.querySelector(".empty").hidden = shown.size > 0;
      reset.hidden = chosen.size === 0 && words.length === 0;
      press(board, chosen);
      showSeries(board, ({ name }) => shown.has(name));
    };
    onGroup(board, chosen, update);
    search.addEventListener("input", update);
    reset.addEventListener("click", () => {
      chosen.clear();
      search.value = "";
      update();
      search.focus();
    });
    for (const radio of all("input[type=radio]", board)) {
      radio.addEventListener("change", () => {
        if (radio.value === "all") return;
        const heads = [...table.tHead.rows[0].cells];
        const sorted = heads.find((head) => head.hasAttribute("aria-sort"));
        const metric = sorted?.dataset.key?.split("-")[0];
        const target = heads.find((head) => head.dataset.key === `${metric ?? "war"}-${radio.value}`);
        if (metric) sortRows(table, target, sorted.getAttribute("aria-sort") === "descending");
        else rankRows(table, target);
      });
    }
  };

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;

  const hide = () => {
    if (!shown) return;
    const figure = shown.closest("figure");
    for (const series of all(".series", figure)) series.classList.remove("on", "dim");
    shown = null;
    tip.hidden = true;
  };

  const show = (point) => {
    if (shown === point) return;
    hide();
    shown = point;
    const figure = point.closest("figure");
    const name = point.closest(".series").dataset.name;
    for (const series of all(".series", figure)) {
      series.classList.add(series.dataset.name === name ? "on" : "dim");
    }
    tip.textContent = point.dataset.label;
    tip.hidden = false;
    placeTip();
  };

  const placeTip = () => {
    const box = shown.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 4;
    const left = Math.min(Math.max(box.x + box.width / 2 - tip.offsetWidth / 2, 4), room);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 8}px`;
  };

  const setUpPicture = (svg) => {
    const places = new Map();
    const visible = () => all(".series:not(.off) .point", svg);
    const place = (point) => {
      if (!places.has(point)) {
        const box = point.getBoundingClientRect();
        const frame = svg.getBoundingClientRect();
        places.set(point, [(box.x + box.width / 2 - frame.x) / frame.width, (box.y + box.height / 2 - frame.y) / frame.width]);
      }
      return places.get(point);
    };
    const nearest = (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.x) / frame.width;
      const y = (event.clientY - frame.y) / frame.width;
      let best = null;
      let least = 28 / frame.width;
      for (const point of visible()) {
        const [a, b] = place(point);
        const distance = Math.hypot(a - x, b - y);
        if (distance < least) [best, least] = [point, distance];
      }
      return best;
    };
    const follow = (event) => {
      const point = nearest(event);
      if (point) show(point);
      else hide();
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("mousedown", (event) => event.preventDefault());
    svg.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hide());
    const points = all(".point", svg);
    svg.setAttribute("role", "group");
    let current = points[0];
    const enter = (point) => {
      current.setAttribute("tabindex", "-1");
      current = point;
      current.setAttribute("tabindex", "0");
    };
    svg.addEventListener("refocus", () => enter(visible()[0]));
    const twins = all(".point", svg.closest("figure").querySelector("svg[role]")); // of a drawing for phones
    for (const [number, point] of points.entries()) {
      const title = point.querySelector("title"); // the browser would show it beside the tooltip
      point.dataset.label = title ? title.textContent : twins[number].dataset.label;
      point.setAttribute("aria-label", point.dataset.label);
      title?.remove();
      point.setAttribute("tabindex", point === current ? "0" : "-1");
      point.addEventListener("focus", () => {
        enter(point);
        show(point);
      });
      point.addEventListener("blur", hide);
    }
    svg.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide();
      const [along, sign] = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 1], ArrowUp: [1, -1] }[event.key] ?? [];
      if (sign === undefined) return;
      event.preventDefault();
      const series = current.closest(".series");
      const others = visible().filter((point) => point !== current);
      const siblings = others.filter((point) => point.closest(".series") === series);
      const level = others.filter((point) => Math.abs(place(point)[1 - along] - place(current)[1 - along]) < 0.002);
      const pool = along === 0 && siblings.length ? siblings : along === 1 && level.length ? level : others;
      const ahead = pool.filter((point) => sign * (place(point)[along] - place(current)[along]) > 0);
      const step = (point) => Math.abs(place(point)[along] - place(current)[along]);
      if (ahead.length) {
        enter(ahead.reduce((a, b) => (step(b) < step(a) ? b : a)));
        current.focus();
      }
    });
  };

  document.addEventListener("pointerdown", (event) => event.target.closest("figure svg") || hide());
  const onScroll = () => (shown && shown === document.activeElement ? placeTip() : hide());
  addEventListener("scroll", onScroll, { passive: true, capture: true });

  for (const board of all("[data-board]")) setUpBoard(board);
  for (const figure of all("figure.chart")) {
    all("svg[role]", figure).forEach(setUpPicture);
    if (figure.closest("[data-board]")) continue;
    const chosen = new Set();
    onGroup(figure, chosen, () => {
      press(figure, chosen);
      showSeries(figure, ({ group }) => chosen.size === 0 || chosen.has(group));
    });
  }
})();
