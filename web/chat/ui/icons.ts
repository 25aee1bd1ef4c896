/** The few pictures, as paths on a grid of 24. */
export const ICONS = {
  send: "M12 19V5m0 0-6 6m6-6 6 6",
  stop: "M7 7h10v10H7z",
  attach: "m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.500 8.500a1.800 1.800 0 0 1-2.500-2.500L14.500 7.500",
  copy: "M9 9h10v11H9zM5 15V4h10",
  done: "m5 12 5 5L19 7",
  again: "M19 12a7 7 0 1 1-2.200-5.100M19 3v5h-5",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  good: "M7 11v9H4v-9zm0 0 4-8a2 2 0 0 1 2 2v4h6l-2 9a2 2 0 0 1-2 2H7",
  bad: "M17 13V4h3v9zm0 0-4 8a2 2 0 0 1-2-2v-4H5l2-9a2 2 0 0 1 2-2h8",
  close: "M6 6l12 12M18 6 6 18",
  down: "M12 5v14m0 0 6-6m-6 6-6-6",
  previous: "m14 6-6 6 6 6",
  next: "m10 6 6 6-6 6",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  tool: "M14 6a4 4 0 0 1 5-1l-3 3 1 2 2 1 3-3a4 4 0 0 1-5 5l-7 7a2 2 0 0 1-3-3l7-7a4 4 0 0 1 0-4z",
  warning: "M12 4 3 20h18zM12 10v4m0 3v.1",
  chat: "M4 5h16v11H10l-4 4v-4H4z",
  open: "M13 5h6v6m0-6-9 9M10 6H5v13h13v-5",
  menu: "M4 7h16M4 12h16M4 17h16",
  agent: "M5 9h14v10H5zM12 9V5m-3 9v.1m6-.1v.1M9 5h6",
  shop: "M4 5h16v14H4zM4 9h16M8 13h8m-8 3h5",
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5 12 5 5",
  share: "M12 15V4m0 0-4 4m4-4 4 4M5 12v8h14v-8",
  people:
    "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zm-6 9a6 6 0 0 1 12 0M16 4.500a3.500 3.500 0 0 1 0 6.500m2 3a6 6 0 0 1 3 6",
  chart: "M4 20h16M7 16v-5m5 5V5m5 11V9",
  pulse: "M3 12h4l3-8 4 16 3-8h4",
  details: "M12 11v6m0-9v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
} as const;

export type IconName = keyof typeof ICONS;
