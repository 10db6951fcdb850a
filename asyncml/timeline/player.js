// The body of a function of `host`, an element with a picture and a text whose place the player
// takes. It touches nothing outside the element, so when a notebook clears the output nothing is
// left. What comes from a recording is set as text, never as HTML.
// the height of a lane in px, and the states from which on another look begins
const CSS = `/*CSS*/`, ROW = 22, BLOCKED = 8, NONE = 9;
const ICONS = {
	first: "M3 3h2v10H3zM13 3v10L6 8z", prev: "M11 3v10L4 8z", play: "M4 2v12l10-6z",
	pause: "M4 3h3v10H4zM9 3h3v10H9z", next: "M5 3v10l7-5z", last: "M11 3h2v10h-2zM3 3v10l7-5z",
};
const icon = (name) => `<svg viewBox="0 0 16 16"><path d="${ICONS[name]}"/></svg>`;
const control = (name, title, face = icon(name)) => `<button class="${name}" title="${title}">${face}</button>`;
const PAGE = `<style>${CSS}</style><div class="w" role="group">
	<div class="bar" role="toolbar" aria-label="Controls">${control("first", "To the beginning (Home)")}${control("prev", "Previous event (←)")}
	${control("play", "Play (Space)")}${control("next", "Next event (→)")}${control("last", "To the end (End)")}
	<select class="pace" title="Speed"><option value=".25">¼×<option value=".5">½×<option value="1" selected>1×<option value="2">2×<option value="4">4×</select>
	<span class="clock"></span>${control("out", "Zoom out (-)", "−")}${control("in", "Zoom in (+)", "+")}${control("all", "Show all (0)", "All")}
	<input type="search" class="find" placeholder="Find a task" title="Find a task (/)"></div>
	<p class="say" role="status"></p>
	<div class="top"><canvas class="axis"></canvas><div class="thumb" role="slider" tabindex="0" aria-label="Event" aria-valuemin="1"></div></div>
	<div class="lanes"><div class="space"><canvas class="bars"></canvas><div class="names"></div></div></div>
	<ul class="key"></ul><div class="runs"></div><ul class="finds" aria-label="Findings"></ul>
	<p class="note">Keys: ← → (Shift: chosen task), ↑ ↓ Esc choose, Space, + − 0, F finding, / find</p></div>`;
