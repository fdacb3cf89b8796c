/**
 * Where the compiled package can be changed so that a test should notice: one operator, number, condition or call at a
 * time. Compiled files, because tests import those: a mutant needs no build, and costs what its tests cost.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAst } from 'vite';

/** @typedef {{ file: string, line: number, start: number, end: number, kind: string, before: string, after: string }} Site */

const SWAPPED = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '&&': '||',
  '||': '&&',
  '??': '&&',
  '+=': '-=',
  '-=': '+=',
};

/** @param {string} tree a built checkout @param {readonly string[]} rooms @returns {Site[]} in order of file and place */
export function sitesOf(tree, rooms) {
  return rooms.flatMap((room) =>
    readdirSync(join(tree, 'dist', room), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .sort()
      .flatMap((name) =>
        sitesIn(join('dist', room, name), readFileSync(join(tree, 'dist', room, name), 'utf8')),
      ),
  );
}

/** @param {string} file @param {string} code @returns {Site[]} */
function sitesIn(file, code) {
  /** @type {Site[]} */
  const sites = [];
  const add = (kind, { start, end }, after) => {
    const before = code.slice(start, end);
    if (before !== after)
      sites.push({ file, line: code.slice(0, start).split('\n').length, start, end, kind, before, after });
  };
  walk(parseAst(code), (node) => {
    if (node.operator in SWAPPED && node.left !== undefined && node.right !== undefined) {
      // Of a sum with a text only the text's maker would notice.
      const text = [node.left, node.right].some(
        ({ type, value }) => type === 'TemplateLiteral' || typeof value === 'string',
      );
      const at = code.indexOf(node.operator, node.left.end);
      if (!text) add('operator', { start: at, end: at + node.operator.length }, SWAPPED[node.operator]);
    } else if (node.type === 'Literal' && typeof node.value === 'number') {
      add('number', node, String(node.value + 1));
    } else if (node.type === 'Literal' && typeof node.value === 'boolean') {
      add('boolean', node, String(!node.value));
    } else if (node.type === 'IfStatement' || node.type === 'ConditionalExpression') {
      add('condition', node.test, `!(${code.slice(node.test.start, node.test.end)})`);
    } else if (node.type === 'ExpressionStatement' && calls(node.expression)) {
      add('call', node, ';');
    }
  });
  return sites.sort((a, b) => a.start - b.start || a.end - b.end);
}

const calls = (node) =>
  node.type === 'CallExpression' ||
  (node.type === 'AwaitExpression' && node.argument.type === 'CallExpression');

function walk(node, visit) {
  visit(node);
  for (const [key, value] of Object.entries(node)) {
    if (key === 'type' || value === null || typeof value !== 'object') continue;
    for (const child of Array.isArray(value) ? value : [value])
      if (child?.type !== undefined) walk(child, visit);
  }
}

/** @param {readonly Site[]} sites @param {number} count @param {number} seed */
export function drawn(sites, count, seed) {
  const rank = ({ file, start, end, after }) =>
    createHash('sha256').update(`${seed} ${file} ${start} ${end} ${after}`).digest('hex');
  return sites
    .map((site) => ({ site, at: rank(site) }))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .slice(0, count)
    .map(({ site, at }) => ({ id: at.slice(0, 12), ...site }));
}
