// The table of stamps in the browser: clicks, keys, and answers that show once they are on disk.
// `element`, `server`, `trigger` and `watch` are Gradio's (gr.HTML, js_on_load).
const table = () => element.querySelector(".light-table");
const stamps = () => [...element.querySelectorAll(".stamp")];
let cursor = 0;
let queue = Promise.resolve(); // answers reach the server in the order in which they were given

window.galvmListeners?.abort();
window.galvmListeners = new AbortController();
const listening = { signal: window.galvmListeners.signal };

function place(index, scroll = true) {
  const all = stamps();
  if (!all.length) return;
  cursor = Math.max(0, Math.min(index, all.length - 1));
  all.forEach((stamp, at) => stamp.classList.toggle("here", at === cursor));
  if (scroll) all[cursor].scrollIntoView({ block: "nearest" });
}

function tell(text, isError = false) {
  const status = element.querySelector(".status");
  if (!status) return;
  status.querySelector(".told")?.remove();
  if (!text) return;
  const told = document.createElement("span");
  told.className = isError ? "told error" : "told";
  if (isError) told.setAttribute("role", "alert");
  told.textContent = text;
  status.append(told);
}

async function ask(verb, facts) {
  const { session, who } = table().dataset;
  let reply;
  try {
    reply = await server[verb]({ session, who, ...facts });
  } catch {
    reply = undefined;
  }
  reply ??= { error: "The server did not answer, and nothing was kept. Is it still running?" };
  if (reply.status) element.querySelector(".status").innerHTML = reply.status;
  if (reply.error) tell(reply.error, true);
  else if (reply.told) tell(reply.told);
  if (reply.id !== undefined) {
    const stamp = stamps().find((one) => one.dataset.id === reply.id);
    if (stamp) stamp.dataset.answer = reply.answer;
  }
}

function send(verb, facts, stamp) {
  stamp?.classList.add("waiting");
  queue = queue.then(() => ask(verb, facts)).finally(() => stamp?.classList.remove("waiting"));
}

function answer(stamp, yes) {
  stamp.dataset.wanted = yes ? "yes" : "no";
  send("answer", { id: stamp.dataset.id, answer: yes }, stamp);
}

const look = (id) => trigger("look", { id });
const similar = (id) => trigger("similar", { id });

document.addEventListener(
  "click",
  (event) => {
    const closer = event.target.closest("[data-look]");
    const alike = event.target.closest("[data-similar]");
    if (closer) return look(closer.dataset.look);
    if (alike) return similar(alike.dataset.similar);
    const stamp = event.target.closest(".stamp");
    if (!stamp || !element.contains(stamp)) return;
    place(stamps().indexOf(stamp), false);
    const shown = stamp.classList.contains("waiting") ? stamp.dataset.wanted : stamp.dataset.answer;
    answer(stamp, shown !== "yes");
  },
  listening,
);

// The stamp above or below: that of the next row whose middle is closest.
function vertical(direction) {
  const all = stamps().map((stamp) => stamp.getBoundingClientRect());
  const here = all[cursor];
  const rows = all
    .map((box, index) => ({ index, down: direction * (box.top - here.top), across: Math.abs(box.left - here.left) }))
    .filter((one) => one.down > here.height / 2)
    .sort((a, b) => a.down - b.down || a.across - b.across);
  if (!rows.length) return;
  const row = rows.filter((one) => one.down < rows[0].down + here.height / 2).sort((a, b) => a.across - b.across);
  place(row[0].index);
}

const keys = {
  ArrowRight: () => place(cursor + 1),
  ArrowLeft: () => place(cursor - 1),
  ArrowDown: () => vertical(1),
  ArrowUp: () => vertical(-1),
  y: (stamp) => (answer(stamp, true), place(cursor + 1)),
  n: (stamp) => (answer(stamp, false), place(cursor + 1)),
  u: () => send("undo", {}),
  m: (stamp) => similar(stamp.dataset.id),
  " ": (stamp) => look(stamp.dataset.id),
  Enter: () => (queue = queue.then(() => trigger("next"))), // once all answers are on disk
};

document.addEventListener(
  "keydown",
  (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !table()) return;
    const at = event.target;
    const isInTable = element.contains(at);
    if (event.key === "Escape") return at.blur();
    if (!isInTable && at.closest("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (!isInTable && at.closest("button, a, summary, [role=tab], input") && !/^[ynum]$/i.test(event.key)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const stamp = stamps()[cursor];
    if (!keys[key] || (keys[key].length && !stamp)) return;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) keys[key](stamp);
  },
  listening,
);

function arrived() {
  if (!table()) return;
  const address = new URL(window.location);
  for (const key of ["session", "who"]) address.searchParams.set(key, table().dataset[key]);
  window.history.replaceState(null, "", address); // so that loading the page again comes back here
  const open = stamps().findIndex((stamp) => !stamp.dataset.answer);
  place(Math.max(open, 0), false);
}
watch("value", arrived);
arrived();

clearInterval(window.galvmClock);
window.galvmClock = setInterval(() => {
  const lease = element.querySelector(".lease[data-until]");
  if (!lease) return;
  const left = Math.max(0, Math.round(lease.dataset.until - Date.now() / 1000));
  const minutes = Math.floor(left / 60);
  lease.textContent = left ? `yours for ${minutes}:${String(left % 60).padStart(2, "0")}` : "others may be asked about these now";
}, 1000);
