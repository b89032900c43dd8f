// Holding a button: with the pointer, or with the space bar or Enter on it. A screen reader only clicks: then the first
// click begins and the second ends.

export function holding(button, { begin, end }) {
  let by = null;

  const press = (how) => {
    if (by !== null) return false;
    by = how;
    begin();
    return true;
  };
  const letGo = (how) => {
    if (by !== how) return;
    by = null;
    end();
  };

  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    // The press stays ours when the finger slides off the button.
    if (press("pointer")) button.setPointerCapture(event.pointerId);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(name, () => letGo("pointer"));
  button.addEventListener("contextmenu", (event) => event.preventDefault());

  const isHoldKey = (event) => event.key === " " || event.key === "Enter";
  button.addEventListener("keydown", (event) => {
    if (!isHoldKey(event)) return;
    event.preventDefault();
    if (!event.repeat) press("key");
  });
  button.addEventListener("keyup", (event) => {
    if (!isHoldKey(event)) return;
    event.preventDefault();
    letGo("key");
  });
  button.addEventListener("click", (event) => {
    // Of a pointer it counts the clicks; of what speaks for a person, none.
    if (event.detail !== 0) return;
    if (by === "click") letGo("click");
    else press("click");
  });
  button.addEventListener("blur", () => letGo(by));
  window.addEventListener("blur", () => letGo(by));
}
