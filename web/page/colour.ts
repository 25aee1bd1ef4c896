/** Colours that an owner chose, made readable (WCAG 2.2, 1.4.3). Works on what is `#rgb`, `#rrggbb` or `#rrggbbaa`. */

type Channels = readonly [number, number, number];

export const READABLE = 4.5;

export function channels(colour: string): Channels | undefined {
  const short = /^#([\da-f])([\da-f])([\da-f])$/i.exec(colour);
  const hex = short ? `#${short[1]}${short[1]}${short[2]}${short[2]}${short[3]}${short[3]}` : colour;
  const long = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})(?:[\da-f]{2})?$/i.exec(hex);
  if (!long) return undefined;
  const [, red, green, blue] = long;
  return [Number.parseInt(red ?? "", 16), Number.parseInt(green ?? "", 16), Number.parseInt(blue ?? "", 16)];
}

export function contrast(one: Channels, other: Channels): number {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

/** White or black, whichever can be read on it. */
export function textOn(colour: string): string {
  const its = channels(colour);
  if (its === undefined) return "#fff";
  return contrast(its, [255, 255, 255]) >= READABLE || luminance(its) < 0.18 ? "#fff" : "#000";
}

/** The colour itself, or as much nearer to `text` as it takes to be read on `background`. */
export function readableOn(colour: string, background: string, text: string): string {
  const [its, behind, goal] = [channels(colour), channels(background), channels(text)];
  if (!its || !behind || !goal) return text;
  for (let share = 0; share <= 1; share += 0.1) {
    const mixed = its.map((each, place) => Math.round(each + ((goal[place] ?? 0) - each) * share));
    const found = mixed as unknown as Channels;
    if (contrast(found, behind) >= READABLE) return `rgb(${found.join(" ")})`;
  }
  return text;
}

function luminance(colour: Channels): number {
  const [red, green, blue] = colour.map((each) => {
    const share = each / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (red ?? 0) + 0.7152 * (green ?? 0) + 0.0722 * (blue ?? 0);
}
