/* The page "Try an edit": every picture and probability is one of edits.js; nothing is computed. */
(function () {
  const root = document.getElementById("try-an-edit");
  if (!root || typeof EDITS === "undefined") return;
  const [headline] = Object.keys(EDITS.infills);
  const chosen = { label: "meningioma", drop: "median", edit: "remove", infill: headline, dilation: 0, outline: true };
  const el = (tag, attrs, ...inside) => {
    const made = Object.assign(document.createElement(tag), attrs);
    made.append(...inside);
    return made;
  };
  const slice = () => EDITS.slices.find(
    (s) => s.label === chosen.label && s.drop === chosen.drop);
  const find = (wanted) => slice().variants.find(
    (v) => v.edit === wanted.edit && (!["remove", "sham"].includes(v.edit)
      || (v.infill === wanted.infill && v.dilation === wanted.dilation)));
  const original = () => slice().variants.find((v) => v.edit === "original");

  function row(words, key, options) {
    const cell = el("div");
    for (const [value, label] of options) {
      const button = el("button", { type: "button", textContent: label });
      button.dataset.key = key;
      button.dataset.value = value;
      button.onclick = () => { chosen[key] = value; if (!find(chosen)) reset(key); draw(); };
      cell.append(button);
    }
    return [el("div", { textContent: words }), cell];
  }
  function reset(key) {  // the nearest audited edit: the headline is asked at every dilation
    if (key !== "infill") chosen.infill = headline;
    if (!find(chosen)) chosen.dilation = 0;
  }
  function paint(canvas, variant) {
    const image = new Image();
    image.onload = () => {
      const context = canvas.getContext("2d"), scale = canvas.width / EDITS.size;
      context.drawImage(image, 0, 0, canvas.width, canvas.width);
      context.fillStyle = "#F0E442";
      if (chosen.outline) {
        for (const at of variant.border) {
          const x = at % EDITS.size, y = Math.floor(at / EDITS.size);
          context.fillRect(x * scale, y * scale, scale * 0.6, scale * 0.6);
        }
      }
    };
    image.src = "data:image/jpeg;base64," + variant.picture;
  }
  const before = el("canvas", { width: 384, height: 384 });
  const after = el("canvas", { width: 384, height: 384 });
  const words = el("figcaption"), told = el("p"), bars = el("div", { className: "bars" });
  const alike = (key) => [...new Set(EDITS.slices.map((s) => s[key]))].map((word) => [word, word]);
  const dilations = [...new Set(EDITS.slices[0].variants.map((v) => v.dilation))].sort();
  const choices = el("div", { className: "choices" },
    ...row("Tumor", "label", alike("label")), ...row("Fall", "drop", alike("drop")),
    ...row("Edit", "edit", Object.entries(EDITS.edits)),
    ...row("Infill", "infill", Object.entries(EDITS.infills)),
    ...row("Dilation", "dilation", dilations.map((d) => [d, `${d} px`])),
    ...row("Outline", "outline", [[true, "shown"], [false, "hidden"]]));
  root.append(
    el("div", { className: "try" },
      el("figure", {}, before, el("figcaption", { textContent: "original" })),
      el("figure", {}, after, words)),
    bars, told, choices);

  function draw() {
    const was = original(), now = find(chosen) || was;
    for (const button of choices.querySelectorAll("button")) {
      const { key, value } = button.dataset;
      button.setAttribute("aria-pressed", String(String(chosen[key]) === value));
      const needs = ["infill", "dilation"].includes(key);
      const typed = key === "dilation" ? Number(value) : value;
      button.disabled = needs && !find({ ...chosen, [key]: typed })
        || needs && !["remove", "sham"].includes(chosen.edit);
    }
    paint(before, was);
    paint(after, now);
    words.textContent = EDITS.edits[chosen.edit];
    bars.replaceChildren();
    EDITS.classes.forEach((name, k) => {
      const bar = el("div", { className: "bar" });
      const fill = el("i"), line = el("b");
      fill.style.cssText = `width:${100 * now.p[k]}%;background:${EDITS.colors[name]}`;
      line.style.left = `${100 * was.p[k]}%`;
      bar.append(fill, line);
      bars.append(el("span", { textContent: name }), bar,
        el("span", { textContent: `${was.p[k].toFixed(2)} → ${now.p[k].toFixed(2)}` }));
    });
    const k = EDITS.classes.indexOf(slice().label);
    const fall = (was.p[k] - now.p[k]).toFixed(2).replace("-0.00", "0.00");
    const called = EDITS.classes[now.p.indexOf(Math.max(...now.p))];
    told.textContent = `A phantom ${slice().label} (slice ${slice().slice}): P(${slice().label}) `
      + `falls by ${fall}, and the edited slice is called ${called}. Line: before; bar: after.`;
  }
  draw();
})();
