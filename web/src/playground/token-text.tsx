import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import type { Piece, PieceState } from './pieces.js';

interface Props {
  readonly pieces: readonly Piece[];
  readonly states: readonly PieceState[];
  /** The piece that is looked at. */
  readonly at: number | null;
  readonly onLook: (piece: number) => void;
}

const hasTokens = (piece: Piece | undefined): boolean => piece !== undefined && piece.end > piece.first;

/**
 * The text as it is, each token marked as kept or dropped. It is one stop for the Tab key; arrow keys go from token
 * to token. Moving the slider only changes attributes: 20,000 tokens are not rendered anew.
 */
export function TokenText({ pieces, states, at, onLook }: Props): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const spans = useMemo(
    () =>
      pieces.map(({ text, first, end }) => (
        <span key={first * 2 + (end > first ? 0 : 1)} class={text === '' ? 'token edge' : 'token'}>
          {text}
        </span>
      )),
    [pieces],
  );

  useLayoutEffect(() => {
    const elements = box.current?.children ?? [];
    states.forEach((state, i) => {
      const element = elements[i];
      if (element instanceof HTMLElement && element.dataset['state'] !== state)
        element.dataset['state'] = state;
    });
  }, [pieces, states]);

  useLayoutEffect(() => {
    const element = at === null ? undefined : box.current?.children[at];
    element?.classList.add('at');
    return () => element?.classList.remove('at');
  }, [at, pieces]);

  const look = (piece: number): void => {
    onLook(piece);
    box.current?.children[piece]?.scrollIntoView({ block: 'nearest' });
  };
  const pieceUnder = (target: EventTarget | null): number | null => {
    const { current } = box;
    if (current === null || !(target instanceof Element) || target.parentElement !== current) return null;
    const index = Array.prototype.indexOf.call(current.children, target);
    return hasTokens(pieces[index]) ? index : null;
  };
  const hover = (event: Event): void => {
    const piece = pieceUnder(event.target);
    if (piece !== null) onLook(piece);
  };

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for form controls
    <div
      class="text"
      ref={box}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move through it
      tabIndex={0}
      role="group"
      aria-label="Tokens of the text"
      aria-describedby="text-hint"
      onPointerOver={hover}
      onPointerDown={hover}
      onFocus={() => {
        if (at === null) onLook(Math.max(0, pieces.findIndex(hasTokens)));
      }}
      onKeyDown={(event) => {
        if (event.altKey || event.ctrlKey || event.metaKey) return;
        const to = destination(event.key, at ?? -1, pieces, states, box.current?.children);
        if (to === null) return;
        event.preventDefault();
        look(to);
      }}
    >
      {spans}
    </div>
  );
}

/** Where a key leads from piece `at`; null when the key means nothing here. */
function destination(
  key: string,
  at: number,
  pieces: readonly Piece[],
  states: readonly PieceState[],
  elements: HTMLCollection | undefined,
): number | null {
  if (key === 'd') return inState(states, at, 'dropped') ?? at;
  if (key === 'k') return inState(states, at, 'kept') ?? at;
  if (key === 'ArrowRight') return nearest(pieces, at + 1, 1) ?? at;
  if (key === 'ArrowLeft') return nearest(pieces, at - 1, -1) ?? at;
  if (key === 'Home') return nearest(pieces, 0, 1);
  if (key === 'End') return nearest(pieces, pieces.length - 1, -1);
  if (key === 'ArrowDown') return otherLine(pieces, elements, at, 1) ?? at;
  if (key === 'ArrowUp') return otherLine(pieces, elements, at, -1) ?? at;
  return null;
}

function nearest(pieces: readonly Piece[], from: number, step: 1 | -1): number | null {
  for (let i = from; i >= 0 && i < pieces.length; i += step) if (hasTokens(pieces[i])) return i;
  return null;
}

/** The next piece of a state, from the beginning again after the end. */
function inState(states: readonly PieceState[], at: number, state: PieceState): number | null {
  const after = states.indexOf(state, at + 1);
  const found = after === -1 ? states.indexOf(state) : after;
  return found === -1 ? null : found;
}

/** The piece of the next line that stands nearest below or above. */
function otherLine(
  pieces: readonly Piece[],
  elements: HTMLCollection | undefined,
  at: number,
  step: 1 | -1,
): number | null {
  const here = placeOf(elements?.[at]);
  if (here === null) return nearest(pieces, 0, 1);
  let line: number | null = null;
  let best: { readonly piece: number; readonly distance: number } | null = null;
  for (let i = at + step; i >= 0 && i < pieces.length; i += step) {
    const place = placeOf(elements?.[i]);
    if (place === null || !hasTokens(pieces[i]) || Math.abs(place.top - here.top) < 4) continue;
    if (line !== null && Math.abs(place.top - line) >= 4) break;
    line = place.top;
    const distance = Math.abs(place.left - here.left);
    if (best === null || distance < best.distance) best = { piece: i, distance };
  }
  return best?.piece ?? null;
}

function placeOf(element: Element | undefined): { readonly top: number; readonly left: number } | null {
  const box = element?.getClientRects()[0];
  return box === undefined ? null : { top: box.top, left: box.left };
}
