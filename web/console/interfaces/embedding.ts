/** What an owner copies to put a chat in front of people. */
export interface Embedding {
  page: string;
  frame: string;
  widget: string;
}

export function embeddingOf(origin: string, slug: string, title: string): Embedding {
  const name = title.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;");
  return {
    page: `${origin}/c/${slug}`,
    frame: `<iframe src="${origin}/embed/${slug}" title="${name}" allow="clipboard-write" width="400" height="640"></iframe>`,
    widget: `<script src="${origin}/widget/${slug}.js" async></script>`,
  };
}
