/** Something that is asked for when a page opens: while it is awaited, and when it does not come. */
import { onMounted, ref } from "vue";
import { useLanguage } from "../../chat";
import { explain } from "../../chat/failures";
import { failureOf } from "../../chat/transport";
import { useFormWords } from "./words";

export function useLoading(load: () => Promise<void>) {
  const troubleOf = useTrouble();
  const isLoading = ref(true);
  const trouble = ref("");

  async function again(): Promise<void> {
    isLoading.value = true;
    trouble.value = "";
    try {
      await load();
    } catch (error) {
      trouble.value = troubleOf(error);
    } finally {
      isLoading.value = false;
    }
  }

  onMounted(again);
  return { isLoading, trouble, again };
}

/** Something that is done on a page: `refusal` says why it was not. */
export function useAttempt() {
  const troubleOf = useTrouble();
  const refusal = ref("");
  const isBusy = ref(false);

  async function attempt(work: () => Promise<void>): Promise<void> {
    refusal.value = "";
    isBusy.value = true;
    try {
      await work();
    } catch (error) {
      refusal.value = troubleOf(error);
    } finally {
      isBusy.value = false;
    }
  }

  return { refusal, isBusy, attempt };
}

/** What to tell of a failure. */
export function useTrouble(): (error: unknown) => string {
  const language = useLanguage();
  const say = useFormWords();
  return (error) => {
    const failure = failureOf(error);
    return failure.code === "not_found" ? say("missing") : explain(failure, language);
  };
}
