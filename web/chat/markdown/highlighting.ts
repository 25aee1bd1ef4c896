/** Colours for code, loaded when the first block of code is whole. */
import highlighter from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import markdown from "highlight.js/lib/languages/markdown";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import swift from "highlight.js/lib/languages/swift";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { cleanCode } from "./cleaning";

const languages = { bash, c, cpp, csharp, css, diff, go, java, javascript, json, kotlin, markdown, php, python, ruby };
const more = { rust, sql, swift, typescript, xml, yaml };
for (const [name, language] of Object.entries({ ...languages, ...more })) highlighter.registerLanguage(name, language);

const MOST_CHARACTERS = 60_000;

/** Undefined for a language that is not known, and for code that would take too long. */
export function highlighted(code: string, language: string): DocumentFragment | undefined {
  if (code.length > MOST_CHARACTERS || !highlighter.getLanguage(language)) return undefined;
  return cleanCode(highlighter.highlight(code, { language, ignoreIllegals: true }).value);
}
