/** A form: what it began with, what is in it now, and what the API said to that. What is not saved survives a reload and
 *  a sign-in in this tab, and is not left without a question.
 */
import { computed, nextTick, onBeforeUnmount, reactive, type Ref, ref, shallowRef, watch } from "vue";
import { onBeforeRouteLeave } from "vue-router";
import { useDesk } from "../desk";
import { changesOf } from "./changes";
import { type ByCode, fieldErrorsOf } from "./refusals";
import { useTrouble } from "../asking";
import { useFormWords } from "./words";

interface Options {
  /** Under which name what is not saved is kept. */
  keptAs: string;
  byCode?: ByCode;
  /** Asked before unsaved changes are left behind. */
  mayLeave: () => Promise<boolean>;
}

export type Form<Values extends object> = ReturnType<typeof useForm<Values>>;

export function useForm<Values extends object>(first: Values, options: Options) {
  const say = useFormWords();
  const troubleOf = useTrouble();
  const kept = `frontdesk:form:${options.keptAs}`;
  const saved = shallowRef(copyOf(first));
  const values = reactive(copyOf(first)) as Values;
  const errors = ref<Record<string, string>>({});
  const trouble = ref("");
  const said = ref("");
  const isBusy = ref(false);
  const isRestored = ref(false);
  const isDirty = computed(() => Object.keys(changesOf(saved.value, values)).length > 0);

  /** These are stored. What was not saved before is on top of them. */
  function begin(stored: Values): void {
    saved.value = copyOf(stored);
    const before = sessionStorage.getItem(kept);
    Object.assign(values, copyOf(stored), before === null ? {} : (JSON.parse(before) as Values));
    isRestored.value = isDirty.value;
  }

  /** These are stored now, whatever is in the form: what was changed meanwhile stays to be saved. */
  function rebase(stored: Values): void {
    const mine = changesOf(saved.value, values);
    saved.value = copyOf(stored);
    Object.assign(values, copyOf(stored), copyOf(mine));
  }

  function undo(): void {
    Object.assign(values, copyOf(saved.value));
    errors.value = {};
    trouble.value = "";
    isRestored.value = false;
    sessionStorage.removeItem(kept);
  }

  /** `work` stores it and gives what is stored then. Whether it went well; otherwise the form says why not. */
  async function submit(work: (changes: Partial<Values>) => Promise<Values>): Promise<boolean> {
    if (isBusy.value) return false;
    isBusy.value = true;
    trouble.value = said.value = "";
    errors.value = {};
    const sent = copyOf(values);
    try {
      const stored = await work(changesOf(saved.value, sent));
      const since = changesOf(sent, values);
      saved.value = copyOf(stored);
      Object.assign(values, copyOf(stored), copyOf(since));
      isRestored.value = false;
      said.value = say("saved");
      return true;
    } catch (error) {
      errors.value = fieldErrorsOf(error, say, options.byCode);
      const isAboutFields = Object.keys(errors.value).length > 0;
      trouble.value = isAboutFields ? say("checkFields") : troubleOf(error);
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  watch(
    [values, saved],
    () => {
      if (isDirty.value) sessionStorage.setItem(kept, JSON.stringify(changesOf(saved.value, values)));
      else sessionStorage.removeItem(kept);
      if (isDirty.value) said.value = "";
    },
    { deep: true },
  );
  useGuard(isDirty, options.mayLeave, undo);

  return { values, saved, errors, trouble, said, isBusy, isDirty, isRestored, begin, rebase, undo, submit };
}

/** Nothing is left behind by going elsewhere without having said so. */
function useGuard(isDirty: Ref<boolean>, mayLeave: () => Promise<boolean>, undo: () => void): void {
  function warn(event: BeforeUnloadEvent): void {
    if (isDirty.value) event.preventDefault();
  }

  const { account } = useDesk();
  onBeforeRouteLeave(async () => {
    // Whoever is signed out finds it again.
    if (!isDirty.value || account.user.value === null) return true;
    if (!(await mayLeave())) return false;
    undo();
    return true;
  });
  window.addEventListener("beforeunload", warn);
  onBeforeUnmount(() => window.removeEventListener("beforeunload", warn));
}

/** Where somebody has to go on: the first field that the API refused. */
export async function focusWrong(within: HTMLElement | null | undefined): Promise<void> {
  await nextTick();
  within?.querySelector<HTMLElement>("[aria-invalid='true']")?.focus();
}

function copyOf<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}
