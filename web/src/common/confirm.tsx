import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  readonly title: string;
  readonly confirm: string;
  readonly dangerous?: boolean;
  readonly children: ComponentChildren;
  readonly onAnswer: (confirmed: boolean) => void;
}

/** Asks before something that cannot be undone. The browser's own dialog: it holds the focus, Escape says no. */
export function Confirm({ title, confirm, dangerous = false, children, onAnswer }: Props): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="confirm-title" onCancel={() => onAnswer(false)}>
      <h2 id="confirm-title">{title}</h2>
      {children}
      <div class="buttons">
        <button type="button" onClick={() => onAnswer(false)}>
          No, go back
        </button>
        <button type="button" class={dangerous ? 'danger' : 'primary'} onClick={() => onAnswer(true)}>
          {confirm}
        </button>
      </div>
    </dialog>
  );
}
