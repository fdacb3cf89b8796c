/** Words that stand after a number and are no part of it: measures, money, time, and what school problems count. */

const singular = `
 inch foot yard mile meter metre centimeter centimetre millimeter millimetre kilometer kilometre decimeter micrometer nanometer
 acre hectare liter litre milliliter millilitre gallon quart pint cup ounce pound ton tonne gram kilogram milligram stone
 teaspoon tablespoon bushel barrel carat mole joule calorie watt kilowatt volt ampere newton hertz pascal
 second minute hour day week month year decade century morning night weekday weekend
 cent dollar penny nickel dime quarter buck euro pound rupee yen peso
 degree radian revolution lap point percent unit square cube
 bit byte digit number integer factor divisor multiple term solution root value way outcome arrangement combination
 permutation zero pair triple triangle rectangle edge face vertex side diagonal region
 person people man men woman women child children boy girl student teacher friend member player family voter worker employee guest
 passenger sailor soldier knight
 apple orange banana pear peach plum lemon lime cherry grape berry strawberry blueberry melon mango coconut tomato potato
 carrot onion pepper egg loaf bread sandwich pizza slice piece cake cupcake muffin pie cookie brownie candy chocolate donut
 pancake biscuit cracker bar ball marble block card coin stamp sticker toy doll game book page notebook pencil pen crayon
 marker eraser paper sheet letter envelope box bag basket bucket bottle can jar pack packet package carton crate case row
 column table chair desk bed room house floor window door tile brick stone rock shell flower rose tulip plant tree leaf seed
 dog cat puppy kitten cow horse pig sheep goat chicken hen duck goose bird fish shark frog rabbit mouse bee ant spider snake
 lion tiger bear elephant monkey zebra animal car truck bus bike bicycle train plane boat ship wheel tire ticket ride trip
 shirt shoe sock hat dress jacket pants skirt button bead ribbon ring necklace bracelet earring
 movie show song class lesson question problem test score goal run mistake step turn time shot puzzle item gift present
 share job task match vote bolt nail screw board
 `
  .trim()
  .split(/\s+/);

const IRREGULAR = `
 feet inches halves centuries pennies leaves loaves geese mice vertices mph kph rpm mpg sqft
 in ft yd mi cm mm km nm dm kg mg lb lbs oz ml hr hrs min mins sec secs usd gal
 `
  .trim()
  .split(/\s+/);

const plural = (word: string): string =>
  /(?:s|sh|ch|x|o)$/.test(word)
    ? `${word}es`
    : /[^aeiou]y$/.test(word)
      ? `${word.slice(0, -1)}ies`
      : `${word}s`;

/** Words between units, that are none themselves. */
const LINKS = [
  'per',
  'an',
  'of',
  'each',
  'more',
  'old',
  'away',
  'long',
  'total',
  'in',
  'all',
  'square',
  'sq',
  'cubic',
];

const units: ReadonlySet<string> = new Set([
  ...singular,
  ...singular.map(plural),
  ...singular.filter((word) => word.endsWith('o')).map((word) => `${word}s`),
  ...IRREGULAR,
]);
const links: ReadonlySet<string> = new Set(LINKS);

/** Longest run of words that is looked at. */
const MOST_WORDS = 12;

/** The last word of a text, perhaps squared, with what parts it from the next. */
const LAST_WORD = /([a-zA-Z]+)\.?(?:\^\{?[23]\}?)?[\s/]*$/;
/** No word of a unit is longer, so that no step looks further back. */
const MOST_LETTERS = 48;

/**
 * The text without the words at its end that only say what was counted: `18 eggs`, `5 miles per hour`, `3 sq. cm^2`.
 * What stands before them must end like an expression; a single word is never taken away whole.
 */
export function withoutUnits(text: string): string {
  let end = text.length;
  for (let words = 0; words < MOST_WORDS; words++) {
    const last = LAST_WORD.exec(text.slice(Math.max(0, end - MOST_LETTERS), end));
    const [all, word] = last ?? [];
    if (all === undefined || word === undefined) break;
    const start = end - all.length;
    const isCommand = text[start - 1] === '\\' || text[start - 1] === '{';
    if (isCommand || !(units.has(word.toLowerCase()) || links.has(word.toLowerCase()))) return text;
    end = start;
  }
  const before = text.slice(0, end).trimEnd();
  return end < text.length && /[\d)}\]]\.?$/.test(before) ? before : text;
}
