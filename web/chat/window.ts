/** Which rows of a long list are on the screen, and where. Heights are measured; those not yet seen are reckoned. */
export class RowWindow {
  private readonly heights = new Map<string, number>();
  private keys: readonly string[] = [];
  private tops: number[] = [0];

  constructor(private readonly reckoned: number) {}

  set(keys: readonly string[]): void {
    this.keys = keys;
    this.reckon();
  }

  /** Returns whether anything moves. */
  measured(sizes: Iterable<readonly [string, number]>): boolean {
    let changed = false;
    for (const [key, height] of sizes) {
      if (height === 0 || this.heights.get(key) === height) continue;
      this.heights.set(key, height);
      changed = true;
    }
    if (changed) this.reckon();
    return changed;
  }

  get total(): number {
    return this.tops[this.keys.length] ?? 0;
  }

  top(index: number): number {
    return this.tops[Math.max(0, Math.min(index, this.keys.length))] ?? 0;
  }

  topOf(key: string): number | undefined {
    const index = this.keys.indexOf(key);
    return index < 0 ? undefined : this.top(index);
  }

  keyAt(offset: number): string | undefined {
    return this.keys[this.indexAt(offset)];
  }

  /** From the first row to the one behind the last. */
  range(offset: number, height: number, margin: number): [number, number] {
    const first = this.indexAt(offset - margin);
    const last = this.indexAt(offset + height + margin);
    return [first, Math.min(this.keys.length, last + 1)];
  }

  private indexAt(offset: number): number {
    let low = 0;
    let high = Math.max(0, this.keys.length - 1);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.tops[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private reckon(): void {
    const tops = new Array<number>(this.keys.length + 1);
    let top = 0;
    this.keys.forEach((key, index) => {
      tops[index] = top;
      top += this.heights.get(key) ?? this.reckoned;
    });
    tops[this.keys.length] = top;
    this.tops = tops;
  }
}
