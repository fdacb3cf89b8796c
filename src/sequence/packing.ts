/** `across`: a row's documents see each other. `within`: they do not, positions restart. */
export type AttentionScope = 'across' | 'within';
