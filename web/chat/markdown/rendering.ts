/** Markdown as blocks. A text that grows changes its last blocks only, so the others are neither made nor drawn again.
 *
 * What comes out is a text of HTML that has yet to be cleaned (`cleaning.ts`), or a block of code as plain text.
 */
import MarkdownIt from "markdown-it";

type Token = ReturnType<InstanceType<typeof MarkdownIt>["parse"]>[number];
type Environment = NonNullable<Parameters<InstanceType<typeof MarkdownIt>["parse"]>[1]>;

export type Block =
  | { kind: "html"; key: string; html: string }
  | { kind: "code"; key: string; language: string; code: string; isOpen: boolean };

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false });
// Only what names its scheme: "example.com" in a text may be anything.
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
parser.validateLink = (url) => /^(https?:|mailto:|#)/i.test(url.trim());

// A picture is an address that the reader did not choose to visit: it becomes a link that says so.
parser.renderer.rules.image = (tokens, index) => {
  const token = tokens[index];
  const address = String(token?.attrGet("src") ?? "");
  const label = parser.utils.escapeHtml(token?.content || address);
  return `<a class="fd-picture" href="${parser.utils.escapeHtml(address)}">${label}</a>`;
};

for (const cell of ["th_open", "td_open"]) {
  parser.renderer.rules[cell] = (tokens, index, options, _env, self) => {
    const token = tokens[index];
    const side = /text-align:(\w+)/.exec(String(token?.attrGet("style") ?? ""))?.[1];
    if (token) token.attrs = side ? [["align", side]] : null;
    return self.renderToken(tokens, index, options);
  };
}
parser.renderer.rules.table_open = () => '<div class="fd-table" tabindex="0" role="group"><table>';
parser.renderer.rules.table_close = () => "</table></div>";

/** How far a text that grows was read. What stands before its last blocks is not read again, unless the text that is
 *  whole has definitions, which count for all of it.
 */
export class GrowingBlocks {
  private done: Block[] = [];
  private begin = 0;
  private level = 1;
  private env: Environment = {};
  private made = new Map<string, Block>();

  blocks(text: string, isGrowing: boolean): Block[] {
    if (!text.startsWith(this.seen)) this.reset();
    const shown = this.read(text, isGrowing);
    if (isGrowing || this.begin === 0 || !hasDefinitions(this.env)) return shown;
    this.reset();
    return this.read(text, isGrowing);
  }

  private read(text: string, isGrowing: boolean): Block[] {
    const tail = text.slice(this.begin);
    const groups = topLevel(parser.parse(tail, this.env));
    const levels = lowered(groups, this.level);
    const lines = tail.split("\n");
    const used = new Map<string, Block>();
    const blocks = groups.map((tokens, place) => {
      const [first, end] = tokens[0]?.map ?? [0, 0];
      const isLast = end >= lines.length;
      const index = this.done.length + place;
      const source = `${index} ${isLast} ${tokens[0]?.tag} ${JSON.stringify(this.env)} ${lines.slice(first, end).join("\n")}`;
      const block = this.made.get(source) ?? blockOf(tokens, { index, env: this.env, isLast });
      used.set(source, block);
      return block;
    });
    this.made = used;
    const shown = [...this.done, ...blocks];
    if (isGrowing) this.settle(groups, blocks, { lines, levels });
    this.seen = text.slice(0, this.begin);
    return shown;
  }

  private seen = "";

  /** Only the last two blocks can still become something else. */
  private settle(groups: Token[][], blocks: Block[], read: { lines: string[]; levels: number[] }): void {
    const settled = groups.length - 2;
    const line = groups[settled]?.[0]?.map?.[0];
    if (settled < 1 || line === undefined) return;
    this.done = [...this.done, ...blocks.slice(0, settled)];
    this.level = read.levels[settled - 1] ?? 1;
    this.begin += read.lines.slice(0, line).join("\n").length + 1;
  }

  private reset(): void {
    this.done = [];
    this.begin = 0;
    this.level = 1;
    this.env = {};
  }
}

function hasDefinitions(env: Environment): boolean {
  return Object.keys((env.references ?? {}) as object).length > 0;
}

function blockOf(tokens: Token[], at: { index: number; env: Environment; isLast: boolean }): Block {
  const first = tokens[0];
  const key = `${at.index}:${first?.type}`;
  if (first?.type === "fence" || first?.type === "code_block") {
    const language = first.info.trim().split(/\s+/)[0] ?? "";
    return { kind: "code", key, language, code: first.content, isOpen: at.isLast };
  }
  return { kind: "html", key, html: parser.renderer.render(tokens, parser.options, at.env) };
}

/** The page's own heading comes first, and no level is left out on the way down. Gives the level behind each block. */
function lowered(groups: Token[][], from: number): number[] {
  let level = from;
  return groups.map((tokens) => {
    for (const token of tokens) {
      if (token.type === "heading_open") level = Math.min(Number(token.tag[1]) + 1, level + 1, 6);
      if (token.type.startsWith("heading_")) token.tag = `h${level}`;
    }
    return level;
  });
}

function topLevel(tokens: Token[]): Token[][] {
  const groups: Token[][] = [];
  let group: Token[] = [];
  let depth = 0;
  for (const token of tokens) {
    group.push(token);
    depth += token.nesting;
    if (depth === 0) {
      groups.push(group);
      group = [];
    }
  }
  if (group.length > 0) groups.push(group);
  return groups;
}
