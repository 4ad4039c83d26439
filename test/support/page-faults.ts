/**
 * Runs inside a page, hence a text: the types of a browser have no place in this project.
 * Its value is a list of what a person would see go wrong, each in one line.
 */
export const PAGE_FAULTS = `(() => {
  const faults = new Set();
  const width = document.documentElement.clientWidth;
  const named = (element) => {
    const kind = String(element.className || "").trim().replace(/ +/g, ".");
    return element.localName + (kind === "" ? "" : "." + kind);
  };
  const brief = (text) => JSON.stringify(text.trim().slice(0, 40));
  const visible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const outOfPage = ({ left, right }) => left < -0.5 || right > width + 0.5;

  if (document.documentElement.scrollWidth > width)
    faults.add("the page is " + document.documentElement.scrollWidth + " px wide, in " + width);
  for (const element of document.body.querySelectorAll("*")) {
    if (visible(element) && outOfPage(element.getBoundingClientRect()))
      faults.add(named(element) + " reaches out of the page");
  }

  // A pixel of a canvas knows every notation of a colour, and how transparent ones add up.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const luminance = (colours) => {
    const key = colours.join();
    if (!known.has(key)) known.set(key, measured(colours));
    return known.get(key);
  };
  const measured = (colours) => {
    for (const colour of colours) {
      pixel.fillStyle = colour;
      pixel.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = [...pixel.getImageData(0, 0, 1, 1).data].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);

  const lines = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const element = text.parentElement;
    if (text.data.trim() === "" || !visible(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const boxes = [...range.getClientRects()].filter((box) => box.width > 0.5 && box.height > 0.5);
    if (boxes.length === 0) faults.add(brief(text.data) + " has no room at all");
    const backgrounds = [];
    for (let around = element; around; around = around.parentElement) {
      const style = getComputedStyle(around);
      backgrounds.unshift(style.backgroundColor);
      if (style.overflowX === "visible" && style.overflowY === "visible") continue;
      const frame = around.getBoundingClientRect();
      const cut = boxes.some(
        (box) =>
          box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1,
      );
      if (cut) faults.add(brief(text.data) + " is cut off by " + named(around));
    }
    if (boxes.some(outOfPage)) faults.add(brief(text.data) + " reaches out of the page");
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const large = parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.6 && Number(fontWeight) >= 700);
    const ratio = contrast(luminance(["#fff", ...backgrounds]), luminance(["#fff", ...backgrounds, color]));
    if (ratio < (large ? 3 : 4.5))
      faults.add(brief(text.data) + " has a contrast of " + ratio.toFixed(2) + " in " + named(element));
    for (const box of boxes) lines.push({ box, text });
  }

  lines.sort((a, b) => a.box.top - b.box.top);
  lines.forEach((one, index) => {
    for (const other of lines.slice(index + 1)) {
      if (other.box.top > one.box.bottom - 3) break;
      if (other.text === one.text) continue;
      const shared = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      // Boxes of lines are taller than their letters.
      const deep = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      if (shared > 1 && deep > Math.min(one.box.height, other.box.height) * 0.4)
        faults.add(brief(one.text.data) + " and " + brief(other.text.data) + " lie upon each other");
    }
  });
  return [...faults];
})()`;
