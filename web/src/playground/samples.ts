/** Texts to try. Made for this page: plain mathematics, a page's clutter around it, and characters of all kinds. */
export const SAMPLES: readonly { readonly title: string; readonly text: string }[] = [
  {
    title: 'A web page with clutter',
    text: `Home | Forum | Log in | Register | Cookie settings

Re: help with quadratic equation
posted by guest_48213 » Tue 9:14 pm

Solve x^2 - 5x + 6 = 0. We look for two numbers with sum 5 and product 6: they are 2 and 3. So x^2 - 5x + 6 = (x - 2)(x - 3), and the solutions are x = 2 and x = 3.

Share this: Facebook  Twitter  Print
You must be logged in to reply. | 1 | 2 | 3 | Next >
a8f3-99c1-77de  ref=0x5f3759df  views: 1,204
`,
  },
  {
    title: 'A lesson',
    text: `To add two fractions, write them with one denominator.

Example: 1/3 + 1/4. The least common multiple of 3 and 4 is 12, so 1/3 = 4/12 and 1/4 = 3/12. The sum is 4/12 + 3/12 = 7/12.

Check: 7/12 is a little more than 1/2, and 1/3 + 1/4 is a little more than 1/4 + 1/4 = 1/2. That fits.
`,
  },
  {
    title: 'LaTeX',
    text: String.raw`The derivative of $f(x) = x^n$ is $f'(x) = n x^{n-1}$. By the definition,
\[ f'(x) = \lim_{h \to 0} \frac{(x+h)^n - x^n}{h}. \]
Expanding $(x+h)^n = x^n + n x^{n-1} h + \dots$, all later terms hold a factor $h^2$ and vanish in the limit.
`,
  },
  {
    title: 'Many scripts',
    text: `Ein Satz auf Deutsch: Die Summe zweier gerader Zahlen ist gerade.
三角形の内角の和は180°である。
مجموع زوايا المثلث ١٨٠ درجة.
Emoji and accents: 👩‍🔬 🧮 naïve café, x² + y² = r², ∑ₙ 1/n² = π²/6.
\tA tab,  two spaces, and a line that ends in white space:   
`,
  },
];
