'use strict';

const WORDS = {
  en: {
    search: 'Search runbooks', none: 'No runbook matches.', add: 'New runbook', edit: 'Edit', back: 'All runbooks', remove: 'Delete', sure: 'Delete this runbook?',
    save: 'Save', cancel: 'Cancel', title: 'Title', summary: 'Summary', model: 'CMDB model', filter: 'Only records that match (CEL)', tags: 'Tags, by commas',
    body: 'Text (Markdown)', steps: 'Steps', addStep: 'Add a step', script: 'Script', language: 'Language', timeout: 'Time-out, seconds', danger: 'Ask before running',
    run: 'Run', runOn: 'Run on', choose: 'Find records', noRecords: 'No record matches.', more: 'More match: search for the one that you mean.', ask: 'Run this step on',
    history: 'Run before', by: 'by', shownStep: 'Show the script', records: 'records', saved: 'Saved', stepCount: 'steps', changed: 'Changed',
  },
  zh: {
    search: '搜索手册', none: '没有匹配的手册。', add: '新建手册', edit: '编辑', back: '全部手册', remove: '删除', sure: '确定删除此手册？',
    save: '保存', cancel: '取消', title: '标题', summary: '摘要', model: 'CMDB 模型', filter: '仅限匹配的记录（CEL）', tags: '标签，逗号分隔',
    body: '正文（Markdown）', steps: '步骤', addStep: '添加步骤', script: '脚本', language: '语言', timeout: '超时（秒）', danger: '执行前确认',
    run: '执行', runOn: '执行对象', choose: '查找记录', noRecords: '没有匹配的记录。', more: '还有更多匹配，请搜索。', ask: '执行此步骤于',
    history: '执行历史', by: '执行人', shownStep: '查看脚本', records: '条记录', saved: '已保存', stepCount: '个步骤', changed: '更新',
  },
};

const words = () => WORDS[document.documentElement.lang.startsWith('zh') ? 'zh' : 'en'];

/** An element. Text is only ever set as text: what others typed never becomes markup. */
function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name in e && typeof value !== 'string') e[name] = value;
    else if (value !== null) e.setAttribute(name, value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return e;
}

const button = (text, onclick, kind = '') => el('button', { type: 'button', class: kind, onclick }, text);

/** Markdown as far as runbooks need it: headings, lists, code, emphasis. Each part becomes an element of its own. */
function markdown(text) {
  const out = [];
  let list = null;
  let code = null;
  for (const line of text.split('\n')) {
    if (line.startsWith('```')) {
      if (code) out.push(el('pre', {}, code.join('\n')));
      code = code ? null : [];
      continue;
    }
    if (code) {
      code.push(line);
      continue;
    }
    const item = /^\s*(?:[-*]|(\d+)\.)\s+(.*)$/.exec(line);
    if (item) {
      const tag = item[1] ? 'ol' : 'ul';
      if (list?.tagName.toLowerCase() !== tag) out.push((list = el(tag)));
      list.append(el('li', {}, inline(item[2])));
      continue;
    }
    list = null;
    const heading = /^(#{1,4})\s+(.*)$/.exec(line);
    if (heading) out.push(el(heading[1].length > 2 ? 'h3' : 'h2', {}, inline(heading[2])));
    else if (line.trim()) out.push(el('p', {}, inline(line)));
  }
  if (code) out.push(el('pre', {}, code.join('\n')));
  return out;
}

function inline(text) {
  return text.split(/(\*\*[^*]+\*\*|\*[^*]+\*|`[^`]+`)/).map((part) => {
    if (part.length > 4 && part.startsWith('**')) return el('strong', {}, part.slice(2, -2));
    if (part.length > 2 && part.startsWith('*')) return el('em', {}, part.slice(1, -1));
    if (part.length > 2 && part.startsWith('`')) return el('code', {}, part.slice(1, -1));
    return part;
  });
}
