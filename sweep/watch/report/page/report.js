// Draws the figures that the page holds.

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  for (const figure of JSON.parse(document.getElementById("figures").textContent)) {
    await draw(figure);
    await new Promise((next) => setTimeout(next));
  }
  document.body.dataset.drawn = "all";
}

start();
