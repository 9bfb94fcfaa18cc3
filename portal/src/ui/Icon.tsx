const SHAPES = {
  mark: "M3 8h18M3 14h18M6 4v16M12 4v16M18 4v16",
  chats: "M5 5h14v10H10l-5 4z",
  account: "M12 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M5 20c1-4 4-5.5 7-5.5s6 1.5 7 5.5",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  panel: "M4 5h16v14H4zM15 5v14",
  read: "M5 4h10l4 4v12H5zM9 12h6M9 16h6",
  edit: "M4 20l4-1L19 8l-3-3L5 16z",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M20 20l-4.6-4.6",
  execute: "M5 7l5 5-5 5M12 18h7",
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
