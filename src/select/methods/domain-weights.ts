import { fatalError, usageError } from '../../errors.js';
import type { Fit, Method, TokenPlan } from '../method.js';
import { parseScope } from '../scope.js';
import { excess } from '../scores.js';
import type { SelectionSettings } from '../settings.js';
import { documentRuns, placeOf, type Tokens } from '../tokens.js';
import { windowCutter } from '../windows.js';

/** A column with more values than this is not a domain column (urls, for one), and would fill the memory. */
const MOST_DOMAINS = 4096;

type Domain = string | null;

/** One window: Σ max(excess, 0) and the number of eligible tokens of each domain that occurs in it. */
type Step = ReadonlyMap<Domain, { readonly excess: number; readonly tokens: number }>;

interface Fitted {
  /** Weight of a token of the domain: its α over its share of the eligible tokens, so that the mean weight is 1. */
  readonly weights: ReadonlyMap<Domain, number>;
}

/**
 * DoReMi's domain weights from stored losses, one step a window in global order, from uniform α:
 *   λ_d = mean over the window's tokens of d of max(excess, 0); where d is absent, its last λ (0 at first)
 *   α_d ← (1 − c) · α_d e^{η λ_d} / Σ + c / D
 * The mean of α over the steps, ᾱ, is the result. The models are frozen here; in DoReMi the proxy trains on.
 */
export function domainWeights(steps: readonly Step[], rate: number, smoothing: number): Map<Domain, number> {
  const domains = domainsOf(steps);
  const alpha = new Float64Array(domains.length).fill(1 / domains.length);
  const lambda = new Float64Array(domains.length);
  const mean = new Float64Array(domains.length);
  for (const step of steps) {
    let total = 0;
    // The largest exponent is taken out so that a large rate cannot overflow.
    let largest = 0;
    domains.forEach((domain, d) => {
      const seen = step.get(domain);
      if (seen !== undefined) lambda[d] = seen.excess / seen.tokens;
      largest = Math.max(largest, rate * (lambda[d] ?? 0));
    });
    for (let d = 0; d < alpha.length; d++) {
      alpha[d] = (alpha[d] ?? 0) * Math.exp(rate * (lambda[d] ?? 0) - largest);
      total += alpha[d] ?? 0;
    }
    for (let d = 0; d < alpha.length; d++) {
      alpha[d] = ((1 - smoothing) * (alpha[d] ?? 0)) / total + smoothing / alpha.length;
      mean[d] = (mean[d] ?? 0) + (alpha[d] ?? 0) / steps.length;
    }
  }
  return new Map(domains.map((domain, d) => [domain, mean[d] ?? 0]));
}

/** Every domain, by code unit, those without a name last. */
function domainsOf(steps: readonly Step[]): Domain[] {
  const names = new Set<Domain>();
  for (const step of steps) for (const domain of step.keys()) names.add(domain);
  const sorted: Domain[] = [...names].filter((name) => name !== null).sort();
  return names.has(null) ? [...sorted, null] : sorted;
}

function domainOf(tokens: Tokens, document: bigint): Domain {
  const { source } = tokens;
  if (source.domainOf === undefined) {
    throw usageError(
      'no-domains',
      `${placeOf(source)} has no domains, which method domain-weights needs; name the column of the documents file with --domains`,
    );
  }
  return source.domainOf(document);
}

