/** What a page asks of the API: whether it waits, and what to tell when it did not work. */
import { onMounted, ref } from "vue";
import { useLanguage } from "../chat";
import { explain } from "../chat/failures";
import { failureOf } from "../chat/transport";
import { useTexts } from "./texts";

export function useAsking() {
  const troubleOf = useTrouble();
  const isBusy = ref(false);
  const trouble = ref("");

  /** Undefined when it failed, which `trouble` then says. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    isBusy.value = true;
    trouble.value = "";
    try {
      return await work();
    } catch (error) {
      trouble.value = troubleOf(error);
      return undefined;
    } finally {
      isBusy.value = false;
    }
  }

  return { isBusy, trouble, attempt };
}

/** What a page needs from the beginning, asked for when it opens. */
export function useLoading(load: () => Promise<void>) {
  const { trouble, attempt } = useAsking();
  const isLoading = ref(true);

  async function again(): Promise<void> {
    isLoading.value = true;
    await attempt(load);
    isLoading.value = false;
  }

  onMounted(again);
  return { isLoading, trouble, again };
}

/** What to tell of a failure. */
export function useTrouble(): (error: unknown) => string {
  const language = useLanguage();
  const say = useTexts();
  return (error) => {
    const failure = failureOf(error);
    return failure.code === "not_found" ? say("missing") : explain(failure, language);
  };
}
