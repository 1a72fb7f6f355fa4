/** Texts of this area, in both languages; `../en.ts` and `../zh.ts` spread them. */
export const en = {
  'scope.attributes': 'Attributes',
  'scope.scripts': 'Scripts',
  'scope.users': 'Accounts',
  'scope.targets': 'On hosts with',
} as const satisfies Record<string, string>;

export const zh: Record<keyof typeof en, string> = {
  'scope.attributes': '属性',
  'scope.scripts': '脚本',
  'scope.users': '账号',
  'scope.targets': '仅限主机',
};
