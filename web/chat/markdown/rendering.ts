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

/** `made` keeps the blocks from one call to the next of the same growing text. */
export function blocksOf(text: string, made: Map<string, Block>): Block[] {
  const env: Environment = {};
  const lines = text.split("\n");
  const used = new Map<string, Block>();
  const blocks = topLevel(lowered(parser.parse(text, env))).map((tokens, index) => {
    const [begin, end] = tokens[0]?.map ?? [0, 0];
    const isLast = end >= lines.length;
    const source = `${index} ${isLast} ${JSON.stringify(env)} ${lines.slice(begin, end).join("\n")}`;
    const block = made.get(source) ?? blockOf(tokens, { index, env, isLast });
    used.set(source, block);
    return block;
  });
  made.clear();
  for (const [source, block] of used) made.set(source, block);
  return blocks;
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

/** The page's own heading comes first, and no level is left out on the way down. */
function lowered(tokens: Token[]): Token[] {
  let level = 1;
  for (const token of tokens) {
    if (token.type === "heading_open") level = Math.min(Number(token.tag[1]) + 1, level + 1, 6);
    if (token.type.startsWith("heading_")) token.tag = `h${level}`;
  }
  return tokens;
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
