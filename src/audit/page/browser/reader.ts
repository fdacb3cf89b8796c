/**
 * The reading view of the audit's page, in the browser. One document is in the page at a time, a span for each token;
 * text enters the page as text nodes only. Everything else, the list and the controls, is there from the start.
 */
import type { PageData, PageDocument } from './page-data.js';
import { classesOf, describe, type Unit, unitsOf, visible } from './tokens.js';

const at = <T extends Element>(selector: string): T => {
  const found = document.querySelector<T>(selector);
  if (found === null) throw new Error(`the page lacks ${selector}`);
  return found;
};

const data: PageData = JSON.parse(at('#reading-data').textContent ?? '');
const reader = at<HTMLElement>('#reader');
const text = at<HTMLElement>('#text');
const card = at<HTMLElement>('#card');
const search = at<HTMLInputElement>('#search');
const which = at<HTMLSelectElement>('#which');
const items = [...document.querySelectorAll<HTMLElement>('#documents > li')];

let open = 0;
let units: Unit[] = [];
let spans: HTMLElement[] = [];
/** The span that Tab leads to. */
let focused = 0;

/** Puts a document into the page. */
function show(index: number): void {
  const doc = data.documents[index];
  const item = items[index];
  if (doc === undefined || item === undefined) return;
  open = index;
  items.forEach((one, i) => {
    one.querySelector('button')?.setAttribute('aria-current', String(i === index));
  });
  at('#document-name').textContent = item.dataset['name'] ?? '';
  at('#document-facts').textContent = item.dataset['facts'] ?? '';
  units = unitsOf(doc);
  const nodes: Node[] = [];
  let end = 0;
  spans = units.map((unit, i) => {
    if (unit.start > end) nodes.push(document.createTextNode(doc.text.slice(end, unit.start)));
    end = Math.max(end, unit.end);
    const span = document.createElement('span');
    const own = doc.text.slice(unit.start, unit.end);
    span.textContent = own;
    span.className = classesOf(doc, unit, data.maxWeight).join(' ');
    span.tabIndex = -1;
    span.dataset['unit'] = String(i);
    // Overrides of the writing direction end with their token.
    if (/[\u202a-\u202e\u2066-\u2069]/.test(own)) span.classList.add('isolated');
    if (own === '') span.dataset['mark'] = i === 0 ? 'start' : 'end';
    nodes.push(span);
    return span;
  });
  if (end < doc.text.length) nodes.push(document.createTextNode(doc.text.slice(end)));
  text.replaceChildren(...nodes);
  text.scrollTop = 0;
  focused = 0;
  if (spans[0] !== undefined) spans[0].tabIndex = 0;
  hideCard();
  markHits(doc);
}

function showCard(index: number): void {
  const [doc, unit, span] = [data.documents[open], units[index], spans[index]];
  if (doc === undefined || unit === undefined || span === undefined) return;
  const lines: HTMLElement[] = [];
  for (let token = unit.first; token <= unit.last; token++) {
    const head = document.createElement('strong');
    const own =
      visible(doc.text.slice(unit.start, unit.end)) || (index === 0 ? 'start of text' : 'end of text');
    const piece =
      unit.last > unit.first ? ` (piece ${token - unit.first + 1} of ${unit.last - unit.first + 1})` : '';
    head.textContent = `${own}${piece}`;
    const id = document.createElement('span');
    id.className = 'id';
    id.textContent = `token ${token}, id ${doc.ids[token] ?? '?'}`;
    lines.push(head, id);
    for (const [name, value] of describe(doc, token)) {
      const line = document.createElement('span');
      line.textContent = name === '' ? value : `${name} ${value}`;
      lines.push(line);
    }
  }
  card.replaceChildren(...lines);
  card.hidden = false;
  const [box, rects] = [card.getBoundingClientRect(), span.getClientRects()];
  const rect = rects[rects.length - 1] ?? span.getBoundingClientRect();
  const below = rect.bottom + 8 + box.height < innerHeight;
  card.style.left = `${Math.max(8, Math.min(rect.left, innerWidth - box.width - 8))}px`;
  card.style.top = `${below ? rect.bottom + 8 : Math.max(8, rect.top - 8 - box.height)}px`;
}

function hideCard(): void {
  card.hidden = true;
}

const unitOf = (target: EventTarget | null): number =>
  target instanceof HTMLElement && target.parentElement === text ? Number(target.dataset['unit'] ?? -1) : -1;

function focus(index: number): void {
  const [next, before] = [spans[index], spans[focused]];
  if (next === undefined) return;
  if (before !== undefined) before.tabIndex = -1;
  focused = index;
  next.tabIndex = 0;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
  showCard(index);
}

/** The unit on the next line (or the one before) that is nearest across. */
function across(step: 1 | -1): number {
  const middle = (span: HTMLElement | undefined) => {
    const { left, right, top, bottom } = span?.getBoundingClientRect() ?? new DOMRect();
    return { x: (left + right) / 2, y: (top + bottom) / 2, height: bottom - top };
  };
  const here = middle(spans[focused]);
  let [best, line] = [focused, Number.NaN];
  for (let i = focused + step; i >= 0 && i < spans.length; i += step) {
    const { x, y, height } = middle(spans[i]);
    if (Math.abs(y - here.y) < Math.min(height, here.height) / 2 || height === 0) continue;
    if (Number.isNaN(line)) [best, line] = [i, y];
    if (Math.abs(y - line) > height / 2) break;
    if (Math.abs(x - here.x) < Math.abs(middle(spans[best]).x - here.x)) best = i;
  }
  return best;
}

