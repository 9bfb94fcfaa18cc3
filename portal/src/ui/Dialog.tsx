import { type ReactNode, useId, useLayoutEffect, useRef } from "react";

interface Props {
  title: ReactNode;
  /** `note` is a few words in the middle of the page, `page` takes as much room as there is. */
  size?: keyof typeof SIZES;
  /** Beside the title. */
  aside?: ReactNode;
  children: ReactNode;
  /** Escape was pressed, or whatever else a browser closes a dialog by. */
  onClose: () => void;
}

const SIZES = {
  note: {
    box: "w-[min(440px,calc(100vw-2rem))] p-5",
    header: "mb-3",
    title: "text-lg font-semibold",
  },
  page: {
    box: "flex h-[min(900px,92dvh)] max-h-none w-[min(1200px,94vw)] max-w-none flex-col max-sm:h-dvh max-sm:w-screen max-sm:rounded-none max-sm:border-0",
    header: "flex flex-wrap items-center gap-3 border-b border-line px-4 py-2.5",
    title: "min-w-0 flex-1 basis-24 font-mono text-sm font-semibold break-all",
  },
} as const;

/** What lies over the page until it is closed: nothing else can be reached meanwhile, and the focus goes back to where it came from. */
export function Dialog({ title, size = "note", aside, children, onClose }: Props) {
  const titleId = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  // closed while it is still on the page: only then does the browser give the focus back
  useLayoutEffect(() => {
    const box = dialog.current;
    box?.showModal();
    return () => box?.close();
  }, []);
  const look = SIZES[size];
  return (
    <dialog
      ref={dialog}
      aria-labelledby={titleId}
      tabIndex={-1}
      onCancel={(event) => {
        event.preventDefault(); // it goes when it is no longer rendered
        onClose();
      }}
      className={`m-auto rounded-lg border border-line bg-panel text-text shadow-soft backdrop:bg-black/40 ${look.box}`}
    >
      <header className={look.header}>
        <h2 id={titleId} className={look.title}>
          {title}
        </h2>
        {aside != null && <div className="ml-auto flex items-center gap-3">{aside}</div>}
      </header>
      {children}
    </dialog>
  );
}
