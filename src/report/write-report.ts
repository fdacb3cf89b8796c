import { type Html, html } from '../plot/html.js';
import { linePlot } from '../plot/line-plot.js';
import { page, plots, table } from '../plot/page.js';
import type { Storage } from '../storage/storage.js';
import { evaluationSection } from './evaluations.js';
import { heldOutSection } from './held-out.js';
import { loadSection } from './load-section.js';
import { readArms } from './read-runs.js';
import type { Section } from './section.js';
import type { ReportSettings } from './settings.js';

/** A folder or file that a reader of the report may look for. */
export interface NamedPath {
  readonly name: string;
  readonly what: string;
  readonly path: string;
}

export interface WrittenReport {
  readonly path: string;
  readonly sections: readonly Section[];
  readonly seconds: number;
}

export interface ReportOptions {
  readonly storage: Storage;
  /** What the report lists at its end. */
  readonly files: readonly NamedPath[];
}

/**
 * Compares the arms on every held-out set, adds the sections of the user's modules, and writes the page.
 * @throws TokensieveError `no-held-out`, `section-failed` (usage); errors of unreadable runs and of the disk
 */
export async function writeReport(settings: ReportSettings, options: ReportOptions): Promise<WrittenReport> {
  const began = performance.now();
  const arms = await readArms(settings);
  const sets = [...(arms[0]?.heldOut.keys() ?? [])];
  const sections = [
    ...sets.map((set) => heldOutSection(set, arms, settings.baseline)),
    ...(settings.evaluations.length > 0
      ? [await evaluationSection(options.storage, settings.evaluations)]
      : []),
    ...(await Promise.all(settings.sections.map((one) => loadSection(one.module, one.options)))),
    filesSection(options.files),
  ];
  const file = await options.storage.stage(settings.out, { alone: true });
  try {
    await file.write(Buffer.from(page(settings.title, html`${sections.map(sectionHtml)}`)));
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
  return { path: settings.out, sections, seconds: (performance.now() - began) / 1000 };
}

function filesSection(files: readonly NamedPath[]): Section {
  return {
    title: 'Files',
    notes: [],
    table: {
      columns: [{ title: 'stage' }, { title: 'made' }, { title: 'lies in' }],
      rows: files.map(({ name, what, path }) => [name, what, path]),
    },
  };
}

function sectionHtml(section: Section): Html {
  const { title, notes, plot } = section;
  const drawing = plot && {
    title: plot.title,
    x: { label: plot.x },
    y: { label: plot.y },
    series: plot.series.map(({ name, group, points }) => ({ name, points, colour: group, dash: group })),
  };
  return html`<section>
<h2>${title}</h2>
${notes.map((note) => html`<p>${note}</p>`)}
${drawing ? plots([linePlot(drawing)]) : ''}
${section.table ? table(section.table.columns, section.table.rows) : ''}
</section>
`;
}
