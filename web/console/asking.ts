/** What a page asks of the API: whether it waits, and what to tell when it did not work. */
import { ref } from "vue";
import { useLanguage } from "../chat";
import { explain } from "../chat/failures";
import { failureOf } from "../chat/transport";

export function useAsking() {
  const language = useLanguage();
  const isBusy = ref(false);
  const trouble = ref("");

  /** Undefined when it failed, which `trouble` then says. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    isBusy.value = true;
    trouble.value = "";
    try {
      return await work();
    } catch (error) {
      trouble.value = explain(failureOf(error), language);
      return undefined;
    } finally {
      isBusy.value = false;
    }
  }

  return { isBusy, trouble, attempt };
}
