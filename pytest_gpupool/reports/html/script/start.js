// Every section that has something to show; one that fails takes no other with it.

/** @type {() => void} */
function drawAll() {
  const parts = { tests: testTable, timeline, metrics: heatmap, history: metricHistory, usage };
  present(document.getElementById("no-script")).remove();
  for (const [name, draw] of Object.entries(parts)) {
    const section = present(document.getElementById(name)?.parentElement);
    const link = present(document.querySelector(`nav a[href="#${name}"]`)?.parentElement);
    section.hidden = link.hidden = false;
    try {
      if (!draw(section)) section.hidden = link.hidden = name !== "tests";
    } catch (error) {
      console.error(error);
      const reason = error instanceof Error ? error.message : String(error);
      section.append(element("p", { class: "mark bad" }, `This part could not be drawn: ${reason}`));
    }
  }
}

drawAll();
