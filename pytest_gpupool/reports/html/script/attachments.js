// What a test has kept: pictures and short texts, each read when it is looked at; the rest is linked.

/** @type {(groups: KeptGroup[]) => HTMLElement[]} */
function keptParts(groups) {
  return groups.map(([label, files, left]) => {
    const list = element("ul", {}, ...files.map(keptFile));
    if (left) list.append(element("li", { class: "muted" }, `and ${left} more`));
    return element("div", { class: "kept" }, element("h4", {}, label), list);
  });
}

/** @type {(file: KeptFile) => HTMLElement} */
function keptFile([name, said, href, kind, line]) {
  const link = href ? element("a", { href, rel: "noopener noreferrer" }, name) : element("span", {}, name);
  const made = element("li", {}, link, " ", element("span", { class: "muted" }, said));
  if (kind === "text") made.append(keptText(name, line));
  else if (kind) made.append(element("img", { alt: name, "data-line": line, "data-kind": kind }));
  return made;
}

/** @type {(name: string, line: number) => HTMLElement} */
function keptText(name, line) {
  const text = element("pre", { tabindex: 0, "aria-label": name });
  const made = element("details", {}, element("summary", { "aria-label": `Show its text: ${name}` }, "Show its text"), text);
  made.addEventListener("toggle", () => {
    if (!made.open || text.textContent) return;
    unpacked(chunksOf("attachments")[line]).then(
      (found) => (text.textContent = found),
      (error) => tellOfFailure(made, error),
    );
  });
  return made;
}

// The pictures in what a reader has unfolded, or prints. Of an address with data only an image is made.
/** @type {(holder: ParentNode) => void} */
function showPictures(holder) {
  for (const image of holder.querySelectorAll("img[data-line]")) {
    if (!(image instanceof HTMLImageElement)) continue;
    const { line, kind } = image.dataset;
    image.removeAttribute("data-line");
    image.addEventListener("error", () => {
      image.replaceWith(element("p", { class: "muted" }, "This picture cannot be drawn: its file is damaged."));
    });
    image.src = `data:${kind};base64,${chunksOf("attachments")[Number(line)]}`;
  }
}
