/** Files on their way, from the moment they are chosen. Refuses what the interface would refuse, before a byte is sent. */
import { computed, shallowReactive } from "vue";
import { explain } from "./failures";
import type { Language } from "./i18n";
import { type Attachment, newKey } from "./model";
import { failureOf, type Transport } from "./transport";

export interface Upload {
  key: string;
  file: File;
  progress: number;
  state: "uploading" | "ready" | "failed";
  trouble: string;
  attachment: Attachment | null;
  cut: AbortController;
}

export type Uploads = ReturnType<typeof uploading>;

export function uploading(transport: Transport, language: Language) {
  const files = shallowReactive<Upload[]>([]);
  const refusals = shallowReactive<string[]>([]);
  const limits = transport.uploads;

  function add(chosen: Iterable<File>): void {
    refusals.length = 0;
    for (const file of chosen) {
      const refusal = refusalOf(file);
      if (refusal !== undefined) {
        refusals.push(refusal);
        continue;
      }
      const upload = shallowReactive<Upload>({
        key: newKey(),
        file,
        progress: 0,
        state: "uploading",
        trouble: "",
        attachment: null,
        cut: new AbortController(),
      });
      files.push(upload);
      void start(upload);
    }
  }

  function refusalOf(file: File): string | undefined {
    if (!limits) return "";
    const isTaken = limits.accept.some((each) => matches(file.type, each));
    if (!isTaken && file.type !== "") return language.t("fileType", { name: file.name });
    if (file.size > limits.maxBytes) {
      return language.t("fileTooLarge", { name: file.name, limit: language.size(limits.maxBytes) });
    }
    return files.length >= limits.maxFiles ? language.t("tooManyFiles", { count: limits.maxFiles }) : undefined;
  }

  async function start(upload: Upload): Promise<void> {
    upload.state = "uploading";
    upload.trouble = "";
    upload.progress = 0;
    upload.cut = new AbortController();
    try {
      const sent = transport.upload?.(
        upload.file,
        (fraction) => {
          upload.progress = fraction;
        },
        upload.cut.signal,
      );
      upload.attachment = (await sent) ?? null;
      upload.state = "ready";
    } catch (error) {
      upload.state = "failed";
      upload.trouble = explain(failureOf(error), language);
    }
  }

  function remove(upload: Upload): void {
    upload.cut.abort();
    files.splice(files.indexOf(upload), 1);
    refusals.length = 0;
  }

  /** The files that are there, which leave with the message. */
  function take(): Attachment[] {
    const ready = files.flatMap((each) => (each.attachment ? [each.attachment] : []));
    files.length = 0;
    refusals.length = 0;
    return ready;
  }

  const isBusy = computed(() => files.some((each) => each.state === "uploading"));
  return { files, refusals, limits, isBusy, add, start, remove, take };
}

function matches(type: string, pattern: string): boolean {
  return pattern === type || (pattern.endsWith("/*") && type.startsWith(pattern.slice(0, -1)));
}
