/** OUT/report.html: a run's curves and figures on one page that needs nothing else, from OUT/metrics.jsonl. */
import { join } from 'node:path';
import { isJsonObject, type JsonObject } from '../../json/canonical-json.js';
import { html } from '../../plot/html.js';
import { type LinePlot, linePlot, MAX_POINTS } from '../../plot/line-plot.js';
import { page, plots, table } from '../../plot/page.js';
import { localStorage } from '../../storage/local.js';
import { readMetrics } from '../metrics.js';
import { METRICS_FILE, REPORT_FILE } from '../run-files.js';
import { type Curve, type Curves, gatherCurves } from './curves.js';

/**
 * Writes the report of a run, replacing one that is there.
 * @param settings of the run, listed field by field
 * @returns its path
 * @throws input `bad-metrics`, and what storage throws
 */
export async function writeTrainingReport(out: string, settings: JsonObject): Promise<string> {
  const path = join(out, REPORT_FILE);
  const curves = await gatherCurves(readMetrics(join(out, METRICS_FILE)));
  const file = await localStorage().stage(path, { alone: true });
  try {
    await file.write(Buffer.from(trainingReport(curves, settings)));
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
  return path;
}

/** The page itself. */
export function trainingReport(curves: Curves, settings: JsonObject): string {
  const drawings = [
    lossPlot('Training loss', curves.losses),
    ...(curves.heldOut.length > 0 ? [lossPlot('Held-out loss', curves.heldOut)] : []),
    figurePlot('Kept share', 'share of eligible tokens', curves.keptShare, [0, 1]),
    figurePlot('Gradient norm', 'global norm before clipping', curves.gradientNorm, [0]),
    figurePlot('Learning rate', 'of AdamW', curves.learningRate, [0]),
  ];
  return page(
    'Training run',
    html`<h2>Result</h2>
${table([{ title: 'Figure' }, { title: 'Value', number: true }], resultRows(curves))}
<h2>Curves</h2>
<p class="note">Against tokens seen (targets of the loss). A line of more than ${MAX_POINTS} steps is drawn as means
of neighbouring steps, in a band from the lowest to the highest of them. Losses are means in nats a token.</p>
${plots(drawings.map((plot) => linePlot(plot)))}
<h2>Settings</h2>
${table([{ title: 'Setting' }, { title: 'Value' }], settingRows(settings))}`,
  );
}

const tokens = { label: 'tokens seen', include: [0] };

const lossPlot = (title: string, series: readonly Curve[]): LinePlot => ({
  title,
  x: tokens,
  y: { label: 'loss (nats a token)' },
  series,
});

const figurePlot = (title: string, label: string, curve: Curve, include: readonly number[]): LinePlot => ({
  title,
  x: tokens,
  y: { label, include },
  series: [curve],
});

/** Thousands apart by thin spaces, four decimals at most. */
const figure = (value: number): string =>
  new Intl.NumberFormat('en', { maximumFractionDigits: 4 }).format(value).replaceAll(',', '\u202f');

function resultRows({ last, seconds, heldOut }: Curves): (readonly [string, string])[] {
  if (last === null) return [['Steps', '0']];
  const loss = (name: string, value: number | null): (readonly [string, string])[] =>
    value === null ? [] : [[`${name} (nats)`, figure(value)]];
  return [
    ['Steps', figure(last.step)],
    ['Tokens seen', figure(last.tokens)],
    ...(last.empty_steps === undefined
      ? []
      : [['Steps that kept no token and moved nothing', figure(last.empty_steps)] as const]),
    ...loss('Last step’s loss, all tokens', last.loss),
    ...loss('Last step’s loss, selected tokens', last.loss_selected),
    ...loss('Last step’s loss, unselected tokens', last.loss_unselected),
    ...heldOut.flatMap(({ name, points }) =>
      loss(`Held-out loss, ${name}, last measured`, points.at(-1)?.[1] ?? null),
    ),
    ['Seconds of training', figure(seconds)],
    ...(seconds > 0 ? [['Tokens a second', figure(Math.round(last.tokens / seconds))] as const] : []),
  ];
}

/** `optimizer.beta1` and its value: one row a leaf, in the order of the object. */
function settingRows(value: unknown, path = ''): (readonly [string, string])[] {
  if (isJsonObject(value)) {
    return Object.entries(value).flatMap(([key, member]) =>
      member === undefined ? [] : settingRows(member, path === '' ? key : `${path}.${key}`),
    );
  }
  return [[path, typeof value === 'string' ? value : (JSON.stringify(value) ?? '')]];
}
