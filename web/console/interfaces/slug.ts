/** An address made of a name, in the alphabet that addresses have. */
const CYRILLIC = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя";
const LATIN = "a b v g d e e zh z i y k l m n o p r s t u f h ts ch sh sch  y  e yu ya".split(" ");
const MOST = 64;

export function slugOf(name: string): string {
  const letters = [...name.toLowerCase().normalize("NFC")].map((each) => {
    const place = CYRILLIC.indexOf(each);
    return place < 0 ? each : (LATIN[place] ?? "");
  });
  const plain = letters.join("").normalize("NFD").replace(/\p{M}/gu, "");
  return plain
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MOST)
    .replace(/^-+|-+$/g, "");
}
