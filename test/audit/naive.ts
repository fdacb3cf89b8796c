import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';

/** An eligible token as apache-arrow's own reader gives it. */
export interface NaiveToken {
  readonly id: number;
  readonly row: string;
  readonly position: number;
  readonly document: number;
  readonly reference: number;
  readonly current: number;
  readonly excess: number;
  readonly kept: boolean;
}

export interface NaiveDocument {
  readonly url: string | null;
  readonly topic: string | null;
  readonly tokens: number;
}

const filesOf = (folder: string, suffix: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => path.endsWith(suffix))
    .sort();

const sequencesOf = (folder: string): string[] =>
  filesOf(folder, '.arrow').filter((path) => !path.endsWith('.documents.arrow'));

/** Every eligible token of a weighted run with both losses, in order. */
export function naiveTokens(run: string): NaiveToken[] {
  const tokens: NaiveToken[] = [];
  for (const path of sequencesOf(join(run, 'weighted'))) {
    for (const row of tableFromIPC(readFileSync(path))) {
      const { sequence_id, input_ids, reference_loss, current_loss, weight, segments } = row.toJSON();
      const [ids, reference, current, weights] = [input_ids, reference_loss, current_loss, weight].map(
        (list) => [...list] as number[],
      );
      for (const segment of segments) {
        const { document, token_start, token_count } = segment.toJSON();
        for (let i = token_start; i < token_start + token_count; i++) {
          if (Number.isNaN(reference![i])) continue;
          tokens.push({
            id: ids![i]!,
            row: `${path} ${sequence_id}`,
            position: i,
            document: Number(document),
            reference: reference![i]!,
            current: current![i]!,
            excess: Math.fround(current![i]! - reference![i]!),
            kept: weights![i]! > 0,
          });
        }
      }
    }
  }
  return tokens;
}

/** The ids of every row of a weighted run. */
export const naiveRows = (run: string): number[][] =>
  sequencesOf(join(run, 'weighted')).flatMap((path) =>
    [...tableFromIPC(readFileSync(path))].map((row) => [...row.toJSON()['input_ids']] as number[]),
  );

/** What the documents files of a run say, by row. */
export function naiveDocuments(run: string): Map<number, NaiveDocument> {
  const documents = new Map<number, NaiveDocument>();
  for (const path of filesOf(join(run, 'scored'), '.documents.arrow')) {
    for (const record of tableFromIPC(readFileSync(path))) {
      const { row, url, topic, tokens } = record.toJSON();
      documents.set(Number(row), { url, topic, tokens: Number(tokens) });
    }
  }
  return documents;
}

export interface Figures {
  readonly eligible: number;
  readonly kept: number;
  readonly reference_loss: number;
  readonly current_loss: number;
  readonly excess: number;
}

/** Counts and means of some tokens. */
export function figures(tokens: readonly NaiveToken[]): Figures {
  const mean = (value: (token: NaiveToken) => number): number =>
    tokens.reduce((sum, token) => sum + value(token), 0) / tokens.length;
  return {
    eligible: tokens.length,
    kept: tokens.filter(({ kept }) => kept).length,
    reference_loss: mean(({ reference }) => reference),
    current_loss: mean(({ current }) => current),
    excess: mean(({ excess }) => excess),
  };
}

export function groupBy<K>(
  tokens: readonly NaiveToken[],
  key: (token: NaiveToken) => K,
): Map<K, NaiveToken[]> {
  const groups = new Map<K, NaiveToken[]>();
  for (const token of tokens) groups.set(key(token), [...(groups.get(key(token)) ?? []), token]);
  return groups;
}
