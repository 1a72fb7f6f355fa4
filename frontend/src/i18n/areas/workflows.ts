/** Texts of this area, in both languages; `../en.ts` and `../zh.ts` spread them. */
export const en = {
} as const satisfies Record<string, string>;

export const zh: Record<keyof typeof en, string> = {
};
