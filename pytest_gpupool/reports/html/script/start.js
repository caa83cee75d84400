// Every section that has something to show; one that fails takes no other with it.

/** @type {() => Promise<void>} */
async function drawAll() {
  data = await unpacked(present(document.getElementById("data")?.textContent));
  data.tests.anchor.forEach((anchor, place) => placesByAnchor.set(anchor, place));
  const parts = { tests: testTable, timeline, metrics: heatmap, overview, history: metricHistory, usage };
  present(document.getElementById("no-script")).remove();
  visit.begin();
  for (const [name, draw] of Object.entries(parts)) {
    const section = present(document.getElementById(name)?.parentElement);
    const link = present(document.querySelector(`nav a[href="#${name}"]`)?.parentElement);
    section.hidden = link.hidden = false;
    try {
      if (!draw(section)) section.hidden = link.hidden = name !== "tests";
    } catch (error) {
      tellOfFailure(section, error);
    }
  }
  visit.drawn();
  // Messages of what failed, so that they are found and printed; the page can be used meanwhile.
  for (let place = 0; place < Math.min(ALL_DRAWN, data.tests.id.length); place += CHUNK) await unfoldedOf(place);
  for (const group of document.querySelectorAll("table.tests > tbody[id]")) {
    if (group instanceof HTMLElement) fillDetails(group, present(placesByAnchor.get(group.id)));
  }
}

drawAll()
  .catch((error) => tellOfFailure(present(document.querySelector("main")), error))
  .finally(() => document.documentElement.setAttribute("data-drawn", ""));
