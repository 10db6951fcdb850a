// On the page that stands in for a missing one: which pages have words of its address in theirs?
const wordsOf = (path) =>
  decodeURIComponent(path).toLowerCase().split(/[^a-z0-9]+/)
    .filter((word) => word && !["html", "htm", "ipynb", "md", "the", "a", "and"].includes(word))
    .map((word) => String(Number(word) || word)); // 07 and 7 are one lesson

const root = new URL(document.baseURI).pathname;
const wanted = new Set(wordsOf(location.pathname.slice(root.length)));
const found = [...document.querySelectorAll(".bd-sidebar-primary a[href$='.html']")]
  .map((link) => {
    const words = wordsOf(link.getAttribute("href"));
    return { link, shared: words.filter((word) => wanted.has(word)).length / Math.sqrt(words.length) };
  })
  .filter(({ shared }) => shared > 0)
  .sort((one, other) => other.shared - one.shared);

for (const { link } of found.filter(({ shared }) => shared === found[0].shared).slice(0, 3)) {
  const item = document.querySelector("#perhaps ul").appendChild(document.createElement("li"));
  const copy = item.appendChild(document.createElement("a"));
  copy.href = link.href;
  copy.textContent = link.textContent.trim();
  document.querySelector("#perhaps").hidden = false;
}
