/**
 * Whether two expressions are the same: by their values. Expressions without variables have one; those with variables
 * are compared at points drawn once and for all, where two that differ as functions are alike with a chance that is
 * nought for polynomials, roots and all that is analytic.
 */
import { Complex } from 'complex.js';
import { complexValue, type Point, variablesOf } from './evaluate.js';
import type { Expression } from './expression.js';

/** Relative difference up to which numbers are the same answer. */
export const SAME_NUMBER = 1e-4;
/** For functions: what rounding leaves of an identity. */
const SAME_VALUE = 1e-9;
/** A difference that rounding alone makes where the value is nought. */
const NOUGHT = 1e-12;

export function areIdentical(a: Expression, b: Expression): boolean {
  const names = [...new Set([...variablesOf(a), ...variablesOf(b)])].sort();
  if (names.length === 0)
    return areClose(complexValue(a, new Map()), complexValue(b, new Map()), SAME_NUMBER);
  let compared = 0;
  for (const draw of POINTS) {
    const at = draw(names);
    const [one, other] = [complexValue(a, at), complexValue(b, at)];
    // A point where neither has a value tells nothing, and one where only one has tells that they differ.
    if (!hasValue(one) && !hasValue(other)) continue;
    if (!areClose(one, other, SAME_VALUE)) return false;
    compared++;
  }
  return compared >= 2;
}

const hasValue = ({ re, im }: Complex): boolean => Number.isFinite(re) && Number.isFinite(im);

export const areClose = (a: Complex, b: Complex, within: number): boolean =>
  hasValue(a) &&
  hasValue(b) &&
  Math.hypot(a.re - b.re, a.im - b.im) <= Math.max(within * Math.max(modulus(a), modulus(b)), NOUGHT);

const modulus = ({ re, im }: Complex): number => Math.hypot(re, im);

/**
 * The same for every pair, so that verdicts can be repeated: whole numbers, for factorials and parities; positive and
 * negative reals; and complex numbers, where branches part.
 */
const POINTS: readonly ((names: readonly string[]) => Point)[] = [
  (names) => drawn(names, 1, (unit) => new Complex(3 + Math.floor(unit * 9), 0)),
  (names) => drawn(names, 2, (unit) => new Complex(0.5 + 2 * unit, 0)),
  (names) => drawn(names, 3, (unit) => new Complex(-0.3 - 2 * unit, 0)),
  (names) => drawn(names, 4, (unit, other) => new Complex(2 * unit - 1, 1 + other)),
];

const drawn = (
  names: readonly string[],
  seed: number,
  place: (unit: number, other: number) => Complex,
): Point =>
  new Map(
    names.map((name, index) => {
      const at = seed * 1009 + index * 7 + 1;
      return [name, place(fraction(at * GOLDEN), fraction(at * PLASTIC))];
    }),
  );

/** Irrational steps: places that are spread evenly and in no simple relation to one another. */
const GOLDEN = 0.6180339887498949;
const PLASTIC = 0.7548776662466927;
const fraction = (x: number): number => x - Math.floor(x);
