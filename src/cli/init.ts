import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { parsePipelineText } from '../config/load.js';
import { lookAtCorpus, lookAtModels } from '../draft/look.js';
import { pipelineText } from '../draft/pipeline-text.js';
import { fatalError, firstLine, TokensieveError, usageError } from '../errors.js';
import { parsePipeline } from '../pipeline/settings.js';
import { routedStorage } from '../storage/routed.js';
import type { Command } from './command.js';
import { EXIT, untilInterrupted } from './exit.js';
import { count, printable } from './format.js';
import { say, tell } from './output.js';

const text = (description: string) => ({
  type: 'string' as const,
  requiresArg: true,
  description,
  group: 'Answers:',
});

export const initCommand: Command = {
  builder: (yargs) =>
    yargs
      .positional('file', { type: 'string', default: 'pipeline.yaml', describe: 'Pipeline file to write' })
      .options({
        shards: { ...text('Files, folders or globs of shards'), type: 'array', string: true },
        reference: text('Reference model: a folder'),
        current: text('Current model: a folder; none for reference losses alone'),
        tokenizer: text('tokenizer.json or its folder (default: that of the models)'),
        out: text('Output folder'),
        'text-column': text('Column that holds a document’s text (default: found in the first shard)'),
        'sequence-length': {
          type: 'number',
          requiresArg: true,
          description: 'Tokens a sequence (default: what the models take, at most 2048)',
          group: 'Answers:',
        },
        keep: {
          type: 'number',
          requiresArg: true,
          default: 0.6,
          description: 'Share of tokens to keep',
          group: 'Answers:',
        },
        force: { type: 'boolean', default: false, description: 'Write over a file that is there' },
      })
      .example('$0 init', 'Ask for all of it')
      .example(
        "$0 init --shards 'data/*.parquet' --reference models/ref --current models/base",
        'Ask nothing',
      ),
  handler: (args) =>
    untilInterrupted(async () => {
      const file = String(args['file']);
      if (existsSync(file) && args['force'] !== true)
        throw usageError(
          'file-exists',
          `${file}: is there already; --force writes over it, or name another file`,
        );
      const given = args as { readonly [name: string]: string | undefined };
      const keep = Number(args['keep']);
      if (!(keep > 0 && keep <= 1))
        throw usageError('bad-keep', `--keep ${args['keep']}: expected a share above 0 and at most 1`);
      const ask = process.stdin.isTTY === true ? openQuestions() : null;
      try {
        const storage = routedStorage();
        const column = given['text-column'];
        const [shards, corpus] = await answered(ask, 'Shards (files, folders or globs)', args['shards'], {
          flag: '--shards',
          check: async (answer) => {
            const patterns = Array.isArray(answer) ? answer.map(String) : [String(answer)];
            return [patterns, await lookAtCorpus(storage, patterns, column)] as const;
          },
        });
        tell(
          `${count(corpus.shards)} shards; text in ${JSON.stringify(corpus.text)} of ${corpus.first.name}${corpus.group === null ? '' : `, figures by ${JSON.stringify(corpus.group)}`}`,
        );
        const length = args['sequence-length'] as number | undefined;
        const tokenizer = given['tokenizer'];
        const [reference] = await answered(ask, 'Reference model (folder)', given['reference'], {
          flag: '--reference',
          check: async (answer) =>
            [answer, await lookAtModels({ reference: answer, tokenizer }, length)] as const,
        });
        const asked = given['reference'] === undefined && given['current'] === undefined ? ask : null;
        const [current, models] = await answered(
          asked,
          'Current model (folder; empty for reference losses alone)',
          given['current'] ?? (asked === null ? '' : undefined),
          {
            check: async (answer) => {
              const named = answer === '' ? undefined : answer;
              return [named, await lookAtModels({ reference, current: named, tokenizer }, length)] as const;
            },
          },
        );
        for (const warning of models.warnings) tell(warning);
        const out = given['out'] ?? 'runs/first';
        const draft = { shards, reference, current, tokenizer, out, keep };
        const written = pipelineText(file, draft, corpus, models);
        // What is handed out is read as a run would read it.
        parsePipeline(parsePipelineText(written, file), file);
        await writeFile(file, written, { flag: args['force'] === true ? 'w' : 'wx' }).catch(
          (error: unknown) => {
            throw fatalError('unwritable', `${file}: ${firstLine(error)}`, { cause: error });
          },
        );
        say(`wrote ${printable(file)}: rows of ${models.length} tokens into ${printable(out)}`);
        say(
          `next: tokensieve plan ${printable(file)} says what it costs, tokensieve run ${printable(file)} does it`,
        );
        return EXIT.done;
      } finally {
        ask?.close();
      }
    }),
};

/** Questions to whoever sits before the terminal. */
interface Questions {
  question(text: string): Promise<string>;
  close(): void;
}

function openQuestions(): Questions {
  const questions = createInterface({ input: process.stdin, output: process.stderr });
  // Nothing is half done: as Ctrl-C ends any program.
  questions.on('SIGINT', () => {
    process.stderr.write('\n');
    process.exit(EXIT.interrupted);
  });
  // Lines that come before they are asked for, pasted ones, wait for their question.
  const lines = questions[Symbol.asyncIterator]();
  return {
    question: async (text) => {
      questions.setPrompt(text);
      questions.prompt();
      const { value, done } = await lines.next();
      // Ctrl-D: no answer will come.
      if (done === true)
        throw usageError('no-answer', 'the answers ended before the last question: nothing was written');
      return value;
    },
    close: () => questions.close(),
  };
}

/**
 * What a flag says, or what a person answers: asked again until it passes the check. Where nobody can be asked, a missing flag
 * and a wrong one are errors.
 */
async function answered<A, T>(
  questions: Questions | null,
  question: string,
  given: A | undefined,
  { flag, check }: { readonly flag?: string; check(answer: A | string): Promise<T> },
): Promise<T> {
  if (given !== undefined) return check(given);
  if (questions === null) {
    throw usageError('no-answer', `init asks where stdin is a terminal; here it needs ${flag}`);
  }
  for (;;) {
    const answer = await questions.question(`${question}: `);
    try {
      return await check(answer.trim());
    } catch (error) {
      if (!(error instanceof TokensieveError)) throw error;
      tell(printable(error.message));
    }
  }
}
