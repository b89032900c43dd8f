// Making and changing elements. Text goes in as text, never as HTML.

/** `h("p", {class: "soft", onclick: f}, "text", child, …)`; null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
}

/** Make `list` show `items` in order. Elements of the same key stay, so that focus and screen readers stay with them. */
export function show(list, items, key, make, fill) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  items.forEach((item, index) => {
    const name = String(key(item));
    const element = old.get(name) ?? make(item);
    old.delete(name);
    element.dataset.key = name;
    fill(element, item);
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
  for (const element of old.values()) element.remove();
}

/** Change text only where it differs: a live region says it once. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Calls `draw` once for all changes of the next `milliseconds`. */
export function soon(draw, milliseconds = 50) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      draw();
    }, milliseconds);
  };
}
