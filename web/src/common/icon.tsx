import type { JSX } from 'preact';

/** Shapes on a 16 by 16 grid, drawn with the colour of the text around them. */
const SHAPES = {
  waiting: (
    <>
      <circle cx="8" cy="8" r="6" />
      <path d="M8 4.5V8l2.5 1.5" />
    </>
  ),
  running: <path d="M5 3.5v9l7-4.5z" class="solid" />,
  stopping: <rect x="4" y="4" width="8" height="8" />,
  done: <path d="M3 8.5l3.5 3.5L13 4.5" />,
  partly: <path d="M1.5 8.5l3 3.5L10 5M13.5 4v5M13.5 11.6v.4" />,
  failed: <path d="M4 4l8 8M12 4l-8 8" />,
  cancelled: (
    <>
      <circle cx="8" cy="8" r="6" />
      <path d="M4 12l8-8" />
    </>
  ),
  warning: <path d="M8 2L1.5 13.5h13zM8 6.5v3.2M8 11.6v.2" />,
  file: <path d="M4 1.5h5l3 3v10H4zM9 1.5v3h3" />,
  outside: <path d="M9.5 2.5h4v4M13.5 2.5l-6 6M11.5 9v4.500h-9v-9H7" />,
} satisfies Record<string, JSX.Element>;

export type IconName = keyof typeof SHAPES;

/** Never alone: a word stands beside it. */
export const Icon = ({ name }: { readonly name: IconName }): JSX.Element => (
  <svg class={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    {SHAPES[name]}
  </svg>
);
