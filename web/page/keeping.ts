/** The browser's storage, which may be closed to a page in a frame: then things are kept as long as the page is. */
export class Keeping {
  private readonly here = new Map<string, string>();

  constructor(
    private readonly storage: () => Storage,
    private readonly prefix: string,
  ) {}

  get(name: string): string | null {
    try {
      return this.storage().getItem(this.prefix + name);
    } catch {
      return this.here.get(name) ?? null;
    }
  }

  set(name: string, value: string | null): void {
    try {
      if (value === null) this.storage().removeItem(this.prefix + name);
      else this.storage().setItem(this.prefix + name, value);
    } catch {
      if (value === null) this.here.delete(name);
      else this.here.set(name, value);
    }
  }
}
