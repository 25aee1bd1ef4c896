/** What somebody else keeps for a page that may keep nothing. */
export interface Keeper {
  kept(name: string): string | null;
  keep(name: string, value: string | null): void;
}

/** The browser's storage, which may be closed to a page in a frame: then things are kept as long as the page is, and
 *  longer by its keeper, if it has one.
 */
export class Keeping {
  private readonly here = new Map<string, string | null>();

  constructor(
    private readonly storage: () => Storage,
    private readonly prefix: string,
    private readonly keeper?: Keeper,
  ) {}

  get(name: string): string | null {
    try {
      return this.storage().getItem(this.prefix + name);
    } catch {
      const here = this.here.get(name);
      return here === undefined ? (this.keeper?.kept(name) ?? null) : here;
    }
  }

  set(name: string, value: string | null): void {
    try {
      if (value === null) this.storage().removeItem(this.prefix + name);
      else this.storage().setItem(this.prefix + name, value);
    } catch {
      this.here.set(name, value);
      this.keeper?.keep(name, value);
    }
  }
}
