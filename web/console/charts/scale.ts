/** The end of an axis for values up to `most`: a round number that is not below it. */
export function niceTop(most: number): number {
  if (most <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(most));
  const found = [1, 2, 5, 10].find((each) => each * step >= most) ?? 10;
  return Math.max(1, found * step);
}

export interface Bar {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Bars side by side, with gaps between them, in a box whose origin is at the top left. */
export function barsOf(values: readonly number[], box: { width: number; height: number }): Bar[] {
  const top = niceTop(Math.max(0, ...values));
  const each = box.width / Math.max(1, values.length);
  return values.map((value, place) => {
    const height = (Math.max(0, value) / top) * box.height;
    return { x: place * each + each * 0.1, y: box.height - height, width: each * 0.8, height };
  });
}
