// The filters of tables, and what is folded opens for whoever is led to it; everything else on the page does without a script.
'use strict';

const unfold = (hash) => {
  const target = document.getElementById(hash.slice(1));
  if (target?.tagName === 'DETAILS') target.open = true;
};
document.addEventListener('click', ({ target }) => {
  const link = target.closest('a[href^="#"]');
  if (link) unfold(link.hash);
});
unfold(location.hash);

for (const bar of document.querySelectorAll('.filters')) {
  const table = document.getElementById(bar.dataset.table);
  const rows = [...table.querySelectorAll('tr[data-state]')];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const search = bar.querySelector('input[type=search]');
  const pills = [...bar.querySelectorAll('input[type=checkbox]')];
  const choices = [...bar.querySelectorAll('select')];
  const clear = bar.querySelector('button');
  const output = bar.querySelector('output');

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = pills.filter((pill) => pill.checked).map((pill) => pill.value);
    let shown = 0;
    for (const row of rows) {
      const fits = (states.length === 0 || states.includes(row.dataset.state))
        && choices.every(({ value, dataset }) => !value || row.dataset[dataset.name].split(' ').includes(value))
        && words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    for (const body of table.tBodies) {
      body.hidden = ![...body.rows].some((row) => row.dataset.state && !row.hidden);
    }
    const all = shown === rows.length;
    output.textContent = all ? `${rows.length} shown` : `${shown} of ${rows.length} shown`;
    clear.disabled = all;
  };
  const reset = () => {
    search.value = '';
    for (const pill of pills) pill.checked = false;
    for (const choice of choices) choice.value = '';
  };

  bar.addEventListener('input', apply);
  clear.addEventListener('click', () => { reset(); apply(); });
  // A count at the top leads to what it counts.
  for (const link of document.querySelectorAll(`a[data-show][data-table="${bar.dataset.table}"]`)) {
    link.addEventListener('click', () => {
      reset();
      for (const pill of pills) pill.checked = pill.value === link.dataset.show;
      apply();
    });
  }
  bar.hidden = false;
  apply();
}
