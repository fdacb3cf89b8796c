/** The compressed bytes are cut off or corrupt; everything before was given out. */
export class BrokenStream extends Error {}
