// The player of a timeline: takes the place of the picture and the text that stand in its element.
// Plain JavaScript, no request, and nothing outside the element: when a notebook clears the output,
// the drawing stops by itself. All text of a recording is set as text, never as HTML.
(() => {
  const CSS = `/*CSS*/`;
  const ROW = 22, FREE = 9; // px of a lane; states from here on draw nothing
  const ICON = {
    first: "M3 3h2v10H3zM13 3v10L6 8z", prev: "M11 3v10L4 8z", play: "M4 2v12l10-6z",
    pause: "M4 3h3v10H4zM9 3h3v10H9z", next: "M5 3v10l7-5z", last: "M11 3h2v10h-2zM3 3v10l7-5z",
  };
  const WORDS = /(#.*)|("""[^]*?"""|'''[^]*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\b(async|await|def|for|in|while|if|elif|else|try|except|finally|with|as|return|yield|raise|not|and|or|None|True|False|import|from|class|lambda|pass|break|continue)\b/g;

  const el = (tag, attrs = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attrs)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== undefined) made.setAttribute(name, value);
    }
    made.append(...inside.filter((each) => each !== ""));
    return made;
  };
  const icon = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", ICON[name]);
    svg.append(path);
    return svg;
  };
  const last = (size, isBefore) => { // the last index below size for which isBefore holds, or -1
    let low = -1, high = size;
    while (high - low > 1) { const mid = (low + high) >> 1; if (isBefore(mid)) low = mid; else high = mid; }
    return low;
  };
  const join = (names) => names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

  class Lane {
    constructor([name, isThread, origin, end, flat], run) {
      Object.assign(this, { name, isThread, origin, end, flat, run, size: flat.length / 5 });
    }
    start(i) { return this.flat[5 * i]; }
    stop(i) { return i + 1 < this.size ? this.flat[5 * i + 5] : this.end; }
    state(i) { return i < 0 || i >= this.size ? FREE : this.flat[5 * i + 1]; }
    why(i) { return this.run.whys[this.flat[5 * i + 2]]; }
    site(i) { return i < 0 || i >= this.size ? [] : this.run.sites[this.flat[5 * i + 3]]; }
    at(moment) { return last(this.size, (i) => this.flat[5 * i + 4] <= moment); }
    runs(i) { const state = this.state(i); return state === 0 || state === 8; }
    stands(i) { // where it waited before it became ready, and ran
      while (i > 0 && (this.runs(i) || !this.site(i).length)) i -= 1;
      return this.site(i);
    }
    word(i) {
      const state = this.state(i), why = this.why(i);
      if (this.runs(i)) return why ? `runs ${why}` : "runs";
      if (state === 1) return why ? `is ready ${why}` : "is ready";
      if (state < FREE) return why ? `waits for ${why}` : "waits";
      return this.isThread ? "is free" : ["", "has finished", `has failed${why && `: ${why}`}`, "was cancelled", "was dropped"][state - FREE];
    }
  }

  function start(host) {
    const data = JSON.parse(host.querySelector("script[type='application/json']").textContent);
    const runs = data.runs, isPair = runs.length > 1;
    for (const run of runs) run.lanes = run.lanes.map((lane) => new Lane(lane, run));
    const lanes = runs.flatMap((run) => run.lanes);
    const total = Math.max(...runs.map((run) => run.end)) || 1e-9;
    const [scale, unit] = total >= 1 ? [1, "s"] : [1e3, "ms"];
    const number = (at) => String(+(at * scale).toPrecision(4));
    const time = (at) => `${number(at)} ${unit}`;
    const span = (from, to) => from === to ? `at ${time(from)}` : `${number(from)}\u2013${time(to)}`;

    // what happens, in order: [time, which recording, its moment], and where each recording is then
    const story = runs.flatMap((run, r) => run.times.map((at, moment) => [at, r, moment]));
    story.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    const here = runs.map(() => -1);
    for (const each of story) { here[each[1]] = each[2]; each.push([...here]); }
    const end = story.length - 1;
    const runner = (run, moment) => run.lanes.find((lane) => !lane.isThread && lane.runs(lane.at(moment)));

    let pos = 0, now = 0, chosen = null, depth = -1, zoom = 1, speed = 1, filter = "";
    let isPlaying = false, spent = 0, before = 0, isAsked = false, drawn = -2, shownCode = [];
    let rows = [], gutter = 120, width = 0;
    const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

    // ---- the page ----
    const button = (name, title, act, inside) => el("button", { type: "button", class: name, title, "aria-label": title, onclick: act }, inside || icon(name));
    const play = button("play", "Play (Space)", () => toggle());
    const clock = el("span", { class: "clock" });
    const search = el("input", { type: "search", placeholder: "Find a task", "aria-label": "Find a task (/)", oninput: () => { filter = search.value.toLowerCase(); layOut(); } });
    const pace = el("select", { "aria-label": "Speed", title: "Speed", onchange: () => { speed = +pace.value; } },
      ...[0.25, 0.5, 1, 2, 4].map((each) => el("option", each === 1 ? { value: each, selected: "" } : { value: each }, `${each}\u00d7`)));
    const say = el("p", { class: "say", role: "status", "aria-live": "polite", "aria-atomic": "true" });
    const thumb = el("div", { class: "thumb", role: "slider", tabindex: 0, "aria-label": "Moment", "aria-valuemin": 1, "aria-valuemax": end + 1 });
    const axis = el("canvas", { "aria-hidden": "true" }), bars = el("canvas", { "aria-hidden": "true" });
    const names = el("div", { class: "names" }), space = el("div", { class: "space" }, bars, names);
    const marks = [], top = el("div", { class: "top" }, axis, thumb);
    const scroller = el("div", { class: "lanes", role: "group", "aria-label": "Lanes", tabindex: -1 }, space);
    const finds = el("ul", { class: "finds", "aria-label": "Findings" });
    const panels = el("div", { class: `runs ${isPair ? "two" : "one"}` });
    const box = el("div", { class: "w", role: "group", "aria-label": `Timeline of ${join(runs.map((run) => run.name))}`, onkeydown: onKey },
      el("div", { class: "bar", role: "toolbar", "aria-label": "Controls" },
        button("first", "To the beginning (Home)", () => go(0)), button("prev", "Previous event (\u2190)", () => go(pos - 1)), play,
        button("next", "Next event (\u2192)", () => go(pos + 1)), button("last", "To the end (End)", () => go(end)), pace, clock,
        el("span", { class: "gap" }),
        button("out", "Zoom out (\u2212)", () => zoomBy(0.5), "\u2212"), button("in", "Zoom in (+)", () => zoomBy(2), "+"), button("all", "Show all (0)", () => zoomBy(0), "All"), search),
      say, top, scroller, legend(), panels, finds);

    const sections = runs.map((run) => {
      const part = { title: el("h4"), stack: el("span", { class: "stack" }), pre: el("pre", { tabindex: 0, "aria-label": "Source" }), lists: el("div", { class: "lists" }) };
      panels.append(el("section", { "aria-label": run.name }, el("div", { class: "code" }, el("header", {}, part.title, part.stack), part.pre), part.lists));
      return part;
    });
    for (const run of runs) for (const [code, message, at, lane] of run.marks) {
      const jump = () => { choose(run.lanes.find((each) => each.name === lane)); seek(at); };
      const isPlaced = at !== null;
      if (isPlaced) {
        const mark = el("button", { type: "button", class: "mark", title: message, "aria-label": `Finding: ${message}`, onclick: jump }, "!");
        mark.at = at;
        marks.push(mark);
        top.append(mark);
      }
      finds.append(el("li", {}, isPlaced ? button("jump", `Go to ${time(at)}`, jump, time(at)) : "", el("span", {}, el("b", {}, code), ` ${message}`)));
    }
    marks.sort((a, b) => a.at - b.at);
    for (const run of runs) {
      const shorter = run.short ? `This is a long recording, so stretches shorter than ${time(run.short)} are taken together and shown as the longest of them. ` : "";
      const more = run.more ? `${run.more} more lanes are not shown.` : "";
      if (shorter || more) box.append(el("p", { class: "note" }, (isPair ? `${run.name}: ` : "") + shorter + more));
    }
    box.append(el("details", { class: "help" }, el("summary", {}, "Keys"), el("p", {},
      ...[["\u2190 \u2192", "previous, next event"], ["Shift \u2190 \u2192", "of the chosen task"], ["\u2191 \u2193", "choose a task"], ["Esc", "follow the one that runs"],
        ["Space", "play, pause"], ["Home End", "beginning, end"], ["+ \u2212 0", "zoom"], ["F", "next finding"], ["/", "find a task"]]
        .flatMap(([key, what]) => [el("kbd", {}, key), ` ${what} \u00a0 `]))));

    function legend() {
      const found = new Set(lanes.flatMap((lane) => Array.from({ length: lane.size }, (_, i) => lane.state(i))));
      return el("ul", { class: "key", "aria-label": "Legend" }, ...data.looks.slice(0, FREE).map((look, state) => {
        if (!found.has(state)) return "";
        const sample = el("canvas", { "aria-hidden": "true" });
        sample.state = state;
        return el("li", {}, sample, (state > 1 && state < 8 ? "waits: " : "") + look[0]);
      }));
    }

    // ---- moving ----
    function go(to, at) {
      pos = Math.max(0, Math.min(end, to));
      now = at ?? story[pos][0];
      spent = 0;
      if (at === undefined) reveal();
      ask();
    }
    function seek(at) {
      const bound = Math.max(0, Math.min(total, at));
      go(Math.max(0, last(story.length, (i) => story[i][0] <= bound)), bound);
    }
    function toggle(on = !isPlaying) {
      isPlaying = on;
      if (on && pos >= end) go(0);
      before = performance.now();
      say.setAttribute("aria-live", on ? "off" : "polite"); // a reader could not follow
      play.replaceChildren(icon(on ? "pause" : "play"));
      play.title = on ? "Pause (Space)" : "Play (Space)";
      play.setAttribute("aria-label", play.title);
      ask();
    }
    function advance(at) { // each event is shown for a moment, and longer if time passes
      const least = Math.max(30, Math.min(600, 15000 / story.length));
      spent += Math.min(100, at - before) * speed;
      before = at;
      for (;;) {
        if (pos >= end) return toggle(false);
        const [from, to] = [story[pos][0], story[pos + 1][0]], needed = least + 8000 * (to - from) / total;
        if (spent < needed) { now = calm() ? from : from + (to - from) * spent / needed; return; }
        spent -= needed;
        pos += 1;
        now = to;
        reveal();
      }
    }
    function choose(lane) {
      chosen = lane === chosen || !lane ? null : lane;
      depth = -1;
      drawn = -2;
      const row = rows.findIndex((each) => each.lane === chosen);
      if (chosen && row >= 0) show(row);
      ask();
    }
    function show(row) {
      const y = row * ROW;
      if (y < scroller.scrollTop) scroller.scrollTop = y;
      else if (y + ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = y + ROW - scroller.clientHeight;
    }
    function reveal() { // the cursor, if it has left the part that is shown, and the lane that runs
      const x = place(now);
      if (zoom > 1 && (x < gutter || x > gutter + width)) scroller.scrollLeft += x - gutter - width / 3;
      const lane = runner(runs[story[pos][1]], story[pos][2]), row = rows.findIndex((each) => each.lane === lane);
      if (row >= 0) show(row);
    }
    function step(way) { // to the next change of the chosen task
      if (!chosen) return go(pos + way);
      const r = runs.indexOf(chosen.run);
      for (let to = pos + way, was = chosen.at(story[pos][3][r]); to >= 0 && to <= end; to += way)
        if (chosen.at(story[to][3][r]) !== was) return go(to);
    }
    function zoomBy(factor, x = place(now)) {
      const at = moment(x), room = x - gutter;
      zoom = factor ? Math.max(1, Math.min(4096, zoom * factor)) : 1;
      layOut();
      scroller.scrollLeft = at / total * width * zoom - room;
      ask();
    }
    const place = (at) => gutter + at / total * width * zoom - scroller.scrollLeft;
    const moment = (x) => (x - gutter + scroller.scrollLeft) / (width * zoom || 1) * total;

    function onKey(event) {
      event.stopPropagation(); // a notebook has keys of its own
      const isTyping = event.target.matches("input, select"), key = event.key;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping) {
        if (key === "Enter" && event.target === search) choose(rows.find((row) => row.lane && row.lane !== chosen)?.lane);
        if (key === "Escape") { search.value = filter = ""; layOut(); thumb.focus(); }
        return;
      }
      if (key === " " && event.target.matches("button, summary")) return;
      const shown = rows.filter((row) => row.lane).map((row) => row.lane), at = shown.indexOf(chosen);
      const way = event.shiftKey ? step : (by) => go(pos + by);
      const keys = {
        ArrowLeft: () => way(-1), ArrowRight: () => way(1), Home: () => go(0), End: () => go(end), " ": () => toggle(),
        ArrowUp: () => choose(shown[at < 0 ? shown.length - 1 : Math.max(0, at - 1)] === chosen ? null : shown[at < 0 ? shown.length - 1 : at - 1]),
        ArrowDown: () => choose(shown[at + 1]), Escape: () => choose(null), "+": () => zoomBy(2), "=": () => zoomBy(2), "-": () => zoomBy(0.5), 0: () => zoomBy(0),
        f: () => { const next = marks.find((mark) => mark.at > now + total * 1e-9) || marks[0]; next?.click(); },
        "/": () => search.focus(),
      };
      const act = keys[key] || keys[key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    }
    for (const canvas of [bars, top]) {
      const drag = (event) => { if (event.buttons & 1) { if (isPlaying) toggle(false); seek(moment(event.clientX - top.getBoundingClientRect().left)); } };
      canvas.addEventListener("pointerdown", (event) => {
        if (event.target.matches(".mark") || event.clientX - top.getBoundingClientRect().left < gutter) return;
        canvas.setPointerCapture(event.pointerId);
        drag(event);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (canvas.hasPointerCapture(event.pointerId)) return drag(event);
        if (canvas !== bars) return;
        const lane = rows[Math.floor((event.offsetY + scroller.scrollTop) / ROW)]?.lane, at = moment(event.offsetX);
        const i = lane ? last(lane.size, (each) => lane.start(each) <= at) : -1;
        bars.title = i < 0 || at > lane.end ? "" : `${lane.name} ${lane.word(i)} ${span(lane.start(i), lane.stop(i))}`;
      });
    }
    scroller.addEventListener("scroll", () => ask());
    scroller.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - scroller.getBoundingClientRect().left);
    }, { passive: false });

    // ---- drawing ----
    function layOut() {
      rows = runs.flatMap((run) => [...(isPair ? [{ head: run.name }] : []), ...run.lanes.filter((lane) => lane.name.toLowerCase().includes(filter)).map((lane) => ({ lane }))]);
      names.replaceChildren(...rows.map((row) => {
        if (!row.lane) return row.node = el("b", {}, row.head);
        return row.node = el("button", { type: "button", title: row.lane.name, onclick: () => choose(row.lane) }, row.lane.name);
      }));
      const whole = scroller.clientWidth || box.clientWidth;
      const longest = Math.max(...rows.map((row) => (row.lane?.name || row.head).length));
      gutter = Math.round(Math.min(whole * 0.34, 220, 36 + 8.2 * longest));
      width = Math.max(60, whole - gutter - 10);
      const height = Math.min(rows.length * ROW, 330) || ROW;
      space.style.width = `${zoom > 1 ? gutter + 10 + width * zoom : whole}px`;
      space.style.height = `${rows.length * ROW}px`;
      names.style.width = `${gutter - 6}px`;
      names.style.marginTop = `${-height}px`;
      fit(bars, whole, height);
      fit(axis, whole, 46);
      drawn = -2;
      ask();
    }
    function fit(canvas, wide, high) {
      const dots = devicePixelRatio || 1;
      canvas.width = wide * dots;
      canvas.height = high * dots;
      canvas.style.width = `${wide}px`;
      canvas.style.height = `${high}px`;
      canvas.getContext("2d").scale(dots, dots);
    }
    function paint(pen, state, colours) { // the fill of a state, hatched as in the picture
      const [, fill, edge, hatch] = data.looks[state], known = colours[state];
      if (known) return known;
      const own = (colour) => colour === "white" ? colours.bg : colour;
      if (!hatch) return colours[state] = own(fill);
      const tile = document.createElement("canvas");
      tile.width = tile.height = 6;
      const hand = tile.getContext("2d"), line = (...p) => { hand.moveTo(p[0], p[1]); hand.lineTo(p[2], p[3]); };
      hand.fillStyle = own(fill);
      hand.fillRect(0, 0, 6, 6);
      hand.strokeStyle = hand.fillStyle = colours.bg;
      if (hatch[0] === ".") hand.fillRect(2, 2, 2, 2);
      if ("/x".includes(hatch[0])) { line(-1, 7, 7, -1); line(-1, 1, 1, -1); line(5, 7, 7, 5); }
      if ("\\x".includes(hatch[0])) { line(-1, -1, 7, 7); line(5, -1, 7, 1); line(-1, 5, 1, 7); }
      if (hatch[0] === "-") line(0, 3, 6, 3);
      if (hatch[0] === "|") line(3, 0, 3, 6);
      hand.stroke();
      return colours[state] = pen.createPattern(tile, "repeat");
    }
    function bar(pen, state, x, y, wide, colours) {
      pen.fillStyle = paint(pen, state, colours);
      pen.fillRect(x, y, wide, 14);
      const [, fill, edge] = data.looks[state], isHollow = fill === "white";
      if (isHollow || state === 8) {
        pen.strokeStyle = edge;
        pen.lineWidth = isHollow ? 1 : 2;
        pen.strokeRect(x + 0.5, y + 0.5, Math.max(0, wide - 1), 13);
      } else if (wide > 3) { pen.fillStyle = colours.bg; pen.fillRect(x + wide - 1, y, 1, 14); }
    }
    function drawBars(colours) {
      const pen = bars.getContext("2d"), high = bars.clientHeight, down = scroller.scrollTop;
      const right = gutter + width + 5;
      pen.clearRect(0, 0, right + 10, high);
      const from = Math.floor(down / ROW), to = Math.min(rows.length, Math.ceil((down + high) / ROW));
      for (let row = from; row < to; row += 1) {
        const lane = rows[row].lane, y = row * ROW - down;
        if (!lane) continue;
        if (lane === chosen) { pen.fillStyle = colours.soft; pen.fillRect(gutter, y, right - gutter, ROW); }
        const left = moment(gutter);
        let edge = -1;
        for (let i = Math.max(0, last(lane.size, (each) => lane.start(each) <= left)); i < lane.size; i += 1) {
          const state = lane.state(i), x = Math.max(gutter, place(lane.start(i)));
          if (x > right) break;
          if (state >= FREE) continue;
          let wide = Math.min(right, place(lane.stop(i))) - x;
          if (lane.runs(i) && wide < 2) wide = 2;
          else if (wide <= 0 || x + wide < edge + 0.5) continue;
          bar(pen, state, x, y + 4, wide, colours);
          edge = x + wide;
        }
      }
      const x = place(now);
      if (x >= gutter - 1 && x <= right) { pen.fillStyle = colours.fg; pen.fillRect(x - 1, 0, 2, high); }
    }
    function drawAxis(colours) {
      const pen = axis.getContext("2d"), right = gutter + width, rough = total / zoom * 90 / width;
      const power = 10 ** Math.floor(Math.log10(rough)), each = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
      pen.clearRect(0, 0, right + 20, 46);
      pen.font = "11px system-ui, sans-serif";
      pen.textAlign = "center";
      for (let n = Math.ceil(moment(gutter) / each); n * each <= Math.min(total, moment(right)) + each * 1e-6; n += 1) {
        const x = place(n * each);
        pen.fillStyle = colours.quiet;
        pen.fillText(n ? `${number(n * each)}` : `0 ${unit}`, x, 28);
        pen.fillRect(x - 0.5, 40, 1, 6);
      }
      thumb.style.left = `${place(now)}px`;
      thumb.style.visibility = place(now) < gutter - 8 || place(now) > right + 8 ? "hidden" : "visible";
      for (const mark of marks) {
        const x = place(mark.at);
        mark.style.left = `${x}px`;
        mark.hidden = x < gutter - 8 || x > right + 8;
      }
    }
    function ask() {
      if (isAsked) return;
      isAsked = true;
      requestAnimationFrame(draw);
    }
    function draw(at) {
      isAsked = false;
      if (!box.isConnected) { isPlaying = false; return; }
      const began = performance.now();
      if (isPlaying) advance(at);
      const style = getComputedStyle(box), colours = { bg: style.backgroundColor, fg: style.color, soft: style.getPropertyValue("--soft"), quiet: style.getPropertyValue("--quiet") };
      drawBars(colours);
      drawAxis(colours);
      clock.replaceChildren(el("b", {}, time(now)), ` of ${time(total)}`);
      if (drawn !== pos) { drawn = pos; tell(colours); }
      host.dataset.ms = (performance.now() - began).toFixed(2);
      if (isPlaying) ask();
    }

    // ---- what happens now ----
    function tell(colours) {
      const text = runs.map((run, r) => (isPair ? `${run.name}: ` : "") + sentence(run, story[pos][3][r])).join(" ");
      if (say.textContent !== text) say.textContent = text;
      thumb.setAttribute("aria-valuenow", pos + 1);
      thumb.setAttribute("aria-valuetext", `${time(story[pos][0])}, event ${pos + 1} of ${end + 1}`);
      for (const { lane, node } of rows) if (lane) {
        const i = lane.at(story[pos][3][runs.indexOf(lane.run)]), state = lane.state(i);
        node.className = lane.runs(i) ? "running" : state === 1 ? "ready" : "";
        node.setAttribute("aria-pressed", lane === chosen);
      }
      runs.forEach((run, r) => { source(run, r, sections[r]); lists(run, story[pos][3][r], sections[r].lists); });
      for (const sample of box.querySelectorAll(".key canvas")) {
        fit(sample, 22, 16);
        const pen = sample.getContext("2d");
        pen.translate(0, 1);
        bar(pen, sample.state, 0, 0, 22, colours);
      }
    }
    function ready(run, moment) { // in the order in which they will run
      const found = [];
      for (const lane of run.lanes) {
        let i = lane.at(moment);
        if (lane.state(i) !== 1) continue;
        while (i < lane.size && !lane.runs(i)) i += 1;
        found.push([lane.flat[5 * i + 4] ?? Infinity, lane]);
      }
      return found.sort((a, b) => a[0] - b[0]).map((each) => each[1]);
    }
    function sentence(run, moment) {
      if (moment < 0) return "has not begun.";
      const lane = runner(run, moment), queue = ready(run, moment), few = (list) => list.length > 4 ? `${list.length} tasks` : join(list.map((each) => each.name));
      const rest = queue.length ? ` ${few(queue)} ${queue.length > 1 ? "are" : "is"} ready.` : "";
      const busy = run.lanes.filter((each) => each.isThread && each.runs(each.at(moment)));
      const work = busy.length ? ` ${join(busy.slice(0, 3).map((each) => `${each.name} ${each.word(each.at(moment))}`))}.` : "";
      if (!lane) {
        const count = run.lanes.filter((each) => { const s = each.state(each.at(moment)); return !each.isThread && s > 1 && s < 8; }).length;
        if (moment === run.times.length - 1 && !count) return `At ${time(run.times[moment])} the program has ended.`;
        let next = moment + 1;
        while (next < run.times.length && !runner(run, next)) next += 1;
        const after = runner(run, next);
        return `At ${time(run.times[moment])} no task runs: ${count} ${count === 1 ? "waits" : "wait"}.${rest}${work}` + (after ? ` ${after.name} goes on at ${time(run.times[next])}.` : "");
      }
      const i = lane.at(moment), [from, to] = [lane.start(i), lane.stop(i)];
      let was = i - 1;
      while (was > 0 && lane.state(was) === 1) was -= 1;
      const reason = was >= 0 && lane.state(was) > 1 && lane.state(was) < 8 ? lane.why(was) : "";
      const held = lane.state(i) === 8 ? " and blocks the loop" : "";
      return `${lane.name} runs ${span(from, to)}${held}${reason ? `, after its wait for ${reason}` : ""}; then it ${lane.word(i + 1 < lane.size ? i + 1 : i)}.${rest}${work}`
        .replace("; then it runs.", ".").replace("; then it has finished", "; then it has finished").replace("; then it is ready.", "; then it lets others run.");
    }
    function lists(run, moment, into) {
      const group = (title, items, colour, isOrdered) => {
        if (!items.length) return "";
        const rest = items.length - 10;
        const shown = items.slice(0, rest > 1 ? 10 : 11).map(([lane, text], n) => el("li", {},
          lane.name ? el("button", { type: "button", onclick: () => choose(lane) }, (isOrdered ? `${n + 1}. ` : "") + lane.name) : lane, el("span", { title: text }, text)));
        return el("div", { style: `--c:${colour}` }, el("h5", {}, `${title} (${items.length})`), el("ol", {}, ...shown, rest > 1 ? el("li", {}, el("span", {}, `and ${rest} more`)) : ""));
      };
      const at = (want) => run.lanes.map((lane) => [lane, lane.at(moment)]).filter(([lane, i]) => want(lane, lane.state(i)));
      const stand = (lane, i) => { const site = lane.stands(i).at(-1); return site ? `, line ${site[1]}` : ""; };
      const waiting = at((lane, state) => !lane.isThread && state > 1 && state < 8);
      const running = runner(run, moment);
      const sleeps = waiting.filter(([lane, i]) => lane.why(i) === "sleep" && i + 1 < lane.size).map(([lane, i]) => [lane.stop(i), lane, "wakes from sleep"]);
      const timers = run.timers.filter(([, , first, past]) => first <= moment && moment < past)
        .map(([due, name]) => [due, run.lanes.find((lane) => lane.name === name) || name, "timeout, unless cancelled"]);
      const due = [...sleeps, ...timers].sort((a, b) => a[0] - b[0]).map(([when, lane, what]) => [lane, `${time(when)}: ${what}`]);
      const colour = data.looks.map((look) => look[1]);
      into.replaceChildren(...[
        group("Runs", running ? [[running, span(running.start(running.at(moment)), running.stop(running.at(moment)))]] : [], colour[0]),
        group("Ready, next first", ready(run, moment).map((lane) => [lane, `since ${time(lane.start(lane.at(moment)))}`]), colour[1], true),
        group("Waiting", waiting.map(([lane, i]) => [lane, `${lane.word(i).replace("waits for", "for")}${stand(lane, i)}`]), "#8A9098"),
        group("Timers to come", due, colour[2]),
        group("Worker threads", at((lane) => lane.isThread).map(([lane, i]) => [lane, lane.word(i)]), colour[4]),
      ].filter((each) => each));
    }
    function source(run, r, part) {
      const moment = story[pos][3][r], isMine = chosen?.run === run;
      let lane = isMine ? chosen : runner(run, moment), back = moment;
      while (!lane && back > 0) lane = runner(run, back -= 1); // who ran last: it shows where it waits
      part.title.textContent = lane ? `${lane.name} ${lane.word(lane.at(moment)) || "has not begun"}` : run.name;
      part.title.title = lane?.origin ? `started in ${lane.origin}` : "";
      const i = lane ? lane.at(moment) : -1;
      const works = lane?.runs(i) ? lane.site(i) : [], stands = lane ? lane.stands(i) : [];
      const chain = works.length ? works : stands, which = depth < 0 || !isMine ? chain.length - 1 : Math.min(depth, chain.length - 1);
      const frame = lane && lane.state(i) < FREE ? chain[which] : undefined;
      part.stack.replaceChildren(...(frame && chain.length > 1 ? chain.map(([code, line], n) => el("button", { type: "button", "aria-current": n === which ? "true" : undefined, onclick: () => { if (chosen !== lane) choose(lane); depth = n; drawn = -2; ask(); } }, `${run.code[code][0].split(", ").at(-1)}:${line}`)) : []));
      const code = frame ? frame[0] : shownCode[r] ?? -1;
      if (shownCode[r] !== code || part.of !== code) { part.of = shownCode[r] = code; write(run.code[code], part.pre); }
      const put = (line, name, why) => {
        const node = part.pre.lines?.get(line);
        if (!node || (name === "then" && node.className)) return;
        node.className = name;
        node.setAttribute("data-why", why);
        if (name === "now") node.setAttribute("aria-current", "step");
        return node;
      };
      for (const node of part.pre.lines?.values() || []) { node.className = ""; node.removeAttribute("aria-current"); }
      if (!frame) return;
      const isFirst = lane.runs(i) && lane.flat.slice(0, 5 * i).every((_, n) => n % 5 !== 1 || lane.flat[n] < 2 || lane.start((n - 1) / 5) === lane.stop((n - 1) / 5)) && frame[1] === run.code[code][1];
      const node = put(frame[1], "now", works.length ? "works here" : lane.runs(i) ? (isFirst ? "begins here" : "goes on here") : lane.state(i) === 1 ? "ready to go on" : "waits here");
      const next = lane.runs(i) ? lane.site(i + 1).find(([other]) => other === code) : undefined;
      if (next) put(next[1], "then", "then waits here");
      if (node) part.pre.scrollTop = Math.max(0, node.offsetTop - part.pre.clientHeight / 2);
    }
    function write(code, pre) {
      pre.lines = new Map();
      if (!code || !code[2]) { pre.replaceChildren(el("div", {}, el("i"), code ? "(its source is not there)" : "")); return; }
      const all = el("div"), source = code[2];
      let at = 0;
      for (const found of source.matchAll(WORDS)) {
        all.append(source.slice(at, found.index), el(found[3] ? "em" : "s", {}, found[0]));
        at = found.index + found[0].length;
      }
      all.append(source.slice(at));
      let line = code[1], row, text;
      const begin = () => { row = el("div", {}, el("i", { "aria-hidden": "true" }, String(line)), text = el("code")); pre.lines.set(line, row); pre.append(row); line += 1; };
      pre.replaceChildren();
      begin();
      for (const node of [...all.childNodes]) node.textContent.split("\n").forEach((piece, n) => {
        if (n) begin();
        text.append(node.nodeName === "#text" ? piece : el(node.nodeName.toLowerCase(), {}, piece));
      });
    }

    const root = host.attachShadow({ mode: "open" });
    host.setAttribute("data-lm-suppress-shortcuts", "true");
    root.append(el("style", {}, CSS), box);
    box.addEventListener("transitionend", (event) => { if (event.target === box) { drawn = -2; ask(); } }); // another theme
    new ResizeObserver(() => { if (box.clientWidth) layOut(); }).observe(box);
    layOut();
    go(0);
  }

  for (const host of document.querySelectorAll(".asyncml-player:not([data-on])")) {
    host.setAttribute("data-on", "");
    start(host);
  }
})();
