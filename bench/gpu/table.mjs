/** The results as one table a section, goals beside the figures. */
const GOALS = { mfu800: 0.5, ratio: 1.1, endToEnd: 0.95, flips: 0.002, training: 0.8 };

const percent = (x, digits = 1) => (x === undefined || x === null ? '-' : `${(100 * x).toFixed(digits)}%`);
const count = (x) => (x === undefined ? '-' : Math.round(x).toLocaleString('en'));
const small = (x) => (x === undefined ? '-' : x.toExponential(1));
const gib = (x) => (x === undefined || x === null ? '-' : (x / 2 ** 30).toFixed(1));
const two = (x) => (x === undefined || x === null ? '-' : x.toFixed(2));

function section(title, head, rows) {
  if (rows.length === 0) return '';
  const lines = [head, ...rows.map((row) => row.map(String))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
  return [`\n${title}`, text[0], widths.map((width) => '-'.repeat(width)).join('  '), ...text.slice(1)].join(
    '\n',
  );
}

/** @param {{ machine: any, records: readonly any[] }} results */
export function tableOf({ machine, records }) {
  const of = (phase) =>
    records.filter((record) => record.phase === phase && record.error === undefined && !record.skipped);
  const ceilings = machine.ceilings_tflops;
  const mfus = (record) => ceilings.map((ceiling) => percent(record.mfu?.[ceiling]));
  const mfuHeads = ceilings.map((ceiling) => `MFU of ${ceiling}`);
  const best = (list) =>
    list.length === 0 ? undefined : Math.max(...list.map((record) => record.tokens_per_s));
  const rivalScore = ({ size, length }) =>
    best(of('torch-score').filter((record) => record.size === size && record.length === length));
  const rivalTrain = ({ size, objective }) =>
    best(of('torch-train').filter((record) => record.size === size && record.objective === objective));
  const ratio = (a, b) => (b === undefined ? '-' : (a / b).toFixed(2));

  const on = machine.gpu ?? `${machine.cores} cores of ${machine.processor}`;
  const missed = records.filter(({ error, skipped }) => error !== undefined || skipped);
  return [
    `${on}; ceilings ${ceilings.join(' and ')} TFLOP/s; goals in brackets`,
    section(
      `Scoring (pair at 1.1B, T = 2048: MFU of 800 at least ${percent(GOALS.mfu800, 0)}; PyTorch: at least ${GOALS.ratio}x)`,
      [
        'model',
        'T',
        'rows',
        'mode',
        'tokens/s',
        ...mfuHeads,
        'PyTorch ratio',
        'GPU busy',
        'host cores',
        'main thread',
        'GPU GiB',
        'RSS GiB',
      ],
      of('score').map((r) => [
        ...[r.size, r.length, r.rows, r.mode, count(r.tokens_per_s), ...mfus(r)],
        // A pair scores each token twice; PyTorch's rate is of one model.
        ratio(r.tokens_per_s * (r.mode === 'one' ? 1 : 2), rivalScore(r)),
        ...[
          percent(r.gpu?.busy),
          two(r.host_cores),
          percent(r.main_thread_busy),
          gib(r.gpu?.memory_bytes),
          gib(r.rss_bytes),
        ],
      ]),
    ),
    section(
      'PyTorch, one model',
      ['model', 'T', 'rows', 'compiled', 'type', 'tokens/s', 'first call s', 'GPU GiB'],
      of('torch-score').map((r) => [
        r.size,
        r.length,
        r.rows,
        r.run,
        r.dtype,
        count(r.tokens_per_s),
        two(r.first_call_s),
        gib(r.peak_device_bytes),
      ]),
    ),
    section(
      `Parity with PyTorch fp32, nats (flips at keep 0.6 in bf16: under ${percent(GOALS.flips)})`,
      ['model', 'precision', 'tokens', 'mean', '99.9%', 'max', 'flips', 'excess deviation'],
      of('parity').map((r) => [
        r.size,
        r.precision,
        count(r.tokens),
        small(r.mean),
        small(r.p999),
        small(r.max),
        percent(r.flips, 3),
        two(r.excess_deviation),
      ]),
    ),
    section(
      `Parquet to Arrow (at least ${percent(GOALS.endToEnd, 0)} of the scorer)`,
      ['model', 'T', 'corpus', 'tokens/s', 'scorer alone', 'share', 'GPU busy', 'host cores', 'main thread'],
      of('pipeline').map((r) => [
        r.size,
        r.length,
        r.corpus,
        count(r.tokens_per_s),
        count(r.scorer_tokens_per_s),
        percent(r.share_of_scorer),
        percent(r.gpu?.busy),
        two(r.host_cores),
        percent(r.main_thread_busy),
      ]),
    ),
    section(
      `Training (at 135M at least ${GOALS.training}x PyTorch)`,
      [
        'model',
        'objective',
        'type',
        'tokens a step',
        'step s',
        'whole step',
        'tokens/s',
        ...mfuHeads,
        'PyTorch ratio',
        'once a step s',
        'share',
        'GPU GiB',
      ],
      of('train')
        .filter((r) => r.objective !== undefined)
        .map((r) => [
          ...[
            r.size,
            r.objective,
            r.precision,
            count(r.tokens_a_step),
            two(r.step_s),
            r.measured ? 'measured' : 'predicted',
            count(r.tokens_per_s),
          ],
          ...[
            ...mfus(r),
            ratio(r.tokens_per_s, rivalTrain(r)),
            two(r.once_a_step_s),
            percent(r.share_once_a_step),
            gib(r.gpu?.memory_bytes),
          ],
        ]),
    ),
    section(
      'The state over the bus, both ways',
      ['model', 'state GiB', 'seconds', 'GB/s'],
      of('train')
        .filter((r) => r.what === 'bus')
        .map((r) => [r.size, gib(r.state_bytes), two(r.seconds_both_ways), two(r.bytes_per_s / 1e9)]),
    ),
    section(
      'PyTorch training',
      ['model', 'objective', 'compiled', 'type', 'tokens/s', ...mfuHeads, 'step s', 'GPU GiB'],
      of('torch-train').map((r) => [
        r.size,
        r.objective,
        r.run,
        r.dtype,
        count(r.tokens_per_s),
        ...mfus(r),
        two(r.step_s),
        gib(r.peak_device_bytes),
      ]),
    ),
    section(
      'Share of the loss head',
      ['body', 'vocabulary', 'T', 'head s', 'layer s', 'share', 'share of FLOPs'],
      of('head').map((r) => [
        r.body,
        count(r.vocabulary),
        r.length,
        small(r.head_s),
        small(r.layer_s),
        percent(r.share),
        percent(r.share_of_flops),
      ]),
    ),
    section(
      'Not measured',
      ['model', 'phase', 'what', 'why'],
      missed.map(({ size, phase, error, skipped, device, ...what }) => [
        size,
        phase,
        Object.values(what).join(' ') || '-',
        error ?? skipped,
      ]),
    ),
  ]
    .filter((text) => text !== '')
    .join('\n');
}
