/** What was kept, in sentences; and what it was made from. */
import { type Html, html } from '../../plot/html.js';
import { table } from '../../plot/page.js';
import type { Audit, AuditColumn } from '../report.js';
import { about, bytes, count, nats, plain, power, share } from './words.js';

export const COLUMN_NAMES: Readonly<Record<AuditColumn, string>> = {
  reference_loss: 'reference loss',
  current_loss: 'current loss',
  excess: 'excess loss',
  reference_entropy: 'reference entropy',
  current_entropy: 'current entropy',
};

export function summary(audit: Audit): Html {
  const { totals, run, calibration } = audit;
  return html`<section id="summary">
<p class="lead">${leadOf(audit)}</p>
${audit.kept_in_words === null ? '' : html`<p>${plain(audit.kept_in_words, 800)}</p>`}
${audit.findings.map(finding)}
<p class="note">A token’s loss is how much it surprised a model, in nats: 0 when the model was sure of it, 0.69 when it gave it an even chance, 4.6 at one in a hundred. Excess loss is the current model’s loss minus the reference model’s.</p>
${calibration.verdict === 'informative' ? '' : html`<p class="warning"><strong>Take care.</strong> ${calibration.sentence}</p>`}
<dl class="facts">
${fact('Documents', `${count(totals.documents)}, ${bytes(totals.text_bytes)} of text`)}
${fact('Tokens', `${count(totals.tokens)} in ${count(totals.sequences)} rows, ${count(totals.eligible)} of them targets`)}
${totals.kept === null ? '' : fact('Kept', `${count(totals.kept)} tokens${weights(audit)}`)}
${audit.models.map((model) => fact(model.role === 'reference' ? 'Reference model' : 'Current model', modelText(model)))}
${fact('Tokenizer', `${audit.tokenizer.vocabulary === null ? '' : `${count(audit.tokenizer.vocabulary)} ids, `}hash ${audit.tokenizer.hash.slice(0, 12)}`)}
${fact('Set aside', quarantine(audit))}
${fact('Calibration', calibration.sentence)}
${fact('Cost', audit.cost.scoring_flops === null ? 'of scoring: not known' : `${power(audit.cost.scoring_flops)} floating-point operations to score`)}
${fact('Files', `${bytes(audit.cost.file_bytes)} in ${parts(run.parts, 'part')} of ${parts(run.shards, 'shard')}`)}
</dl>
</section>`;
}

const parts = (many: number, what: string): string => `${count(many)} ${what}${many === 1 ? '' : 's'}`;

const finding = ({ message, advice }: Audit['findings'][number]): Html =>
  html`<p class="warning"><strong>Take care:</strong> ${plain(message, 800)}. ${plain(capital(advice), 600)}.</p>\n`;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const fact = (name: string, text: string): Html =>
  html`<div><dt>${name}</dt><dd>${plain(text, 400)}</dd></div>\n`;

function leadOf({ totals, calibration }: Audit): Html {
  const { eligible, kept, documents } = totals;
  const targets = html`Of the <strong>${about(eligible)}</strong> tokens that could be learnt from in ${about(documents)} documents`;
  if (kept === null) {
    return html`${about(eligible)} tokens of ${about(documents)} documents were scored${
      calibration.verdict === 'one-model' ? ', by one model' : ' by both models'
    }. Nothing has been selected yet, so that nothing here is kept or dropped.`;
  }
  return html`${targets}, <strong>${about(kept)} (${share(kept, eligible)}) were kept</strong> and ${about(
    eligible - kept,
  )} (${share(eligible - kept, eligible)}) dropped. A dropped token is still read, as context for those after it; only its own loss does not count in training.`;
}

function weights({ totals: { kept, weight_sum: sum } }: Audit): string {
  if (kept === null || sum === null || Math.abs(sum - kept) < 1e-6 * kept) return '';
  return `, weights sum to ${about(sum)}`;
}

function modelText({
  name,
  hash,
  parameters,
  architecture,
  precision,
  engine,
}: Audit['models'][number]): string {
  return [
    name,
    ...(parameters === null ? [] : [`${about(parameters)} parameters`]),
    ...(architecture === null ? [] : [architecture]),
    ...(precision === null ? [] : [precision]),
    ...(engine === undefined ? [] : [`by engine ${engine}`]),
    ...(hash.startsWith(name) ? [] : [`hash ${hash.slice(0, 12)}`]),
  ].join(', ');
}

function quarantine({ totals }: Audit): string {
  const reasons = Object.entries(totals.quarantined);
  if (reasons.length === 0) return 'no rows';
  const list = reasons.map(([reason, rows]) => `${count(rows)} ${reason}`).join(', ');
  return `${parts(totals.quarantined_rows, 'row')} (${list})`;
}

/** Mean and quantiles of every column. */
export function columnTable({ columns }: Audit): Html {
  const [first] = columns;
  if (first === undefined) return html``;
  const quantiles = first.quantiles.map(({ q }) => q);
  return table(
    [
      { title: 'nats' },
      { title: 'mean', number: true },
      { title: 'least', number: true },
      ...quantiles.map((q) => ({
        title: q === 0.5 ? 'median' : `${Number((100 * q).toFixed(2))}%`,
        number: true,
      })),
      { title: 'most', number: true },
    ],
    columns.map(({ name, mean, min, max, quantiles: values }) => [
      COLUMN_NAMES[name],
      nats(mean),
      nats(min),
      ...quantiles.map((q) => nats(values.find((one) => one.q === q)?.value ?? null)),
      nats(max),
    ]),
  );
}
