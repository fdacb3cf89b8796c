/** Values of expressions in the complex plane, in double precision; time and memory are linear in the expression. */
import { Complex } from 'complex.js';
import type { Expression, FunctionName } from './expression.js';

/** Values of the variables. */
export type Point = ReadonlyMap<string, Complex>;

const CONSTANTS: ReadonlyMap<string, Complex> = new Map([
  ['pi', new Complex(Math.PI, 0)],
  ['e', new Complex(Math.E, 0)],
  ['i', new Complex(0, 1)],
  ['infty', new Complex(Number.POSITIVE_INFINITY, 0)],
]);

/** Names in an expression that stand for no constant. */
export function variablesOf(expression: Expression, found: Set<string> = new Set()): ReadonlySet<string> {
  switch (expression.kind) {
    case 'number':
      break;
    case 'name':
      if (!CONSTANTS.has(expression.name)) found.add(expression.name);
      break;
    case 'sum':
    case 'product':
      for (const one of expression.of) variablesOf(one, found);
      break;
    default:
      variablesOf(expression.of, found);
      if ('by' in expression) variablesOf(expression.by, found);
  }
  return found;
}

/** The value; NaN or infinite where there is none or it is out of range. */
export function complexValue(expression: Expression, at: Point): Complex {
  const value = (one: Expression): Complex => complexValue(one, at);
  switch (expression.kind) {
    case 'number':
      return new Complex(expression.value, 0);
    case 'name':
      return CONSTANTS.get(expression.name) ?? at.get(expression.name) ?? new Complex(Number.NaN, Number.NaN);
    case 'sum':
      return expression.of.map(value).reduce((sum, one) => sum.add(one));
    case 'product':
      return expression.of.map(value).reduce((product, one) => product.mul(one));
    case 'negative':
      return value(expression.of).neg();
    case 'quotient':
      return value(expression.of).div(value(expression.by));
    case 'power':
      return power(value(expression.of), value(expression.by));
    case 'call':
      return FUNCTIONS[expression.name](value(expression.of));
  }
}

/** Of real numbers where it is real: there the library's way over logarithms loses digits. */
function power(base: Complex, exponent: Complex): Complex {
  if (base.im === 0 && exponent.im === 0 && (base.re >= 0 || Number.isInteger(exponent.re)))
    return new Complex(base.re ** exponent.re, 0);
  if (exponent.im === 0 && Number.isInteger(exponent.re) && Math.abs(exponent.re) <= MOST_STEPS)
    return byMultiplying(base, exponent.re);
  return base.pow(exponent);
}

const MOST_STEPS = 4096;

function byMultiplying(base: Complex, exponent: number): Complex {
  let result = new Complex(1, 0);
  let square = base;
  for (let left = Math.abs(exponent); left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = result.mul(square);
    square = square.mul(square);
  }
  return exponent < 0 ? result.inverse() : result;
}

const FUNCTIONS: Readonly<Record<FunctionName, (x: Complex) => Complex>> = {
  sin: (x) => x.sin(),
  cos: (x) => x.cos(),
  tan: (x) => x.tan(),
  cot: (x) => x.cot(),
  sec: (x) => x.sec(),
  csc: (x) => x.csc(),
  sinh: (x) => x.sinh(),
  cosh: (x) => x.cosh(),
  tanh: (x) => x.tanh(),
  arcsin: (x) => x.asin(),
  arccos: (x) => x.acos(),
  arctan: (x) => x.atan(),
  exp: (x) => x.exp(),
  ln: (x) => x.log(),
  log: (x) => x.log(),
  sqrt: (x) => x.sqrt(),
  abs: (x) => new Complex(x.abs(), 0),
  floor: (x) => new Complex(Math.floor(x.re + ROUNDING), 0),
  ceil: (x) => new Complex(Math.ceil(x.re - ROUNDING), 0),
  factorial,
};

const ROUNDING = 1e-12;

/** Of whole numbers up to 170, the last whose factorial a double holds. */
function factorial({ re, im }: Complex): Complex {
  if (im !== 0 || !Number.isInteger(re) || re < 0 || re > 170) return new Complex(Number.NaN, 0);
  let product = 1;
  for (let n = 2; n <= re; n++) product *= n;
  return new Complex(product, 0);
}
