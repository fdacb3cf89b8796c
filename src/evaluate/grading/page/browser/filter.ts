/** The graded items' page in the browser: shows the items of a kind, and those that hold some words. */

const at = <T extends Element>(selector: string): T => {
  const found = document.querySelector<T>(selector);
  if (found === null) throw new Error(`the page lacks ${selector}`);
  return found;
};

const kind = at<HTMLSelectElement>('#kind');
const search = at<HTMLInputElement>('#search');
const shown = at<HTMLElement>('#shown');
const items = [...document.querySelectorAll<HTMLElement>('#items > li')];
const texts = items.map((item) => (item.textContent ?? '').toLowerCase());

function filter(): void {
  const wanted = search.value.trim().toLowerCase();
  let count = 0;
  items.forEach((item, index) => {
    const kinds = (item.dataset['kinds'] ?? '').split(' ');
    item.hidden =
      (kind.value !== 'all' && !kinds.includes(kind.value)) || !(texts[index] ?? '').includes(wanted);
    if (!item.hidden) count++;
  });
  shown.textContent = `${count} of ${items.length} items`;
}

kind.addEventListener('change', filter);
search.addEventListener('input', filter);
filter();

export {};
