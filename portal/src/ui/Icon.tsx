const SHAPES = {
  mark: "M3 8h18M3 14h18M6 4v16M12 4v16M18 4v16",
  chats: "M5 5h14v10H10l-5 4z",
  account: "M12 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M5 20c1-4 4-5.5 7-5.5s6 1.5 7 5.5",
  inbox: "M4 13l3-8h10l3 8v6H4zM4 13h5l1 2h4l1-2h5",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  panel: "M4 5h16v14H4zM15 5v14",
  folder: "M3.5 6h6l2 2.5h9V19h-17z",
  folderOpen: "M3.5 19V6h6l2 2.5h7V11M3.5 19l3-8H22l-3 8z",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  read: "M5 4h10l4 4v12H5zM9 12h6M9 16h6",
  edit: "M4 20l4-1L19 8l-3-3L5 16z",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M20 20l-4.6-4.6",
  execute: "M5 7l5 5-5 5M12 18h7",
  think: "M9 18h6M10 21h4M12 3a6 6 0 0 0-3.5 10.9V15h7v-1.1A6 6 0 0 0 12 3",
  warn: "M12 8v5M12 16.5v.2M12 3l9 16H3z",
  ask: "M9.5 9a2.5 2.5 0 1 1 3.6 2.2c-.7.4-1.1.9-1.1 1.8M12 16.5v.2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  done: "M5 12l5 5 9-10",
  copy: "M9 9h10v11H9zM5 15V4h10",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  up: "M6 14l6-6 6 6",
  down: "M6 10l6 6 6-6",
  agent: "M6 4v6a4 4 0 0 0 4 4h8M14 10l4 4-4 4",
  other: "M12 4l8 4.5v7L12 20l-8-4.5v-7z",
} as const;

export type IconName = keyof typeof SHAPES;

/** A picture beside words, or on a button that has a name. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      aria-hidden
      viewBox="0 0 24 24"
      className="size-[18px] flex-none fill-none stroke-current stroke-[1.7] [stroke-linecap:round] [stroke-linejoin:round]"
    >
      <path d={SHAPES[name]} />
    </svg>
  );
}
