"use strict";
// Draws the plots and pages through the reports. Each device has its data in an element of JSON:
// `Data` in model/reports.rs describes it.
(() => {
  const ROWS = 100; // as in model/reports.rs
  const MOST_TRACES = 64;

  const make = (name, parent, text = "") => {
    const element = document.createElement(name);
    element.textContent = text;
    parent.append(element);
    return element;
  };

  // ---- data ----

  const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const unroll = (runs) => runs.flatMap(([length, value]) => Array(length).fill(value));

  // Cuts a stream's bytes into reports.
  function reportsOf(stream) {
    const all = bytesOf(stream.bytes);
    let at = 0;
    return unroll(stream.sizes).map((size) => all.subarray(at, (at += size)));
  }

  function load(index) {
    const data = JSON.parse(document.getElementById(`data-${index}`).textContent);
    let time = 0;
    const times = data.times.map((delta) => (time += delta) / 1e6);
    const sent = reportsOf(data.sent);
    let fixed = null;
    if (data.fixed) {
      const changed = reportsOf(data.fixed);
      let next = 0;
      fixed = unroll(data.fixed.outcomes).map((count, at) => (count < 0 ? [sent[at]] : changed.slice(next, (next += count))));
    }
    return { times, sent, fixed, sentLayout: data.sent, fixedLayout: data.fixed };
  }

  const idOf = (layout, bytes) => (layout.numbered ? (bytes[0] ?? 0) : 0);
  const layoutOf = (layout, bytes) => (bytes.length ? layout.reports.find((report) => report.id === idOf(layout, bytes)) : undefined);

  // Numbers have at most 32 bits, so the five bytes around one fit in a double.
  function number(part, bytes, index) {
    const bit = part.bit + index * part.size;
    let value = 0;
    for (let at = 4; at >= 0; at--) value = value * 256 + (bytes[(bit >> 3) + at] ?? 0);
    value = Math.floor(value / 2 ** (bit & 7)) % 2 ** part.size;
    return part.signed && value >= 2 ** (part.size - 1) ? value - 2 ** part.size : value;
  }

  const isThere = (part, bytes) => part.bit + part.size * part.count <= bytes.length * 8;
  const numbers = (part, bytes) => Array.from({ length: part.count }, (_, index) => number(part, bytes, index));
  const hex = (byte) => byte.toString(16).padStart(2, "0");

  // Returns a value in words, or null if it is at rest.
  function words(part, bytes) {
    if (!isThere(part, bytes)) return part.kind === "padding" ? null : "not sent";
    if (part.size > 32) {
      const length = Math.ceil((part.size * part.count) / 8);
      const cut = (index) => ({ bit: part.bit + 8 * index, size: Math.min(8, part.size * part.count - 8 * index) });
      const all = Array.from({ length }, (_, index) => number(cut(index), bytes, 0));
      return part.kind === "padding" && all.every((byte) => byte === 0) ? null : all.map(hex).join(" ");
    }
    const all = numbers(part, bytes);
    if (part.names) return all.map((one) => part.names[one]).filter(Boolean).join(" + ") || null;
    if (part.count > 1) return all.some((one) => one !== 0) ? all.join(" ") : null;
    const [one] = all;
    if (part.kind === "padding" || part.low >= part.high || (part.low <= one && one <= part.high)) return one === 0 ? null : String(one);
    return `${one} ${part.null ? "(null)" : "(out of range)"}`;
  }

  function values(layout, bytes) {
    const report = layoutOf(layout, bytes);
    if (!report) return ["not declared"];
    const all = report.parts.map((part) => [part.name, words(part, bytes)]).filter(([, text]) => text !== null);
    return all.length ? all.map(([name, text]) => `${name}: ${text}`) : ["at rest"];
  }

  // ---- the table of reports ----

  function table(root, data) {
    const tools = root.querySelector(".tools");
    const [body, output, select] = ["tbody", "output", "select"].map((name) => root.querySelector(name));
    let chosen = data.sent.map((_, index) => index);
    let page = 0;

    const ids = [...new Set(data.sent.map((bytes) => idOf(data.sentLayout, bytes)))].sort((a, b) => a - b);
    ids.forEach((id) => (make("option", select, String(id)).value = id));
    select.parentElement.hidden = ids.length < 2;

    // Writes texts into an element. Those that `isMarked` says are marked.
    const fill = (parent, texts, between, isMarked) =>
      texts.forEach((text, index) => {
        if (index) parent.append(between);
        if (isMarked(text, index)) make("b", parent, text);
        else parent.append(text);
      });

    function cells(row, layout, bytes, other, otherValues, block) {
      const [raw, named] = block ?? ["bytes", "name"].map((name) => Object.assign(make("td", row), { className: name }));
      fill(raw, [...bytes].map(hex), " ", (_, index) => other && other[index] !== bytes[index]);
      fill(named, values(layout, bytes), ", ", (text) => otherValues && !otherValues.includes(text));
    }

    function previous(index) {
      const id = idOf(data.sentLayout, data.sent[index]);
      for (let at = index - 1; at >= 0; at--) if (idOf(data.sentLayout, data.sent[at]) === id) return data.sent[at];
      return null;
    }

    function line(index) {
      const row = make("tr", body);
      const [bytes, before] = [data.sent[index], previous(index)];
      row.dataset.index = index;
      make("td", row, String(index + 1));
      make("td", row, data.times[index].toFixed(6));
      cells(row, data.sentLayout, bytes, before, before && values(data.sentLayout, before));
      if (!data.fixed) return;
      const all = data.fixed[index];
      const own = values(data.sentLayout, bytes);
      // The same bytes can mean something else after the driver.
      const isSame = all.length === 1 && all[0] === bytes && values(data.fixedLayout, bytes).join() === own.join();
      if (isSame) return word(row, "same");
      if (!all.length) return word(row, "dropped");
      if (all.length === 1) return cells(row, data.fixedLayout, all[0], bytes, own);
      const pair = ["bytes", "name"].map((name) => Object.assign(make("td", row), { className: name }));
      all.forEach((one) => cells(row, data.fixedLayout, one, bytes, own, pair.map((cell) => make("div", cell))));
    }

    function word(row, text) {
      make("td", row, text).className = "quiet";
      make("td", row);
    }

    function show(to) {
      page = Math.max(0, Math.min(to, Math.ceil(chosen.length / ROWS) - 1));
      body.replaceChildren();
      chosen.slice(page * ROWS, (page + 1) * ROWS).forEach(line);
      state();
    }

    function state() {
      const last = Math.ceil(chosen.length / ROWS) - 1;
      output.textContent = `${page * ROWS + 1} to ${Math.min(chosen.length, (page + 1) * ROWS)} of ${chosen.length}`;
      const off = { first: page === 0, earlier: page === 0, later: page >= last, last: page >= last };
      tools.querySelectorAll("button").forEach((button) => (button.disabled = off[button.dataset.do]));
    }

    tools.addEventListener("click", ({ target }) => {
      const to = { first: 0, earlier: page - 1, later: page + 1, last: Infinity }[target.dataset.do];
      if (to !== undefined) show(to);
    });
    select.addEventListener("change", () => {
      const isChosen = (bytes) => select.value === "" || idOf(data.sentLayout, bytes) === Number(select.value);
      chosen = data.sent.flatMap((bytes, index) => (isChosen(bytes) ? [index] : []));
      show(0);
    });
    tools.hidden = false;
    state();

    // Shows the report that was sent at a time, or the next one.
    return (time) => {
      const at = Math.max(0, chosen.findIndex((index) => data.times[index] >= time));
      show(Math.floor(at / ROWS));
      const row = body.querySelector(`[data-index="${chosen[at]}"]`);
      row?.classList.add("here");
      row?.scrollIntoView({ block: "center" });
    };
  }

  // ---- plots ----

  // Returns what can be drawn of a side: one trace for each control that changes.
  function traces(data, layout, reportsAt) {
    const found = new Map();
    data.times.forEach((time, index) => {
      for (const bytes of reportsAt(index)) {
        const report = layoutOf(layout, bytes);
        report?.parts.forEach((part, place) => {
          if (part.size > 32 || part.kind === "padding" || !isThere(part, bytes)) return;
          const add = (name, key, value, isSwitch) => {
            const id = `${report.id} ${place} ${key}`;
            if (!found.has(id)) found.set(id, { name, isSwitch, report, times: [], values: [] });
            const trace = found.get(id);
            trace.times.push(time);
            trace.values.push(value);
          };
          const all = numbers(part, bytes);
          if (part.names) {
            for (const name of new Set(Object.values(part.names).filter(Boolean))) {
              add(name, name, all.some((one) => part.names[one] === name) ? 1 : 0, true);
            }
          } else {
            const isSwitch = part.kind === "switch";
            all.slice(0, 8).forEach((one, at) => add(part.count > 1 ? `${part.name} [${at}]` : part.name, at, one, isSwitch));
          }
        });
      }
    });
    const changing = [...found.values()].filter((trace) => trace.values.some((value) => value !== trace.values[0]));
    const ids = new Set(changing.map((trace) => trace.report.id));
    for (const trace of changing) {
      if (ids.size > 1) trace.name = `${trace.name} (report ${trace.report.id})`;
      trace.low = trace.values.reduce((a, b) => Math.min(a, b));
      trace.high = trace.values.reduce((a, b) => Math.max(a, b));
    }
    return { shown: changing.slice(0, MOST_TRACES), left: Math.max(0, changing.length - MOST_TRACES), still: found.size - changing.length };
  }

  // Returns the index of the last number that is not above a limit, or -1.
  function lastUpTo(sorted, limit) {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= limit) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  function plots(root, data, showReport) {
    const group = root.querySelector(".traces");
    const output = root.querySelector("output");
    const [first, end] = [data.times[0], data.times[data.times.length - 1]];
    // A recording without times has its reports at equal distances.
    if (end <= first) data.times = data.times.map((_, index) => index);
    const unit = end > first ? " s" : "";
    const whole = { from: data.times[0], to: Math.max(data.times[data.times.length - 1], data.times[0] + 1e-6) };
    let view = { ...whole };
    let cursor = null;
    const drawn = [];

    const sides = [["sent", data.sentLayout, (index) => [data.sent[index]], "--plot"]];
    if (data.fixed) sides.push(["fixed", data.fixedLayout, (index) => data.fixed[index], "--plot-fixed"]);
    for (const [name, layout, reportsAt, colour] of sides) {
      const side = group.querySelector(`[data-side="${name}"]`);
      const { shown, left, still } = traces(data, layout, reportsAt);
      for (const trace of shown) {
        const box = make("div", side);
        box.className = trace.isSwitch ? "trace switch" : "trace";
        const label = make("p", box);
        make("span", label, trace.name);
        const readout = make("span", label);
        readout.className = "quiet";
        drawn.push({ trace, colour, readout, canvas: make("canvas", box) });
      }
      const axis = make("div", side);
      axis.className = "trace axis";
      if (shown.length) drawn.push({ canvas: make("canvas", axis) });
      const counts = [left && `${left} more controls change`, still && `${still} controls never change`].filter(Boolean);
      make("p", side, counts.join(", ")).className = "quiet";
    }

    const x = (time, width) => ((time - view.from) / (view.to - view.from)) * width;
    const timeAt = (event) => {
      const box = event.target.getBoundingClientRect();
      return view.from + ((event.clientX - box.left) / box.width) * (view.to - view.from);
    };

    function draw() {
      const style = getComputedStyle(document.documentElement);
      const colourOf = (name) => style.getPropertyValue(name).trim();
      for (const { trace, colour, readout, canvas } of drawn) {
        const [width, height] = [canvas.clientWidth, canvas.clientHeight];
        if (!width) continue;
        const scale = window.devicePixelRatio || 1;
        [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
        const pen = canvas.getContext("2d");
        pen.scale(scale, scale);
        if (trace) {
          pen.strokeStyle = pen.fillStyle = colourOf(colour);
          (trace.isSwitch ? band : curve)(pen, trace, width, height);
          readout.textContent = reading(trace);
        } else {
          ticks(pen, width, colourOf("--quiet"));
        }
        if (cursor !== null && trace) {
          pen.fillStyle = colourOf("--quiet");
          pen.fillRect(Math.round(x(cursor, width)), 0, 1, height);
        }
      }
      output.textContent = `${view.from.toFixed(3)} to ${view.to.toFixed(3)}${unit}`;
      root.dataset.from = view.from;
      root.dataset.to = view.to;
    }

    function reading(trace) {
      const at = cursor === null ? -1 : lastUpTo(trace.times, cursor);
      if (at >= 0) return `${trace.values[at]} at ${trace.times[at].toFixed(3)}${unit}`;
      return trace.isSwitch ? "" : `${trace.low} to ${trace.high}`;
    }

    // The extremes of each column of pixels are drawn, so that a short peak is seen at any zoom.
    function curve(pen, trace, width, height) {
      const y = (value) => 3 + (1 - (value - trace.low) / (trace.high - trace.low)) * (height - 6);
      const start = Math.max(0, lastUpTo(trace.times, view.from));
      const stop = Math.min(trace.times.length - 1, lastUpTo(trace.times, view.to) + 1);
      const isDense = stop - start > width * 2;
      pen.lineWidth = 1.25;
      pen.beginPath();
      let column = -1;
      let last = y(trace.values[start]);
      for (let at = start; at <= stop; at++) {
        const [left, top] = [x(trace.times[at], width), y(trace.values[at])];
        if (isDense && Math.floor(left) === column && top === last) continue;
        column = Math.floor(left);
        at === start ? pen.moveTo(left, top) : (pen.lineTo(left, last), pen.lineTo(left, top));
        last = top;
      }
      pen.lineTo(x(trace.times[stop], width), last);
      pen.stroke();
      if (!isDense && stop - start < width / 8) {
        for (let at = start; at <= stop; at++) pen.fillRect(x(trace.times[at], width) - 1.5, y(trace.values[at]) - 1.5, 3, 3);
      }
    }

    function band(pen, trace, width, height) {
      const start = Math.max(0, lastUpTo(trace.times, view.from));
      for (let at = start; at < trace.times.length && trace.times[at] <= view.to; at++) {
        if (!trace.values[at]) continue;
        const until = at + 1 < trace.times.length ? trace.times[at + 1] : trace.times[at];
        const left = x(trace.times[at], width);
        pen.fillRect(left, 2, Math.max(1, x(until, width) - left), height - 4);
      }
    }

    function ticks(pen, width, colour) {
      const span = view.to - view.from;
      const rough = span / Math.max(2, Math.floor(width / 110));
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
      const digits = Math.max(0, Math.min(6, -Math.floor(Math.log10(step))));
      pen.fillStyle = colour;
      pen.font = "11px system-ui, sans-serif";
      for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
        const left = x(time, width);
        pen.fillRect(left, 0, 1, 4);
        const text = `${time.toFixed(digits)}${unit}`;
        if (left + pen.measureText(text).width + 3 < width) pen.fillText(text, left + 3, 13);
      }
    }

    let isPending = false;
    const later = () => {
      if (isPending) return;
      isPending = true;
      requestAnimationFrame(() => ((isPending = false), draw()));
    };

    // Shows these times, or as much of them as there is.
    function look(from, to) {
      const length = Math.min(Math.max(to - from, 1e-4), whole.to - whole.from);
      const start = Math.min(Math.max(from, whole.from), whole.to - length);
      view = { from: start, to: start + length };
      later();
    }
    function zoom(factor, around = (view.from + view.to) / 2) {
      look(around - (around - view.from) * factor, around + (view.to - around) * factor);
    }
    const move = (share) => look(view.from + share * (view.to - view.from), view.to + share * (view.to - view.from));
    const actions = {
      in: () => zoom(0.5),
      out: () => zoom(2),
      left: () => move(-0.25),
      right: () => move(0.25),
      all: () => look(whole.from, whole.to),
      report: () => showReport(cursor ?? view.from),
    };
    const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all", Home: "all", Escape: "all", Enter: "report" };

    root.querySelector(".tools").addEventListener("click", ({ target }) => actions[target.dataset.do]?.());
    group.addEventListener("keydown", (event) => {
      const action = keys[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      actions[action]();
    });
    group.addEventListener("wheel", (event) => {
      if (!event.ctrlKey || event.target.tagName !== "CANVAS") return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, timeAt(event));
    }, { passive: false });

    let pressed = null;
    group.addEventListener("pointerdown", (event) => {
      if (event.target.tagName !== "CANVAS" || event.button !== 0) return;
      pressed = { time: timeAt(event), at: event.clientX };
      event.target.setPointerCapture(event.pointerId);
    });
    group.addEventListener("pointerup", (event) => {
      if (!pressed) return;
      const { time, at } = pressed;
      pressed = null;
      if (event.target.tagName !== "CANVAS") return;
      if (Math.abs(event.clientX - at) > 4) look(Math.min(time, timeAt(event)), Math.max(time, timeAt(event)));
      else showReport(time);
    });
    group.addEventListener("pointermove", (event) => {
      if (event.target.tagName === "CANVAS") (cursor = timeAt(event)), later();
    });
    group.addEventListener("pointerleave", () => ((cursor = null), later()));
    window.addEventListener("resize", later);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
    root.hidden = !drawn.length;
    draw();
  }

  for (const root of document.querySelectorAll(".log")) {
    const data = load(root.dataset.device);
    const showReport = table(root, data);
    plots(document.querySelector(`.plots[data-device="${root.dataset.device}"]`), data, showReport);
  }
})();
