/**
 * How series are told apart: by a label at the line's end, by colour and by dash, so that no one of the three is
 * needed. Every colour has a contrast of at least 3.5 to white and to near-black (#16181d): one picture serves
 * light and dark pages and print. The first four differ by 14 or more (CIELAB ΔE) under simulated deuteranopia
 * and protanopia too.
 */
const COLOURS = ['#2b7bba', '#d55e00', '#0b8f6a', '#80868f', '#d6568c', '#8f7a12'] as const;
/** Lengths of strokes and gaps; none is a solid line. */
const DASHES = ['none', '7 3', '2 3', '10 3 2 3', '14 4'] as const;

export const colourOf = (index: number): string => COLOURS[index % COLOURS.length] ?? COLOURS[0];
export const dashOf = (index: number): string => DASHES[index % DASHES.length] ?? DASHES[0];
