// What Gradio's parts lack for keyboards and screen readers, added as they appear.
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const set = (node, name, value) => {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  };

  // One stop of the Tab key for a group; within it the arrow keys move.
  function oneStop(nodes, current) {
    const stop = Math.max(0, nodes.findIndex(current));
    nodes.forEach((node, i) => set(node, "tabindex", i === stop ? "0" : "-1"));
  }

  const GROUPS = [
    ['[role="tablist"]', '[role="tab"]'],
    [".gallery", "button.gallery-item"],
    ['[data-testid="source-select"]', "button"],
    ["#gallery .grid-container", "button"],
  ];

  function mend() {
    set(document.documentElement, "lang", "en");
    for (const [group, member] of GROUPS) {
      for (const box of all(group)) {
        const nodes = [...box.querySelectorAll(member)].filter((node) => node.offsetParent);
        const last = nodes.includes(document.activeElement) ? document.activeElement : null;
        oneStop(nodes, (node) => (last ? node === last : node.matches('[aria-selected="true"], .selected')));
      }
    }
    all("button.gallery-item").forEach((button, i) => {
      const picture = button.querySelector("img"), file = picture && picture.src.split("/").pop();
      set(button, "aria-label", `Example: ${file ? decodeURIComponent(file).replace(/\.\w+$/, "") : i + 1}`);
    });
    // What a press on such a picture does, sliders do, too.
    all(".figure button:has(.image-frame)").forEach((button) => set(button, "tabindex", "-1"));
    all('[aria-label="Empty value"]').forEach((node) => {
      node.removeAttribute("aria-label");
      set(node, "aria-hidden", "true");
    });
    all('fieldset').forEach((box, i) => {
      for (const radio of box.querySelectorAll('input[type="radio"]')) set(radio, "name", `choice-${box.id || i}`);
    });
    const spoken = ["status", "notes", "doubts", "restore-told", "draw-said", "steer-said", "take-said", "whole-said", "restore-said"];
    for (const id of spoken) {
      const node = document.getElementById(id);
      if (node) set(node, "aria-live", "polite");
    }
    all("#photo img, #picture img, #restore-photo img, button.gallery-item img").forEach((picture) => {
      const small = picture.naturalWidth > 0 && Math.max(picture.naturalWidth, picture.naturalHeight) <= 128;
      picture.classList.toggle("tiny", small);
      if (!picture.complete) picture.addEventListener("load", later, { once: true });
    });
    const back = left && (left.disabled || !left.isConnected || !left.offsetParent) ? instead(left) : left;
    if (back && !back.disabled && back.offsetParent && document.activeElement === document.body) {
      back.focus({ preventScroll: true });
      left = null;
    }
  }

  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = document.activeElement;
    if (!step || !at || event.ctrlKey || event.metaKey || event.altKey) return;
    for (const [group, member] of GROUPS) {
      const box = at.matches(member) && at.closest(group);
      if (!box) continue;
      const nodes = [...box.querySelectorAll(member)].filter((node) => node.offsetParent);
      const next = nodes[(nodes.indexOf(at) + step + nodes.length) % nodes.length];
      oneStop(nodes, (node) => node === next);
      next.focus();
      event.preventDefault();
      return;
    }
  });

  // A Stop that was pressed stays off, and what removes an image goes with it: then what begins.
  const BEGINS = {
    "whole-stop": '[data-do="whole"]', "restore-stop": "#restore", stop: "#draw",
    photo: "#photo button", picture: "#picture button", "restore-photo": "#restore-photo button",
  };
  function instead(node) {
    const known = BEGINS[node.id] || BEGINS[node.from];
    return known ? all(known).find((other) => other.offsetParent && !other.disabled) : null;
  }

  // What is switched off while something is drawn or read loses the focus: it gets it back.
  let left = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const image = button && !button.id ? button.closest("#photo, #picture, #restore-photo") : null;
    if (image) button.from = image.id;
    left = button && (button.id || image) ? button : null;
    if (button && button.id === "draw") bringIntoView();
  }, true); // before what is pressed is gone
  document.addEventListener("change", (event) => {
    if (event.target.type === "radio") left = event.target;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Tab") left = null;
  });

  // On a small screen the answer is below: the button goes to the top, and the answer is under it.
  function bringIntoView() {
    const answer = document.getElementById("gallery"), button = document.getElementById("go");
    if (answer && answer.getBoundingClientRect().top > 0.7 * window.innerHeight) {
      const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
      button.scrollIntoView({ block: "start", behavior: smooth ? "smooth" : "auto" });
    }
  }

  let waiting = 0;
  function later() {
    if (!waiting) waiting = requestAnimationFrame(() => ((waiting = 0), mend()));
  }
  new MutationObserver(later).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["class", "disabled", "src", "aria-selected"],
  });
  mend();
}
