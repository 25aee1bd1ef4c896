import { wording } from "../wording";
import { en } from "./words/en";
import { ru } from "./words/ru";

export const useWords = wording({ en, ru });
