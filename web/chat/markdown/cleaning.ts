/** The one door by which HTML that was made of somebody's text enters the page, while it grows and after. */
import createDOMPurify, { type Config } from "dompurify";

const ANSWER: Config = {
  ALLOWED_TAGS: [
    ..."p br hr strong em s code pre blockquote ul ol li a span div h1 h2 h3 h4 h5 h6".split(" "),
    ..."table thead tbody tr th td".split(" "),
  ],
  ALLOWED_ATTR: ["href", "title", "class", "align", "start", "tabindex", "role"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const CODE: Config = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
const OUR_CLASSES = new Set(["fd-picture", "fd-table"]);

const purifier = createDOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A") {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow ugc");
  }
  if (node.hasAttribute("tabindex")) node.setAttribute("tabindex", "0");
});

export function cleanAnswer(html: string): DocumentFragment {
  const fragment = purifier.sanitize(html, ANSWER) as unknown as DocumentFragment;
  for (const node of fragment.querySelectorAll("[class]")) {
    if (!OUR_CLASSES.has(node.className)) node.removeAttribute("class");
  }
  return fragment;
}

/** What the highlighter made of code. */
export function cleanCode(html: string): DocumentFragment {
  return purifier.sanitize(html, CODE) as unknown as DocumentFragment;
}
