// What the tests ask of a page, and what they note: what it registers outside its own elements,
// and how long its frames take.
Object.assign(window, { outside: [], frames_ms: [], asked: 0 });
for (const target of [window, document]) {
  const add = target.addEventListener;
  target.addEventListener = function (...given) {
    outside.push(given[0]);
    return add.apply(this, given);
  };
}
for (const name of ["setTimeout", "setInterval"]) window[name] = () => outside.push(name);
const ask = window.requestAnimationFrame;
const settled = () => new Promise((done) => ask(() => ask(done)));
window.requestAnimationFrame = (act) => {
  asked += 1;
  return ask((at) => {
    const began = performance.now();
    act(at);
    frames_ms.push(performance.now() - began);
  });
};

const shadow = () => document.querySelector(".asyncml-player").shadowRoot;
const wide = () => shadow().querySelector(".lanes").scrollWidth;
const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgb = (colour) => {
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const behind = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return colour === "rgba(0, 0, 0, 0)" ? behind(node.parentElement) : colour;
};
const contrasts = () => { // what has text of its own, its colour and that behind it
  const own = (node) => [...node.childNodes].some((it) => it.nodeType === 3 && it.data.trim());
  return [...shadow().querySelectorAll(".w, .w *")].filter(own).map((node) => [
    `${node.tagName}.${node.className} ${node.textContent.slice(0, 20)}`,
    rgb(getComputedStyle(node).color), rgb(behind(node)),
  ]);
};
const edge = () => {
  const style = getComputedStyle(shadow().querySelector(".w"));
  return [rgb(style.borderTopColor), rgb(style.backgroundColor)];
};
const nameless = () => [...shadow().querySelectorAll("button, input, select, [tabindex], [role]")]
  .filter((node) => !(node.ariaLabel || node.title || node.textContent.trim()))
  .map((node) => node.outerHTML);
Object.assign(window, { settled, wide, contrasts, edge, nameless });
