/* EvalHub's behaviour. Pages carry data attributes and nothing else; without this file they are plain links and forms.

   Keys        data-key="a" | "g r" | "?" | "mod+enter" | "arrowleft"
                            on a link, button or choice: that key presses it; data-key-too: a second one, not printed.
                            Arrows move within a group of choices that has the focus. Where several wait for one key, the drawer
                            comes before the bulk bar before the page. Single keys rest in fields, while a dialog or menu
                            is open, and with data-shortcuts="off" on <html>; "mod+enter" works in fields, and sends the
                            form it is in when no button asks for it.
               data-search  the field that / goes to; the page's own before the rail's.

   Lists       data-list    a table or list whose rows j and k walk along.
               data-row     one row; data-row-link its link (Enter opens it, o opens it as a page), data-row-check its
                            check box (x). In long lists .cell-link and .check are enough.
               data-drawer="drawer"  on the list: row links open in the element of that id, which holds
                            class "drawer" inside a .split, and the address gets ?result=ID.
               data-row-id  on the row: the ID; without it what follows the first hyphen of its id. Inside the drawer: data-drawer-close, data-drawer-next, data-drawer-prev.

   Selection   data-bulk    the form that the check boxes (data-row-check, form="…") belong to.
               data-bulkbar inside it or with data-bulkbar="FORM ID": shown while something is ticked; in it
                            data-bulk-count (text "N selected"), data-bulk-all (all that match: sets the form's hidden
                            input named "select" to "all"), data-bulk-clear. data-select-all: the box in the table's head.

   Dialogs     data-dialog-open="ID"  opens the <dialog> of this page. data-dialog-close closes the one it is in.
               data-dialog  on a link or a submit button of a GET form: its page is shown as a dialog
                            (htmx fills #dialog; the server sees HX-Target dialog#dialog).
               The event "close-dialog" (HX-Trigger) closes it.

   Menus       popover with role="menu"; the button has popovertarget. Arrows walk, Escape closes.
   Toasts      inside #toasts, gone after 10 s unless looked at; data-toast-close; an Undo button has data-key="u".
   Forms       data-autosubmit  a change sends the form. data-clean  empty fields stay out of a GET address.
               data-once    a second press while the first is on its way does nothing.
               data-confirm="Sentence?"  asks before it is sent.
   Comments    data-comment-turn="3"  chooses the turn in the comment form beside it, and goes there.
   Copying     data-copy="text or address"; without a value, the address of the page.
   Reviews     data-questions   holds .question fieldsets: arrow up and down choose one, digits answer it.
   Theme       data-theme-choice  a radio or select that shows its theme at once.
   htmx        fragments that fail show what the server said; a lost session leads to the login page; no answer at all
               becomes a toast. */

