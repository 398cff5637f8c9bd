// A drawing of the page as an SVG file, with the colours and fonts that the style sheet gives it.
const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "paint-order",
  "font-family", "font-size", "font-weight", "text-anchor",
];

/** Returns a colour as other programs know it: browsers compute a mixed colour as `color(srgb 0.5 0 1 / 0.4)`. */
export function plainColour(value) {
  return value.replace(/color\(srgb ([\d.e+-]+) ([\d.e+-]+) ([\d.e+-]+)(?: \/ ([\d.e+-]+))?\)/g, (_, red, green, blue, alpha) => {
    const parts = [red, green, blue].map((part) => Math.round(255 * Number(part)));
    return alpha === undefined ? `rgb(${parts})` : `rgba(${parts},${alpha})`;
  });
}

/** Returns an SVG element of the page as the text of a file, on the page's ground. */
export function svgText(svg, width, height, ground) {
  const window_ = svg.ownerDocument.defaultView;
  const copy = svg.cloneNode(true);
  const copies = [...copy.querySelectorAll("*")];
  [...svg.querySelectorAll("*")].forEach((node, index) => {
    const computed = window_.getComputedStyle(node);
    for (const name of STYLES) {
      const value = computed.getPropertyValue(name);
      if (value && !value.includes("url(")) copies[index].style.setProperty(name, plainColour(value));
    }
  });
  for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` })) copy.setAttribute(name, value);
  for (const name of ["class", "tabindex"]) copy.removeAttribute(name);
  copy.style.background = plainColour(ground);
  return `${new window_.XMLSerializer().serializeToString(copy)}\n`;
}
