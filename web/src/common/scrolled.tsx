import type { ComponentChildren, JSX, Ref } from 'preact';

interface Props {
  readonly label: string;
  readonly class?: string;
  readonly children: ComponentChildren;
  readonly box?: Ref<HTMLElement>;
  readonly onScroll?: () => void;
}

/** A part of the page that scrolls by itself; it takes the focus so that keys can scroll it. */
export const Scrolled = ({ label, class: kind = 'scroll', children, box, onScroll }: Props): JSX.Element => (
  <section
    class={kind}
    aria-label={label}
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without it the keyboard cannot scroll
    tabIndex={0}
    {...(box === undefined ? {} : { ref: box })}
    {...(onScroll === undefined ? {} : { onScroll })}
  >
    {children}
  </section>
);

/** Text in a fixed pitch, as it is. */
export const Listing = ({ label, text }: { readonly label: string; readonly text: string }): JSX.Element => (
  <Scrolled label={label} class="listing code">
    <pre>{text.trimEnd()}</pre>
  </Scrolled>
);
