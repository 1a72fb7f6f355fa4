/** Texts of the search over all records, in both languages; `../en.ts` and `../zh.ts` spread them. */
export const en = {
  'search.title': 'Search',
  'search.lead': 'All records, the best first. Every word has to be found where a word begins; in names also inside.',
  'search.placeholder': 'Words, a host name, an address such as 10.2.',
  'search.all': 'All results',
  'search.models': 'Models',
  'search.every': 'All ({n})',
  'search.everyMore': 'All (more than {n})',
  'search.results': 'Results',
  'search.more': 'More results',
  'search.none': 'Nothing matches all of these words',
  'search.noneText': 'Use fewer words, or the beginnings of words.',
  'search.ask': 'Type what you look for',
  'search.end': 'The best {n} are shown; more words narrow the rest.',
  'search.building': 'The search index is being built; some records may not be found yet.',
};

export const zh = {
  'search.title': '搜索',
  'search.lead': '在所有记录中搜索，最匹配的在前。每个词都须从单词开头匹配；名称中间也可匹配。',
  'search.placeholder': '词语、主机名，或地址如 10.2.',
  'search.all': '全部结果',
  'search.models': '模型',
  'search.every': '全部（{n}）',
  'search.everyMore': '全部（超过 {n}）',
  'search.results': '结果',
  'search.more': '更多结果',
  'search.none': '没有记录同时匹配这些词',
  'search.noneText': '请减少词语，或只输入单词的开头。',
  'search.ask': '请输入要查找的内容',
  'search.end': '仅显示最匹配的 {n} 条；增加词语可缩小范围。',
  'search.building': '搜索索引正在建立，部分记录可能暂时搜不到。',
};