const TOKENS = /(#.*)|("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\b(async|await|def|for|in|while|if|else|try|except|finally|with|as|return|yield|raise|None|True|False)\b/g;

const el = (tag, attributes, ...inside) => {
	const made = document.createElement(tag);
	for (const name in attributes) made[name] = attributes[name];
	made.append(...inside);
	return made;
};
// the last index below size for which test holds, or -1
const last = (size, test) => {
	let low = -1, high = size;
	while (high - low > 1) { const mid = (low + high) >> 1; if (test(mid)) low = mid; else high = mid; }
	return low;
};
const list = (lanes) => lanes.length > 4 ? `${lanes.length} tasks` : lanes.map((lane) => lane.name).join(", ").replace(/, ([^,]*)$/, " and $1");

// of pieces: start, state, words, where it stands, first moment
class Lane {
	constructor([name, isThread, origin, end, flat], run) { Object.assign(this, { name, isThread, origin, end, flat, run, size: flat.length / 5 }); }
	start(i = this.i) { return this.flat[5 * i]; }
	stop(i = this.i) { return i + 1 < this.size ? this.start(i + 1) : this.end; }
	state(i = this.i) { return this.flat[5 * i + 1] ?? NONE; }
	word(i = this.i) { return this.run.words[this.flat[5 * i + 2]] ?? ""; }
	site(i = this.i) { return this.run.sites[this.flat[5 * i + 3]] ?? []; }
	first(i) { return this.flat[5 * i + 4]; }
	at(m) { return last(this.size, (i) => this.first(i) <= m); }
	runs(i = this.i) { return this.state(i) % BLOCKED === 0; }
	isOn(m) { return !this.isThread && this.runs(this.at(m)); }
	waits(i = this.i) { return this.state(i) > 1 && this.state(i) < BLOCKED; }
	// where it waited before it became ready and ran
	stands(i = this.i) {
		while (i > 0 && (this.runs(i) || !this.site(i).length)) i -= 1;
		return this.site(i);
	}
}

const { looks, runs } = JSON.parse(host.querySelector("script").textContent), isPair = runs.length > 1;
for (const run of runs) run.lanes = run.lanes.map((lane) => new Lane(lane, run));
const total = Math.max(...runs.map((run) => run.end)) || 1e-9, [scale, unit] = total < 1 ? [1e3, "ms"] : [1, "s"];
const number = (at) => +(at * scale).toPrecision(4), time = (at) => `${number(at)} ${unit}`;
const span = (lane, i = lane.i) => lane.start(i) === lane.stop(i) ? `at ${time(lane.start(i))}` : `${number(lane.start(i))}-${time(lane.stop(i))}`;
const runner = (run, m) => run.lanes.find((it) => it.isOn(m));
// what happens, in order: when, in which recording, and at which of its moments each one then is
const story = runs.flatMap((run, r) => run.times.map((at, m) => [at, r, m])).sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
const here = runs.map(() => -1), end = story.length - 1;
for (const event of story) { here[event[1]] = event[2]; event[2] = [...here]; }

let pos = 0, now = 0, chosen = null, depth = -1, zoom = 1, isPlaying = false, spent = 0, before = 0;
let isAsked = false, told = -1, rows = [], gutter = 0, width = 0;
const root = host.attachShadow({ mode: "open" }), marks = [], ui = {};
root.innerHTML = PAGE;
for (const node of root.querySelectorAll("[class]")) ui[node.className] = node;
// JupyterLab's
host.setAttribute("data-lm-suppress-shortcuts", "true");
const { w: box, say, thumb, top, lanes, bars, axis, names, find, play } = ui;
box.ariaLabel = `Timeline of ${runs.map((run) => run.name).join(" and ")}`;
thumb.ariaValueMax = end + 1;
ui.runs.classList.add(isPair ? "two" : "one");
const states = new Set(runs.flatMap((run) => run.lanes.flatMap((lane) => lane.flat.filter((_, n) => n % 5 === 1))));
const samples = [...states].filter((state) => state < NONE).sort().map((state) => el("canvas", { state }));
ui.key.append(...samples.map((sample) => el("li", {}, sample, looks[sample.state][0])));
for (const run of runs) {
	Object.assign(run, { title: el("h4"), stack: el("span"), pre: el("pre", { tabIndex: 0, ariaLabel: "Source" }), lists: el("div", { className: "lists" }) });
	ui.runs.append(el("section", { ariaLabel: run.name }, el("div", { className: "code" }, el("header", {}, run.title, run.stack), run.pre), run.lists));
	for (const [code, message, at, name] of run.marks) {
		const onclick = () => { choose(run.lanes.find((lane) => lane.name === name), true); seek(at); };
		if (at !== null) marks.push(el("button", { className: "mark", title: message, at, onclick }, "!"));
		ui.finds.append(el("li", {}, at === null ? "" : el("button", { onclick }, time(at)), el("span", {}, el("b", {}, code.replace("-", " ")), ": ", ...message.split("`").map((part, n) => n % 2 ? el("code", {}, part) : part))));
	}
	if (run.note) box.append(el("p", { className: "note" }, run.note));
}
top.append(...marks.sort((a, b) => a.at - b.at));

// ---- moving ----
const place = (at) => gutter + at / total * width * zoom - lanes.scrollLeft;
const timeAt = (x) => (x - gutter + lanes.scrollLeft) / (width * zoom) * total;
function go(to, at) {
	pos = Math.max(0, Math.min(end, to));
	now = at ?? story[pos][0];
	spent = 0;
	if (at === undefined) reveal();
	ask();
}
function seek(at) {
	const bound = Math.max(0, Math.min(total, at));
	go(last(story.length, (i) => story[i][0] <= bound), bound);
}
function toggle(on = !isPlaying) {
	isPlaying = on;
	if (on && pos === end) go(0);
	before = performance.now();
	// nobody could listen so fast
	say.ariaLive = on ? "off" : "polite";
	play.innerHTML = icon(on ? "pause" : "play");
	play.title = on ? "Pause (Space)" : "Play (Space)";
	ask();
}
// an event is shown for a while, and longer if time passes until the next
function advance(at) {
	const least = Math.max(30, Math.min(600, 15000 / story.length));
	spent += Math.min(100, at - before) * ui.pace.value;
	before = at;
	while (isPlaying) {
		if (pos === end) return toggle(false);
		const from = story[pos][0], gap = story[pos + 1][0] - from, needed = least + 8000 * gap / total;
		now = from + (matchMedia("(prefers-reduced-motion)").matches ? 0 : gap * Math.min(1, spent / needed));
		if (spent < needed) return;
		const rest = spent - needed;
		go(pos + 1);
		spent = rest;
	}
}
function choose(lane, isKept) {
	chosen = lane && (isKept || lane !== chosen) ? lane : null;
	depth = told = -1;
	if (chosen) show(chosen);
	ask();
}
function show(lane) {
	const y = rows.findIndex((row) => row.lane === lane) * ROW;
	if (y >= 0) lanes.scrollTop = Math.max(y + ROW - lanes.clientHeight, Math.min(y, lanes.scrollTop));
}
// the cursor, where it has left the part that is shown, and the lane that runs
function reveal() {
	const x = place(now), [, r, at] = story[pos];
	if (x < gutter || x > gutter + width) lanes.scrollLeft += x - gutter - width / 3;
	show(runner(runs[r], at[r]));
}
// to the next change of the chosen task
function step(way) {
	if (!chosen) return go(pos + way);
	const index = (to) => chosen.at(story[to][2][runs.indexOf(chosen.run)]);
	for (let to = pos + way; story[to]; to += way) if (index(to) !== index(pos)) return go(to);
}
function zoomBy(factor, x = place(now)) {
	const at = timeAt(x);
	zoom = Math.max(1, Math.min(4096, zoom * factor));
	layOut();
	lanes.scrollLeft += place(at) - x;
}
const onClick = {
	first: () => go(0), prev: () => go(pos - 1), play: () => toggle(), next: () => go(pos + 1), last: () => go(end),
	out: () => zoomBy(0.5), in: () => zoomBy(2), all: () => zoomBy(0),
};
for (const name in onClick) ui[name].onclick = onClick[name];
box.onkeydown = (event) => {
	// a notebook has keys of its own
	event.stopPropagation();
	const { key, target } = event, shown = rows.filter((row) => row.lane).map((row) => row.lane), at = shown.indexOf(chosen);
	if (event.ctrlKey || event.metaKey || event.altKey || (key === " " && target.matches("button"))) return;
	if (target === find) {
		if (key === "Enter") choose(shown[0], true);
		if (key === "Escape") { find.value = ""; layOut(); thumb.focus(); }
	}
	if (target.matches("input, select")) return;
	const way = event.shiftKey ? step : (by) => go(pos + by);
	const act = {
		ArrowLeft: () => way(-1), ArrowRight: () => way(1), Home: onClick.first, End: onClick.last, " ": onClick.play,
		ArrowUp: () => choose(shown.at(at < 0 ? -1 : Math.max(0, at - 1)), true), ArrowDown: () => choose(shown[Math.min(at + 1, shown.length - 1)], true),
		Escape: () => choose(), "+": onClick.in, "=": onClick.in, "-": onClick.out, 0: onClick.all, "/": () => find.focus(),
		f: () => (marks.find((mark) => mark.at > now) ?? marks[0])?.click(),
	}[key.length > 1 ? key : key.toLowerCase()];
	if (!act) return;
	event.preventDefault();
	act();
};
for (const area of [bars, top]) {
	const x = (event) => event.clientX - top.getBoundingClientRect().left;
	area.onpointerdown = (event) => {
		if (event.target.matches(".mark") || x(event) < gutter) return;
		area.setPointerCapture(event.pointerId);
		area.onpointermove(event);
	};
	area.onpointermove = (event) => {
		if (area.hasPointerCapture(event.pointerId)) { toggle(false); return seek(timeAt(x(event))); }
		const lane = rows[Math.floor((event.offsetY + lanes.scrollTop) / ROW)]?.lane, at = timeAt(x(event));
		const i = lane && area === bars ? last(lane.size, (n) => lane.start(n) <= at) : -1;
		bars.title = i < 0 ? "" : `${lane.name} ${lane.word(i)} ${span(lane, i)}`;
	};
}
find.oninput = layOut;
lanes.onscroll = ask;
lanes.addEventListener("wheel", (event) => {
	if (!event.ctrlKey && !event.metaKey) return;
	event.preventDefault();
	zoomBy(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - lanes.getBoundingClientRect().left);
}, { passive: false });

// ---- drawing ----
function layOut() {
	rows = runs.flatMap((run) => [...(isPair ? [{ name: run.name }] : []), ...run.lanes.map((lane) => ({ lane, name: lane.name }))])
		.filter((row) => !row.lane || row.name.toLowerCase().includes(find.value.toLowerCase()));
	for (const row of rows) row.node = row.lane ? el("button", { title: row.name, onclick: () => choose(row.lane) }, row.name) : el("b", {}, row.name);
	names.replaceChildren(...rows.map((row) => row.node));
	const whole = lanes.clientWidth, height = Math.min(rows.length * ROW, 341);
	gutter = Math.round(Math.min(whole * 0.34, 220, 36 + 8.2 * Math.max(0, ...rows.map((row) => row.name.length))));
	width = Math.max(60, whole - gutter - 10);
	ui.space.style.cssText = `width:${zoom > 1 ? gutter + 10 + width * zoom : whole}px;height:${rows.length * ROW}px`;
	names.style.cssText = `width:${gutter - 6}px;margin-top:${-height}px`;
	fit(bars, whole, height);
	fit(axis, whole, 46);
	told = -1;
	ask();
}
function fit(canvas, wide, high) {
	const dots = devicePixelRatio;
	canvas.width = wide * dots;
	canvas.height = high * dots;
	canvas.style.cssText = `width:${wide}px;height:${high}px`;
	canvas.getContext("2d").scale(dots, dots);
}
// the fill of a state, hatched as in the picture
function paint(pen, state, ink) {
	if (ink[state]) return ink[state];
	const [, fill, , hatch] = looks[state], tile = el("canvas", { width: 6, height: 6 }), hand = tile.getContext("2d");
	hand.fillStyle = fill === "white" ? ink.bg : fill;
	hand.fillRect(0, 0, 6, 6);
	hand.strokeStyle = hand.fillStyle = ink.bg;
	if (hatch[0] === ".") hand.fillRect(2, 2, 2, 2);
	const strokes = { "/": "M-1 7L7-1M-1 1L1-1M5 7L7 5", "\\": "M-1-1L7 7M5-1L7 1M-1 5L1 7", "-": "M0 3H6", "|": "M3 0V6", x: "M0 0L6 6M0 6L6 0" };
	hand.stroke(new Path2D(strokes[hatch[0]] ?? ""));
	return ink[state] = pen.createPattern(tile, "repeat");
}
function bar(pen, state, x, y, wide, ink) {
	const [, fill, edge] = looks[state], isHollow = fill === "white";
	pen.fillStyle = paint(pen, state, ink);
	pen.fillRect(x, y, wide, 14);
	pen.strokeStyle = edge === "white" ? ink.bg : edge;
	pen.lineWidth = state === BLOCKED ? 2 : 1;
	if (isHollow || state === BLOCKED) pen.strokeRect(x + 0.5, y + 0.5, Math.max(0, wide - 1), 13);
	else if (wide > 3) pen.strokeRect(x + wide, y, 0, 14);
}
function drawBars(ink) {
	const pen = bars.getContext("2d"), high = bars.clientHeight, right = gutter + width + 5;
	// not `place`, which asks the page each time
	const begin = timeAt(gutter), scale = width * zoom / total, x = (at) => Math.max(gutter, Math.min(right, gutter + (at - begin) * scale));
	pen.clearRect(0, 0, right + 10, high);
	rows.forEach(({ lane }, row) => {
		const y = row * ROW - lanes.scrollTop;
		if (!lane || y < -ROW || y > high) return;
		let edge = 0;
		for (let i = Math.max(0, last(lane.size, (n) => lane.start(n) <= begin)); i < lane.size; i += 1) {
			const from = x(lane.start(i)), isOn = lane.runs(i), wide = Math.max(isOn && lane.stop(i) >= begin ? 2 : 0, x(lane.stop(i)) - from);
			if (from === right) break;
			if (lane.state(i) >= NONE || !wide || (!isOn && from + wide < edge)) continue;
			bar(pen, lane.state(i), from, y + 4, wide, ink);
			edge = from + wide + 0.5;
		}
	});
	pen.fillStyle = ink.fg;
	pen.fillRect(x(now) - 1, 0, now < begin ? 0 : 2, high);
}
function drawAxis(ink) {
	const pen = axis.getContext("2d"), right = gutter + width, rough = total / zoom * 90 / width, power = 10 ** Math.floor(Math.log10(rough));
	const each = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
	pen.clearRect(0, 0, right + 20, 46);
	Object.assign(pen, { font: "11px system-ui, sans-serif", textAlign: "center", fillStyle: ink.quiet });
	for (let n = Math.ceil(timeAt(gutter) / each - 1e-6); n * each <= Math.min(total, timeAt(right)) * 1.000001; n += 1) {
		pen.fillText(n ? number(n * each) : time(0), place(n * each), 24);
		pen.fillRect(place(n * each) - 0.5, 40, 1, 6);
	}
	let free = 0;
	for (const node of [thumb, ...marks]) {
		const x = place(node === thumb ? now : node.at), isOn = x > gutter - 8 && x < right + 8;
		node.style.visibility = isOn ? "" : "hidden";
		node.style.left = `${node === thumb || !isOn ? x : Math.max(x, free)}px`;
		if (node !== thumb && isOn) free = Math.max(x, free) + 22;
	}
}
function ask() {
	if (!isAsked) requestAnimationFrame(draw);
	isAsked = true;
}
function draw(at) {
	isAsked = false;
	if (!box.isConnected) return isPlaying = false;
	const style = getComputedStyle(box);
	if (isPlaying) advance(at);
	const ink = { bg: style.backgroundColor, fg: style.color, quiet: style.getPropertyValue("--quiet") };
	drawBars(ink);
	drawAxis(ink);
	ui.clock.replaceChildren(el("b", {}, time(now)), ` of ${time(total)}`);
	if (told !== pos) tell(ink);
	if (isPlaying) ask();
}

// ---- what happens now ----
function tell(ink) {
	told = pos;
	const [at, , moments] = story[pos];
	runs.forEach((run, r) => { run.m = moments[r]; for (const lane of run.lanes) lane.i = lane.at(run.m); });
	const text = runs.map((run) => (isPair ? `${run.name}: ` : "") + sentence(run)).join(" ");
	if (say.textContent !== text) say.textContent = text;
	thumb.ariaValueNow = pos + 1;
	thumb.ariaValueText = `${time(at)}, event ${pos + 1} of ${end + 1}`;
	for (const { lane, node } of rows) if (lane) {
		node.className = lane.runs() ? "running" : lane.state() === 1 ? "ready" : "";
		node.ariaPressed = lane === chosen;
	}
	for (const run of runs) { showSource(run); showLists(run); }
	for (const sample of samples) {
		fit(sample, 22, 16);
		bar(sample.getContext("2d"), sample.state, 0, 1, 22, ink);
	}
}
// in the order in which they will run, which is that of the moments with which that begins
const ready = ({ lanes }) => lanes.filter((it) => it.state() === 1).sort((a, b) => (a.first(a.i + 1) ?? 1e9) - (b.first(b.i + 1) ?? 1e9));
function sentence(run) {
	const { m, times, lanes } = run, lane = runner(run, m), queue = ready(run), waiting = lanes.filter((it) => it.waits());
	const are = (some, one, more) => some.length ? ` ${list(some)} ${some.length === 1 ? one : more}.` : "";
	const rest = are(queue, "is ready", "are ready") + lanes.filter((it) => it.isThread && it.runs()).slice(0, 3).map((it) => ` ${it.name} ${it.word()}.`).join("");
	if (m < 0) return "has not begun.";
	if (lane) {
		const was = lane.i - (lane.state(lane.i - 1) === 1 ? 2 : 1), after = lane.word(lane.i + 1);
		const why = lane.waits(was) ? `, after it ${lane.word(was).replace("waits", "has waited")}` : "";
		return `${lane.name} runs ${span(lane)}${lane.state() ? " and blocks the loop" : ""}${why}${after && `; then it ${after}`}.${rest}`;
	}
	const next = times.findIndex((_, n) => n > m && runner(run, n)), after = next < 0 ? "" : ` ${runner(run, next).name} runs at ${time(times[next])}.`;
	return `At ${time(times[m])} ${waiting.length || rest || after ? "no task runs." : "all has ended."}${are(waiting, "waits", "wait")}${rest}${after}`;
}
function showLists(run) {
	const { lanes, m } = run, waiting = lanes.filter((it) => it.waits());
	const group = (title, state, items) => items.length ? el("div", { style: `color:${looks[state][1]}` }, el("h5", {}, `${title} (${items.length})`), el("ol", {},
		...items.slice(0, 10).map(([lane, text]) => el("li", {}, el("button", { onclick: () => choose(lane) }, lane.name), el("span", {}, text))),
		items.length > 10 ? el("li", {}, `and ${items.length - 10} more`) : "")) : "";
	const timers = waiting.filter((it) => it.word() === "waits for sleep" && it.i + 1 < it.size).map((it) => [it, it.stop(), "sleep"]);
	for (const [due, name, first, past] of run.timers) if (first <= m && m < past) timers.push([lanes.find((it) => it.name === name) ?? { name }, due, "timeout"]);
	run.lists.replaceChildren(
		group("Runs", 0, lanes.filter((it) => it.isOn(m)).map((it) => [it, span(it)])),
		group("Ready, in this order", 1, ready(run).map((it) => [it, `since ${time(it.start())}`])),
		group("Waiting", 3, waiting.map((it) => [it, it.word().replace("waits ", "") + (it.stands().length ? `, line ${it.stands().at(-1)[1]}` : "")])),
		group("Timers to come", 2, timers.sort((a, b) => a[1] - b[1]).map(([lane, due, what]) => [lane, `${time(due)}, ${what}`])),
		group("Worker threads", 4, lanes.filter((it) => it.isThread && it.i >= 0).map((it) => [it, it.word() || "is free"])));
}
function showSource(run) {
	let lane = chosen?.run === run ? chosen : null;
	// who ran last shows where it waits
	for (let back = run.m; !lane && back >= 0; back -= 1) lane = runner(run, back);
	lane ??= run.lanes[0];
	const isOn = lane.runs(), works = isOn ? lane.site() : [], chain = lane.state() >= NONE ? [] : works.length ? works : lane.stands();
	const which = lane === chosen && chain[depth] ? depth : chain.length - 1, frame = chain[which];
	run.title.textContent = `${lane.name} ${lane.word() || "has not begun"}`;
	run.title.title = lane.origin;
	run.stack.replaceChildren(...chain.map(([code, line], n) => el("button", {
		ariaCurrent: n === which, onclick: () => { choose(lane, true); depth = n; },
	}, `${run.code[code][0]}:${line}`)));
	for (const row of run.rows?.values() ?? []) { row.className = ""; delete row.dataset.why; }
	if (!frame) return;
	const [code, line] = frame, isFirst = line === run.code[code][1], next = isOn && lane.site(lane.i + 1).find((it) => it[0] === code);
	if (run.shown !== code) write(run, run.shown = code);
	const put = (at, className, why) => { const row = run.rows.get(at) ?? el("div"); row.className = className; row.dataset.why = why; return row; };
	if (next) put(next[1], "then", "then waits here");
	const row = put(line, "now", isFirst ? "begins here" : works.length ? "works here" : isOn ? "goes on here" : lane.waits() ? "waits here" : "is to go on here");
	run.pre.scrollTop = row.offsetTop - run.pre.clientHeight / 2;
}
function write(run, code) {
	const [, first, source] = run.code[code], all = [];
	let at = 0, line = first - 1, row;
	for (const found of source.matchAll(TOKENS)) {
		all.push(["span", source.slice(at, found.index)], [found[3] ? "em" : "s", found[0]]);
		at = found.index + found[0].length;
	}
	all.push(["span", source.slice(at)]);
	run.rows = new Map();
	const begin = () => run.rows.set(line += 1, el("div", {}, el("i", { ariaHidden: "true" }, line), row = el("code")));
	begin();
	for (const [tag, text] of all) text.split("\n").forEach((piece, n) => { if (n) begin(); row.append(el(tag, {}, piece)); });
	if (!source) row.append("no source");
	run.pre.replaceChildren(...run.rows.values());
}

// another theme
box.addEventListener("transitionend", (event) => { if (event.target === box) { told = -1; ask(); } });
new ResizeObserver(() => { if (lanes.clientWidth) layOut(); }).observe(top);
layOut();
go(0);