(() => {
  "use strict";

  const root = document.documentElement;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const on = (type, selector, handle) =>
    document.addEventListener(type, (event) => {
      const found = event.target.closest?.(selector);
      if (found) handle(event, found);
    });
  const isShown = (element) => element.checkVisibility?.({ visibilityProperty: true }) ?? element.offsetParent !== null;
  const isOff = (element) => element.disabled || element.getAttribute("aria-disabled") === "true";

  root.dataset.js = "";

  /* The reader's time zone, for the server to write times in. */
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`evalhub-zone=${zone}`)) {
    document.cookie = `evalhub-zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  }

  /* --- requests --- */

  let inFlight = 0;
  document.addEventListener("htmx:before:request", () => { inFlight += 1; });
  document.addEventListener("htmx:finally:request", () => { inFlight = Math.max(0, inFlight - 1); });

  document.addEventListener("htmx:before:response", (event) => {
    const { raw } = event.detail.ctx.response;
    const login = root.dataset.login;
    if (login && raw.redirected && new URL(raw.url).pathname === login && location.pathname !== login) {
      event.preventDefault();
      keepTyped(SIGNED_OUT);
      location.assign(`${login}?next=${encodeURIComponent(location.pathname + location.search)}`);
    } else if (raw.headers.get("X-Form-Expired") && !("again" in root.dataset)) {  // twice: cookies are forbidden
      event.preventDefault();
      keepTyped(EXPIRED);
      location.reload();
    }
  });

  document.addEventListener("htmx:error", (event) => {
    if (event.detail.error?.name === "AbortError" && event.detail.ctx?.request?.signal?.reason !== "timeout") return;
    toast("The server didn’t answer. Nothing was lost. Try again.");
  });

  /* The target is the source too: only then does the server hear its name (HX-Target). */
  const swap = (url, target) => window.htmx.ajax("GET", url, { target, source: target, swap: "innerHTML" });

  /* --- toasts --- */

  const SECONDS = 10;

  function toast(text) {
    const piece = $("#toast-failed").content.cloneNode(true);
    $("[data-toast-text]", piece).textContent = text;
    $("#toasts").append(piece);
  }

  function wane(element) {
    let timer;
    const start = () => { timer = setTimeout(() => element.remove(), SECONDS * 1000); };
    const stop = () => clearTimeout(timer);
    for (const type of ["pointerenter", "focusin"]) element.addEventListener(type, stop);
    for (const type of ["pointerleave", "focusout"]) element.addEventListener(type, () => { stop(); start(); });
    start();
  }

  function watchToasts() {
    const stack = $("#toasts");
    if (!stack) return;
    $$("[data-toast]", stack).forEach(wane);
    new MutationObserver((records) => {
      for (const record of records) {
        for (const node of record.addedNodes) {
          if (node.nodeType !== 1) continue;
          for (const here of $$("input[data-here]", node)) here.value = location.pathname + location.search;
          if (node.matches("[data-toast]")) wane(node);
        }
      }
    }).observe(stack, { childList: true });
  }

  on("click", "[data-toast-close]", (event, button) => button.closest("[data-toast]").remove());

  /* --- copying --- */

  on("click", "[data-copy]", async (event, button) => {
    event.preventDefault();
    const text = button.dataset.copy || location.href;
    const address = text.startsWith("/") || text.startsWith("?") ? new URL(text, location.href).href : text;
    try {
      await navigator.clipboard.writeText(address);
      toast("Copied.");
    } catch {
      toast(`The browser doesn’t let pages copy. The text is: ${address}`);
    }
    button.closest("[popover]")?.hidePopover();
  });

  on("click", "[data-reload]", (event) => {
    event.preventDefault();
    keepTyped("");
    location.reload();
  });

  /* --- dialogs --- */

  const openers = new WeakMap();

  function show(dialog, opener) {
    openers.set(dialog, opener ?? document.activeElement);
    if (!dialog.open) dialog.showModal();
  }

  document.addEventListener("close", (event) => {
    const opener = openers.get(event.target);
    if (opener?.isConnected && isShown(opener)) opener.focus();
    if (event.target.id === "dialog") event.target.replaceChildren();
  }, true);

  on("click", "[data-dialog-open]", (event, button) => {
    const dialog = document.getElementById(button.dataset.dialogOpen);
    if (!dialog) return;
    event.preventDefault();
    button.closest("[popover]")?.hidePopover();
    show(dialog, button);
  });

  on("click", "[data-dialog-close]", (event, button) => {
    const dialog = button.closest("dialog");
    if (!dialog?.open) return;
    event.preventDefault();
    dialog.close();
  });

  document.addEventListener("pointerdown", (event) => {
    const dialog = event.target;
    if (!dialog.matches?.("dialog[open]") || dialog.querySelector("form")) return;
    const box = dialog.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) dialog.close();
  });

  on("click", "[data-dialog]", (event, element) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented || isOff(element)) return;
    const dialog = $("#dialog");
    if (!dialog || !window.htmx) return;
    event.preventDefault();
    event.stopPropagation();
    element.closest("[popover]")?.hidePopover();
    const opener = element;
    swap(addressOf(element), dialog).then(() => {
      if (dialog.hasChildNodes()) show(dialog, opener);
    });
  });

  function nameByTitle(dialog) {
    const title = $("h1, h2", dialog);
    if (!title) return;
    title.id ||= "dialog-title";
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.removeAttribute("aria-label");
  }

  function addressOf(element) {
    if (element.matches("a")) return element.href;
    const form = element.form;
    const url = new URL(element.getAttribute("formaction") || form?.action || location.href, location.href);
    if (form) {
      for (const [name, value] of new FormData(form, element.type === "submit" ? element : null)) {
        if (typeof value === "string" && name !== "csrfmiddlewaretoken") url.searchParams.append(name, value);
      }
    }
    return url.href;
  }

  document.addEventListener("close-dialog", () => $$("dialog[open]").forEach((dialog) => dialog.close()));

  /* --- menus --- */

  document.addEventListener("toggle", (event) => {
    const menu = event.target;
    if (!menu.matches?.("[popover]")) return;
    const button = $(`[popovertarget="${CSS.escape(menu.id)}"]`);
    const opened = event.newState === "open";
    for (const each of $$(`[popovertarget="${CSS.escape(menu.id)}"]`)) each.setAttribute("aria-expanded", String(opened));
    if (opened && button) {
      place(menu, lastPressed?.getAttribute("popovertarget") === menu.id ? lastPressed : button);
      ($("[aria-current='true'][role='menuitem']", menu) ?? $("[role='menuitem'], input, select, a, button", menu))?.focus({ preventScroll: true });
    }
  }, true);

  let lastPressed = null;
  on("click", "[popovertarget]", (event, button) => { lastPressed = button; });

  function place(menu, button) {
    menu.dataset.placed = "";
    const at = button.getBoundingClientRect();
    const box = menu.getBoundingClientRect();
    const gap = 4;
    const below = at.bottom + gap + box.height <= innerHeight - 8 || at.top < box.height + gap;
    const left = at.left + box.width <= innerWidth - 8 ? at.left : at.right - box.width;
    menu.style.top = `${Math.max(8, below ? Math.min(at.bottom + gap, innerHeight - box.height - 8) : at.top - gap - box.height)}px`;
    menu.style.left = `${Math.max(8, Math.min(left, innerWidth - box.width - 8))}px`;
  }

  on("keydown", "[popover][role='menu']", (event, menu) => {
    const items = $$("[role='menuitem']", menu).filter(isShown);
    const here = items.indexOf(document.activeElement);
    const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined || !items.length || event.altKey) return;
    event.preventDefault();
    items[(next + items.length) % items.length].focus();
  });

  /* --- forms --- */

  /* A draft (data-draft="FORM" on what keeps it) is kept before the page goes, and no more once the form is handed in. */
  let unkept = null;
  const keeperOf = (form) => (form?.id ? $(`[data-draft="${CSS.escape(form.id)}"]`) : null);
  for (const kind of ["input", "change"]) document.addEventListener(kind, (event) => { unkept = keeperOf(event.target.form) ?? unkept; });
  document.addEventListener("htmx:before:request", (event) => {
    const keeper = event.target;
    if (!(keeper instanceof Element) || !keeper.dataset.draft) return;
    if (keeper.dataset.over) event.preventDefault();
    else unkept = null;
  });
  window.addEventListener("submit", (event) => {
    const keeper = keeperOf(event.target);
    if (!keeper || event.defaultPrevented) return;
    keeper.dataset.over = "true";
    unkept = null;
    window.htmx?.trigger(keeper, "htmx:abort");
  });
  window.addEventListener("pagehide", () => {
    const form = unkept && document.getElementById(unkept.dataset.draft);
    if (form) fetch(unkept.getAttribute("hx-post"), { method: "POST", body: new FormData(form), keepalive: true, headers: { "HX-Request": "true" } });
  });

  on("change", "[data-autosubmit]", (event, form) => form.requestSubmit());

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const sentence = event.submitter?.dataset.confirm ?? form.dataset.confirm;
    if (sentence && !window.confirm(sentence)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    if (form.matches("[data-once]")) {
      if (form.dataset.sent !== undefined) {
        event.preventDefault();
        event.stopImmediatePropagation();
        return;
      }
      form.dataset.sent = "";
      form.addEventListener("htmx:finally:request", () => { delete form.dataset.sent; }, { once: true });
    }
    if (form.matches("[data-clean]") && !event.defaultPrevented) {
      const empty = [...form.elements].filter((field) => field.name && field.value === "" && !field.disabled);
      for (const field of empty) field.disabled = true;
      setTimeout(() => { for (const field of empty) field.disabled = false; });
    }
  }, true);

  addEventListener("pageshow", () => { for (const form of $$("[data-sent]")) delete form.dataset.sent; });

  on("change", "[data-theme-choice]", (event) => {
    if (["light", "dark"].includes(event.target.value)) root.dataset.theme = event.target.value;
    else delete root.dataset.theme;
  });

  function focusMistake(within) {
    $("[aria-invalid='true']", within)?.focus();
  }

  /* --- what was typed when a session or a form ended: kept in this tab until the page is here again --- */

  const TYPED = "evalhub-typed";
  const SIGNED_OUT = "You had been signed out.";
  const EXPIRED = "The form had expired.";
  const shelf = (() => { try { return window.sessionStorage; } catch { return null; } })();  // browsers may forbid it
  const typedIn = new Set();
  for (const kind of ["input", "change"]) on(kind, "form[method='post'] *", (event, field) => { if (field.form) typedIn.add(field.form); });

  function keepTyped(why = null) {
    const forms = [...typedIn].filter((form) => form.isConnected && !$("[type='password'], [type='file']", form)).map((form) => ({
      action: form.getAttribute("action"),
      fields: [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken"),
    }));
    if (forms.length || why === EXPIRED) shelf?.setItem(TYPED, JSON.stringify({ at: location.pathname, forms, why }));
  }

  window.addEventListener("submit", (event) => { if (!event.defaultPrevented && root.dataset.login) keepTyped(); });

  function bringBack() {
    const login = root.dataset.login;
    const kept = shelf?.getItem(TYPED);
    if (!login || !kept) return;
    const { at, forms, why } = JSON.parse(kept);
    if ($("[data-expired]")) {
      shelf.setItem(TYPED, JSON.stringify({ at, forms, why: EXPIRED }));
      return;
    }
    shelf.removeItem(TYPED);
    const signedIn = document.referrer && new URL(document.referrer).pathname === login;
    const reason = why ?? (signedIn ? SIGNED_OUT : null);
    if (at !== location.pathname || reason === null) return;
    root.dataset.again = "";
    for (const { action, fields } of forms) {
      const form = $$("form[method='post']").find((each) => each.getAttribute("action") === action);
      if (!form) continue;
      for (const field of form.elements) {
        const values = fields.filter(([name]) => name === field.name).map(([, value]) => value);
        if (!field.name || field.type === "hidden") continue;
        if (field.matches("[type='radio'], [type='checkbox']")) field.checked = values.includes(field.value);
        else if (values.length) field.value = values[0];
      }
      form.dispatchEvent(new Event("change", { bubbles: true }));
    }
    if (reason || forms.length) toast(`${reason} ${forms.length ? "What you typed is here again." : "Nothing was changed: try it again."}`.trim());
  }

  /* --- selection --- */

  const ROW_CHECK = "input:is([data-row-check], [data-row] .check)";
  const boxesOf = (form) => $$(ROW_CHECK).filter((box) => box.form === form);
  const barOf = (form) => $("[data-bulkbar]", form) ?? $(`[data-bulkbar="${CSS.escape(form.id)}"]`);

  function countSelection(form) {
    const boxes = boxesOf(form);
    const ticked = boxes.filter((box) => box.checked);
    const all = form.elements.namedItem("select");
    for (const box of boxes) {
      const row = box.closest("[data-row]");
      row?.classList.toggle("is-selected", box.checked);
      if (box.checked) row?.setAttribute("aria-selected", "true");
      else row?.removeAttribute("aria-selected");
    }
    if (all && ticked.length < boxes.length) all.value = "";
    const bar = barOf(form);
    if (!bar) return;
    bar.classList.toggle("is-on", ticked.length > 0);
    const everything = all?.value === "all";
    const count = $("[data-bulk-count]", bar);
    if (count) count.textContent = everything ? `All ${count.dataset.bulkCount || ticked.length} selected` : `${ticked.length} selected`;
    const more = $("[data-bulk-all]", bar);
    if (more) more.hidden = everything || ticked.length < boxes.length;
    for (const head of $$("input[data-select-all]").filter((box) => box.form === form)) {
      head.checked = boxes.length > 0 && ticked.length === boxes.length;
      head.indeterminate = ticked.length > 0 && !head.checked;
    }
  }

  const countAll = () => $$("form[data-bulk]").forEach(countSelection);

  function clearSelection(form) {
    for (const box of boxesOf(form)) box.checked = false;
    countSelection(form);
  }

  let lastTicked = null;
  on("click", ROW_CHECK, (event, box) => {
    if (event.shiftKey && lastTicked && lastTicked.form === box.form) {
      const boxes = boxesOf(box.form);
      const [from, to] = [boxes.indexOf(lastTicked), boxes.indexOf(box)].sort((a, b) => a - b);
      if (from >= 0) for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
    }
    lastTicked = box;
    if (box.form) countSelection(box.form);
  });
  on("click", "input[data-select-all]", (event, head) => {
    for (const box of boxesOf(head.form)) box.checked = head.checked;
    countSelection(head.form);
  });
  on("click", "[data-bulk-all]", (event, link) => {
    const form = formOfBar(link);
    const all = form?.elements.namedItem("select");
    if (!all) return;
    event.preventDefault();
    all.value = "all";
    countSelection(form);
  });
  on("click", "[data-bulk-clear]", (event, button) => {
    const form = formOfBar(button);
    if (form) clearSelection(form);
  });

  function formOfBar(element) {
    const bar = element.closest("[data-bulkbar]");
    return bar?.closest("form") ?? (bar && document.getElementById(bar.dataset.bulkbar));
  }

  /* --- lists and the drawer --- */

  const rowsOf = (list) => $$("[data-row]", list).filter(isShown);
  const ROW_LINK = "[data-row-link], [data-row] .cell-link";
  const linkOf = (row) => $("[data-row-link], .cell-link", row);

  function currentList() {
    return document.activeElement?.closest?.("[data-list]") ?? $$("[data-list]").find(isShown) ?? null;
  }

  function currentRow(list) {
    return document.activeElement?.closest?.("[data-row]") ?? $("[data-row].is-open", list) ?? null;
  }

  function move(by) {
    const list = currentList();
    if (!list) return false;
    const rows = rowsOf(list);
    if (!rows.length) return false;
    const row = currentRow(list);
    const at = row ? rows.indexOf(row) : -1;
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
    if (!next) {
      if (isDrawerOpen(drawerOf(list))) turnPage(by);
      return true;
    }
    linkOf(next)?.focus();
    next.scrollIntoView({ block: "nearest" });
    if (isDrawerOpen(drawerOf(list))) openRow(list, next, true);
    return true;
  }

  function turnPage(by) {
    const link = $(`.pager a[rel="${by > 0 ? "next" : "prev"}"]`);
    if (!link) return;
    const url = new URL(link.href);
    url.searchParams.set("result", by > 0 ? "first" : "last");
    location.assign(url);
  }

  const drawerOf = (list) => (list?.dataset.drawer ? document.getElementById(list.dataset.drawer) : null);
  const isDrawerOpen = (drawer) => Boolean(drawer && !drawer.closest(".split")?.classList.contains("split--none") && drawer.hasChildNodes());
  const listOfDrawer = (drawer) => $(`[data-list][data-drawer="${CSS.escape(drawer.id)}"]`);

  function mark(list, row) {
    for (const each of $$("[data-row].is-open", list)) {
      if (each === row) continue;
      each.classList.remove("is-open");
      each.removeAttribute("aria-current");
    }
    row?.classList.add("is-open");
    row?.setAttribute("aria-current", "true");
  }

  function withResult(id) {
    const url = new URL(location.href);
    if (id) url.searchParams.set("result", id);
    else url.searchParams.delete("result");
    return url.pathname + url.search + url.hash;
  }

  const idOf = (row) => row.dataset.rowId ?? row.id.replace(/^[a-z]+-/, "");

  function openRow(list, row, replace = false) {
    const drawer = drawerOf(list);
    const link = linkOf(row);
    if (!drawer || !link) return;
    const wasOpen = isDrawerOpen(drawer);
    drawer.closest(".split")?.classList.remove("split--none");
    drawer.setAttribute("aria-busy", "true");
    mark(list, row);
    const address = withResult(idOf(row));
    if (!history.state?.htmx) history.replaceState({ htmx: true }, "", location.href);
    if (replace || wasOpen) history.replaceState({ htmx: true }, "", address);
    else history.pushState({ htmx: true }, "", address);
    if (matchMedia("(width < 68rem)").matches) drawer.focus();
    swap(link.href, drawer).finally(() => drawer.removeAttribute("aria-busy"));
  }

  function closeDrawer(drawer, { silently = false } = {}) {
    const list = listOfDrawer(drawer);
    const row = list && $("[data-row].is-open", list);
    drawer.closest(".split")?.classList.add("split--none");
    window.htmx?.trigger(drawer, "htmx:abort");
    drawer.replaceChildren();
    if (list) mark(list, null);
    if (!silently) history.replaceState({ htmx: true }, "", withResult(null));
    const link = row && linkOf(row);
    link?.focus();
    row?.scrollIntoView({ block: "nearest" });
  }

  on("click", ROW_LINK, (event, link) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    const list = link.closest("[data-list]");
    if (!drawerOf(list) || !window.htmx) return;
    event.preventDefault();
    openRow(list, link.closest("[data-row]"));
  });

  on("click", "[data-row]", (event, row) => {
    if (event.target.closest("a, button, input, select, textarea, label, summary, [popover]") || String(getSelection())) return;
    linkOf(row)?.click();
  });

  on("click", "[data-drawer-close]", (event, button) => {
    const drawer = button.closest(".drawer");
    if (!drawer) return;
    event.preventDefault();
    closeDrawer(drawer);
  });
  on("click", "[data-drawer-next]", (event) => { event.preventDefault(); move(1); });
  on("click", "[data-drawer-prev]", (event) => { event.preventDefault(); move(-1); });

  /* Back and forward between states that differ only in the open drawer need no new page. */
  document.addEventListener("htmx:before:history:restore", (event) => {
    const list = $("[data-list][data-drawer]");
    const drawer = drawerOf(list);
    const wanted = new URL(event.detail.path, location.href);
    if (!drawer || wanted.pathname !== listedAt.pathname || otherParameters(wanted) !== otherParameters(listedAt)) return;
    const id = wanted.searchParams.get("result");
    const row = id && rowsOf(list).find((each) => idOf(each) === id);
    if (id && !row) return;
    event.preventDefault();
    if (row) openRow(list, row, true);
    else closeDrawer(drawer, { silently: true });
  });

  const listedAt = new URL(location.href);
  const openAtFirst = $("[data-list][data-drawer] .is-open");
  if (openAtFirst) {
    openAtFirst.scrollIntoView({ block: "nearest" });
    history.replaceState(history.state, "", withResult(idOf(openAtFirst))); // it may have been asked for as "first"
  }

  function otherParameters(url) {
    const rest = new URLSearchParams(url.search);
    rest.delete("result");
    return rest.toString();
  }

  /* Fragments replace rows while one is open, ticked or has the focus. */
  let focusedRow = null;
  let focusedKey = null; // of a control in the drawer, whose content a verdict replaces
  let readSoFar = null; // of the result in the drawer
  document.addEventListener("htmx:before:swap", (event) => {
    // What was resized or placed has a style; htmx would copy it as an attribute, which the policy forbids.
    const target = event.detail.ctx?.target;
    if (target instanceof Element) for (const each of $$("[id][style]", target)) each.removeAttribute("style");
    const shown = target instanceof Element && target.matches(".drawer") && $("[id^='verdicts-']", target);
    readSoFar = shown ? { of: shown.id, top: $(".drawer__body", target)?.scrollTop } : null;
    focusedRow = document.activeElement?.closest?.("[data-row]")?.id ?? null;
    if (document.activeElement?.closest?.(".drawer")) focusedKey = document.activeElement.dataset.key ?? "";
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx?.target;
    const row = focusedRow && document.getElementById(focusedRow);
    const lost = document.activeElement === document.body || !document.activeElement;
    if (row && lost) linkOf(row)?.focus();
    else if (lost && focusedKey !== null) focusInDrawer(focusedKey);
    focusedKey = null;
    countAll();
    const same = readSoFar && document.getElementById(readSoFar.of)?.closest(".drawer");
    if (same) $(".drawer__body", same).scrollTop = readSoFar.top;
    readSoFar = null;
    const list = $("[data-list][data-drawer]");
    const id = new URL(location.href).searchParams.get("result");
    if (list && id && isDrawerOpen(drawerOf(list))) {
      const opened = $$("[data-row]", list).find((each) => idOf(each) === id);
      if (opened) mark(list, opened);
    }
    if (!(target instanceof Element) || !target.isConnected) return;
    if (target.id === "dialog") nameByTitle(target);
    focusMistake(target);
  });

  function focusInDrawer(key) {
    const drawer = $$(".drawer").find(isDrawerOpen);
    const same = key && $(`[data-key="${CSS.escape(key)}"]`, drawer);
    (same || drawer)?.focus({ preventScroll: true });
  }

  on("click", "[data-comment-turn]", (event, link) => {
    const form = $(".comment-form", link.closest(".drawer") ?? document);
    if (!form || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const turn = form.elements.namedItem("turn");
    if (turn) turn.value = link.dataset.commentTurn;
    $("textarea", form)?.focus();
  });

  /* --- questions of a review --- */

  function activate(container, question) {
    for (const each of $$(".question", container)) each.classList.toggle("is-active", each === question);
    question.scrollIntoView({ block: "nearest" });
  }

  function moveQuestion(by) {
    const container = $("[data-questions]");
    if (!container) return false;
    const questions = $$(".question", container).filter(isShown);
    const at = questions.findIndex((each) => each.classList.contains("is-active"));
    const next = questions[Math.min(Math.max(at + by, 0), questions.length - 1)];
    if (next) activate(container, next);
    return Boolean(next);
  }

  function answer(digit) {
    const question = $("[data-questions] .question.is-active");
    const choice = question && $$("input[type='radio'], input[type='checkbox']", question)[digit - 1];
    choice?.click();
    return Boolean(choice);
  }

  on("focusin", "[data-questions] .question", (event, question) => activate(question.closest("[data-questions]"), question));

  /* --- keys --- */

  const writes = (element) =>
    element?.matches?.("input:not([type='checkbox'], [type='radio'], [type='button'], [type='submit'], [type='reset'], [type='file'], [type='range'], [type='color']), select, textarea, [contenteditable]:not([contenteditable='false'])");
  const isAside = () => Boolean($("dialog[open]")) || $$("[popover]").some((menu) => menu.matches(":popover-open"));

  let prefix = "";
  let prefixTimer;

  function pressed(name, within = document) {
    const waiting = $$(`[data-key="${CSS.escape(name)}"], [data-key-too="${CSS.escape(name)}"]`, within).filter((element) => (isShown(element) || element.matches("input")) && !isOff(element));
    return waiting.find((element) => element.closest(".drawer")) ?? waiting.find((element) => element.closest("[data-bulkbar]")) ?? waiting[0];
  }

  function press(element, event) {
    event.preventDefault();
    if (element.matches("input:not([type='checkbox'], [type='radio'], [type='submit']), select, textarea")) element.focus();
    else element.click();
  }

  function nameOf(event) {
    const modifier = event.ctrlKey || event.metaKey ? "mod+" : "";
    return modifier + (event.key.length === 1 && !modifier ? event.key : event.key.toLowerCase());
  }

  function escape(event) {
    const drawer = $$(".drawer").find(isDrawerOpen);
    if (writes(event.target)) {
      event.target.blur();
      if (drawer?.contains(event.target)) drawer.focus();
      return;
    }
    if (drawer && listOfDrawer(drawer)) {
      event.preventDefault();
      closeDrawer(drawer);
      return;
    }
    const ticked = $$("form[data-bulk]").find((form) => boxesOf(form).some((box) => box.checked));
    if (ticked) clearSelection(ticked);
  }

  const ROW_KEYS = {
    j: () => move(1),
    k: () => move(-1),
    x: (row) => { const box = row && $("[data-row-check], .check", row); box?.click(); return Boolean(box); },
    o: (row) => { const link = row && linkOf(row); if (link) location.assign(link.href); return Boolean(link); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey || event.key === "Dead") return;
    const name = nameOf(event);

    if (name === "mod+enter") {
      if (event.repeat) return;
      const scope = $("dialog[open]") ?? document;
      const form = event.target.closest?.("form");
      const button = (form && $$("[data-key='mod+enter']", scope).find((each) => each.form === form)) ?? (form ? null : pressed("mod+enter", scope));
      if (button && !isOff(button)) press(button, event);
      else if (form) { event.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (isAside()) return;
    if (name === "escape") { escape(event); return; }
    if (event.ctrlKey || event.metaKey || writes(event.target) || root.dataset.shortcuts === "off") return;
    if (event.repeat && (inFlight > 0 || !"jk".includes(name))) { if ("jk".includes(name)) event.preventDefault(); return; }

    if (name.startsWith("arrow") && event.target.matches?.("input[type='radio']")) return;
    const sequence = prefix && `${prefix} ${name}`;
    clearTimeout(prefixTimer);
    prefix = "";
    const found = (sequence && pressed(sequence)) || pressed(name);
    if (found) { press(found, event); return; }
    const way = sequence && root.dataset[`go${name.toUpperCase()}`];  // where there is no rail to press
    if (way && sequence.startsWith("g ")) { event.preventDefault(); location.assign(way); return; }
    if (!sequence && (name === "g" || $(`[data-key^="${CSS.escape(name)} "]`))) {
      prefix = name;
      prefixTimer = setTimeout(() => { prefix = ""; }, 1200);
      return;
    }
    if (name === "/") {
      const field = $$("main [data-search]").find(isShown) ?? $$("[data-search]").find(isShown);
      if (field) { event.preventDefault(); field.focus(); field.select(); }
      return;
    }
    const list = currentList();
    if (ROW_KEYS[name]?.(list && currentRow(list))) { event.preventDefault(); return; }
    if (/^[1-9]$/.test(name) && answer(Number(name))) { event.preventDefault(); return; }
    const up = name === "arrowup" ? -1 : name === "arrowdown" ? 1 : 0;
    if (up && moveQuestion(up)) event.preventDefault();
  });

  /* --- start --- */

  document.addEventListener("DOMContentLoaded", () => {
    setTimeout(() => { root.dataset.ready = ""; });  // htmx starts in a timer too, which runs before this one
    watchToasts();
    countAll();
    setTimeout(bringBack);
    const mistake = $("[aria-invalid='true']");
    if (mistake) mistake.focus();
    const open = $("[data-list] [data-row].is-open");
    open?.scrollIntoView({ block: "nearest" });
    const first = $("[data-questions] .question:not(.is-active)");
    if (first && !$("[data-questions] .question.is-active")) first.classList.add("is-active");
  });
})();