/** To the beginning of the next stretch (or the one before) whose tokens are all of a class. */
function jump(name: string, step: 1 | -1): void {
  const has = (i: number): boolean => spans[i]?.classList.contains(name) ?? false;
  let i = focused + step;
  if (step === 1) while (has(i - 1) && has(i)) i++;
  while (i >= 0 && i < spans.length && !(has(i) && !has(i - 1))) i += step;
  if (has(i)) focus(i);
}

function matcher(): RegExp | null {
  const wanted = search.value.trim();
  return wanted === '' ? null : new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), 'giu');
}

/** Where in the open document the words are: the spans that they lie in. */
function markHits(doc: PageDocument): void {
  for (const span of spans) span.classList.remove('hit');
  const pattern = matcher();
  if (pattern === null) return;
  let i = 0;
  for (const match of doc.text.matchAll(pattern)) {
    const end = match.index + match[0].length;
    while (i < units.length && (units[i]?.end ?? 0) <= match.index) i++;
    for (let j = i; j < units.length && (units[j]?.start ?? 0) < end; j++) spans[j]?.classList.add('hit');
  }
}

/** Leaves in the list what holds the words and is of the kind asked for. */
function filter(): void {
  const pattern = matcher();
  let [shown, hits] = [0, 0];
  items.forEach((item, i) => {
    const found = pattern === null ? 0 : [...(data.documents[i]?.text ?? '').matchAll(pattern)].length;
    const isKind = which.value === 'all' || (item.dataset['chosen'] ?? '').split(' ').includes(which.value);
    item.hidden = !isKind || (pattern !== null && found === 0);
    if (!item.hidden) shown++;
    if (!item.hidden) hits += found;
    const count = item.querySelector('.hits');
    if (count !== null) count.textContent = found === 0 ? '' : `${found} found`;
  });
  const documents = `${shown} of ${items.length} documents`;
  at('#found').textContent = pattern === null ? documents : `${hits} found in ${documents}`;
  const doc = data.documents[open];
  if (doc !== undefined) markHits(doc);
}

/** The next hit in the open document, else the first in the next document that has one. */
function nextHit(): void {
  if (matcher() === null) return;
  const next = spans.findIndex((span, i) => i > focused && isFirstHit(span, i));
  if (next >= 0) {
    focus(next);
    return;
  }
  for (let step = 1; step <= items.length; step++) {
    const index = (open + step) % items.length;
    if (items[index]?.hidden !== false) continue;
    show(index);
    const first = spans.findIndex((span) => span.classList.contains('hit'));
    if (first >= 0) focus(first);
    return;
  }
}

const isFirstHit = (span: HTMLElement, i: number): boolean =>
  span.classList.contains('hit') && !(spans[i - 1]?.classList.contains('hit') ?? false);

const keys: Readonly<Record<string, () => void>> = {
  ArrowRight: () => focus(focused + 1),
  ArrowLeft: () => focus(focused - 1),
  ArrowDown: () => focus(across(1)),
  ArrowUp: () => focus(across(-1)),
  Home: () => focus(0),
  End: () => focus(spans.length - 1),
  d: () => jump('dropped', 1),
  D: () => jump('dropped', -1),
  k: () => jump('kept', 1),
  K: () => jump('kept', -1),
};

text.addEventListener('keydown', (event) => {
  const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
  if (act === undefined) return;
  event.preventDefault();
  act();
});
text.addEventListener('focusin', ({ target }) => {
  const index = unitOf(target);
  if (index >= 0) showCard(index);
});
text.addEventListener('focusout', hideCard);
text.addEventListener('pointerover', ({ target, pointerType }) => {
  const index = unitOf(target);
  if (index >= 0 && pointerType !== 'touch') showCard(index);
});
text.addEventListener('pointerleave', hideCard);
text.addEventListener('click', ({ target }) => {
  const index = unitOf(target);
  if (index >= 0 && getSelection()?.isCollapsed !== false) focus(index);
});
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') hideCard();
});
addEventListener('scroll', () => {
  if (document.activeElement?.parentElement !== text) hideCard();
});
reader.addEventListener('change', ({ target }) => {
  if (target instanceof HTMLInputElement && target.name === 'mode') reader.dataset['mode'] = target.value;
});
reader.addEventListener('click', ({ target }) => {
  const button = target instanceof Element ? target.closest('button') : null;
  const { document: index, jump: kind, step } = button?.dataset ?? {};
  if (index !== undefined) show(Number(index));
  if (kind === 'hit') nextHit();
  else if (kind !== undefined) jump(kind, step === '-1' ? -1 : 1);
});
search.addEventListener('input', filter);
search.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter') return;
  event.preventDefault();
  nextHit();
});
which.addEventListener('change', filter);

/** Links to a document in the reading view: `#document-3`. */
function follow(): void {
  const index = Number(/^#document-(\d+)$/.exec(location.hash)?.[1] ?? -1);
  if (index < 0) return;
  show(index);
  reader.scrollIntoView();
}
addEventListener('hashchange', follow);

filter();
show(Number(reader.dataset['first'] ?? 0));
follow();
reader.classList.add('ready');
