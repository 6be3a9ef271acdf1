// Filters the table of devices by id or name, vendor and status. Without JavaScript the page shows the whole table.
"use strict";

(() => {
  const table = [...document.querySelectorAll("main table")].find((table) => {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    return heads.includes("ids") && heads.includes("status");
  });
  if (!table) return;

  const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
  const column = (name) => heads.indexOf(name);
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => {
    const cell = (name) => row.cells[column(name)].textContent.trim();
    const ids = cell("ids");
    return {
      row,
      text: row.textContent.toLowerCase(),
      // "usb 256C:0060, bluetooth 256C:8251" has the vendor 256C; "any" has none.
      vendors: new Set([...ids.matchAll(/\b([0-9A-F]{4}):[0-9A-F]{4}\b/g)].map((match) => match[1])),
      // The maker's name is the first word of the device's name.
      maker: cell("device").split(/\s/)[0],
      status: cell("status").split(/[\s,]/)[0],
    };
  });

  const makers = new Map();
  for (const { vendors, maker } of rows) {
    for (const vendor of vendors) {
      makers.set(vendor, (makers.get(vendor) ?? new Set()).add(maker));
    }
  }
  const vendors = [...makers].map(([vendor, names]) => [vendor, `${[...names].join(", ")} (${vendor})`]);
  vendors.sort((one, other) => one[1].localeCompare(other[1]));
  const statuses = [...new Set(rows.map(({ status }) => status))].sort().map((status) => [status, status]);

  const form = document.createElement("form");
  form.className = "devices-filter";
  const field = (text, element) => {
    const label = document.createElement("label");
    label.append(text, element);
    form.append(label);
    return element;
  };
  const choice = (options) => {
    const select = document.createElement("select");
    select.append(...[["", "any"], ...options].map(([value, text]) => new Option(text, value)));
    return select;
  };
  const words = field("Id or name", Object.assign(document.createElement("input"), { type: "search", placeholder: "256c:0066" }));
  const vendor = field("Vendor", choice(vendors));
  const status = field("Status", choice(statuses));
  const count = document.createElement("output");
  form.append(count);

  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter((word) => word);
    let shown = 0;
    for (const one of rows) {
      const fits =
        wanted.every((word) => one.text.includes(word)) &&
        (!vendor.value || one.vendors.has(vendor.value)) &&
        (!status.value || one.status === status.value);
      one.row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} drivers`;
  };
  // `devices/?q=256c&vendor=256C&status=stable` begins with that filter.
  const query = new URLSearchParams(location.search);
  words.value = query.get("q") ?? "";
  vendor.value = query.get("vendor") ?? "";
  status.value = query.get("status") ?? "";
  form.addEventListener("input", filter);
  // mdBook's own keys, such as S for search, must not act while somebody types here.
  form.addEventListener("keydown", (event) => event.stopPropagation());
  form.addEventListener("submit", (event) => event.preventDefault());
  (table.closest(".table-wrapper") ?? table).before(form);
  filter();
})();