const domainFit = (settings: SelectionSettings): Fit => ({
  async observe(part: AsyncIterable<Tokens>): Promise<Step[]> {
    const scope = parseScope(settings.scope ?? 'window');
    const steps: Map<Domain, { excess: number; tokens: number }>[] = [];
    let startsWindow: ReturnType<typeof windowCutter> | null = null;
    for await (const tokens of part) {
      startsWindow ??= windowCutter(scope, tokens.source);
      const scores = new Float32Array(tokens.length);
      excess.kernel(tokens, scores);
      let row = tokens.rowStart - 1;
      let rowEnd = -1;
      for (const { document, start, end } of documentRuns(tokens)) {
        while (start >= rowEnd && row + 1 < tokens.rowEnd) {
          row++;
          rowEnd = (tokens.batch.offsets[row + 1] ?? 0) - tokens.start;
          const rowTokens = rowEnd - ((tokens.batch.offsets[row] ?? 0) - tokens.start);
          if (startsWindow(rowTokens, tokens.batch.sequenceIds[row] ?? row) || steps.length === 0)
            steps.push(new Map());
        }
        addRun(steps[steps.length - 1], { domain: domainOf(tokens, document), tokens, scores }, start, end);
      }
    }
    return steps.filter((step) => step.size > 0);
  },

  conclude(observations): Fitted {
    const steps = (observations as readonly Step[][]).flat();
    const tokens = new Map<Domain, number>();
    let all = 0;
    for (const step of steps) {
      for (const [domain, seen] of step) {
        tokens.set(domain, (tokens.get(domain) ?? 0) + seen.tokens);
        all += seen.tokens;
      }
    }
    if (tokens.size > MOST_DOMAINS) {
      throw usageError(
        'too-many-domains',
        `column ${settings.domains} has ${tokens.size} domains, at most ${MOST_DOMAINS} are accepted; name a column with fewer values`,
      );
    }
    if (tokens.size === 1 && !settings.allow_constant) {
      throw fatalError(
        'one-domain',
        `all documents have one domain (${[...tokens.keys()][0] ?? 'none'}), so domain-weights has nothing to weigh; name another column with --domains`,
      );
    }
    const alphas = domainWeights(steps, settings.domain_rate, settings.domain_smoothing);
    return {
      weights: new Map(
        [...alphas].map(([domain, alpha]) => [domain, (alpha * all) / (tokens.get(domain) ?? 1)]),
      ),
    };
  },
});

/** Tokens of one document, and their scores. */
interface Run {
  readonly domain: Domain;
  readonly tokens: Tokens;
  readonly scores: Float32Array;
}

function addRun(
  step: Map<Domain, { excess: number; tokens: number }> | undefined,
  { domain, tokens, scores }: Run,
  start: number,
  end: number,
): void {
  let sum = 0;
  let count = 0;
  for (let i = start; i < end; i++) {
    if (tokens.eligible[i] === 0) continue;
    sum += Math.max(scores[i] ?? 0, 0);
    count++;
  }
  if (count === 0 || step === undefined) return;
  const seen = step.get(domain) ?? { excess: 0, tokens: 0 };
  if (seen.tokens === 0 && step.size >= MOST_DOMAINS) {
    throw usageError(
      'too-many-domains',
      `${placeOf(tokens.source)} has more than ${MOST_DOMAINS} domains in one window; name a column with fewer values`,
    );
  }
  step.set(domain, { excess: seen.excess + sum, tokens: seen.tokens + count });
}

export const domainWeightsMethod: Method = {
  name: 'domain-weights',
  version: 1,
  summary: 'Weight whole domains: exponentiated gradient on their mean max(excess, 0), one step a window.',
  source: 'DoReMi (arXiv 2305.10429), algorithm 1',
  plan: (settings): TokenPlan => {
    if (parseScope(settings.scope ?? 'window').kind !== 'window') {
      throw usageError(
        'domain-scope',
        `method domain-weights takes scope window:N, its step, not ${settings.scope}`,
      );
    }
    return {
      unit: 'token',
      columns: excess.columns,
      score: `alpha of the domain / its share of the eligible tokens, by max(${excess.formula}, 0)`,
      normaliser: 'weights',
      usesKeep: false,
      usesSeed: false,
      rankings: [],
      signals: [excess.kernel],
      fit: domainFit(settings),
      weigh: (tokens, _ranked, out, fitted) => {
        const { weights } = fitted as Fitted;
        for (const { document, start, end } of documentRuns(tokens)) {
          out.fill(weights.get(domainOf(tokens, document)) ?? 0, start, end);
        }
      },
    };
  },
};
