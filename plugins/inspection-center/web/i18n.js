import { state } from './api.js';

const zh = {
  'Inspection Center': '巡检中心', 'Inspections': '巡检', 'Templates': '模板', 'New inspection': '新建巡检', 'Run': '运行', 'Run now': '立即运行', 'Edit': '编辑', 'Delete': '删除', 'Cancel': '取消', 'Save': '保存', 'Back': '上一步', 'Next': '下一步', 'Close': '关闭',
  'Name': '名称', 'Description': '描述', 'Score': '得分', 'Last run': '最近运行', 'Findings': '发现', 'Targets': '目标', 'Schedule': '计划', 'Status': '状态', 'Actions': '操作', 'never': '从未', 'none': '无', 'by hand': '手动',
  'No inspections yet': '还没有巡检', 'An inspection asks machines questions from a template, judges the answers and keeps the history. Start with “Linux baseline” on every host.': '巡检按模板检查主机并判定结果、保留历史。可以从对所有主机执行“Linux 基线”开始。', 'Create the first inspection': '创建第一个巡检',
  'Template': '模板', 'Choose templates': '选择模板', 'What is inspected': '巡检内容', '{n} checks': '{n} 项检查', 'Thresholds': '阈值', 'When': '何时', 'Which ones': '哪些目标', 'Filter': '过滤条件', 'All of them when empty. Attributes of {model}, for example: {example}': '留空表示全部。使用 {model} 的属性，例如：{example}',
  'matches {n}': '匹配 {n} 个', 'Nothing matches': '没有匹配的目标', 'and {n} more': '另有 {n} 个', 'Looking…': '查询中…', 'online': '在线', 'offline': '离线', 'unknown': '未知', 'no_agent': '无代理', 'no agent': '无代理',
  'Check': '检查项', 'on': '启用', 'Changed from the template': '已偏离模板', 'Reset': '重置', 'Not by itself': '不自动运行', 'On a schedule': '按计划', 'Cron': 'Cron 表达式', 'minute hour day month weekday': '分 时 日 月 周', 'Time zone': '时区', 'Next five times': '接下来五次', 'Every day at 6:00': '每天 6:00', 'Mondays at 6:00': '每周一 6:00', 'Every hour': '每小时', 'Reports to keep': '保留报告数', 'Enabled': '启用',
  'Save and run': '保存并运行', 'Saved': '已保存', 'Delete this inspection and all its reports?': '删除该巡检及其所有报告？', 'Delete this report?': '删除该报告？', 'Delete this template?': '删除该模板？', 'This cannot be undone.': '此操作无法撤销。',
  'Fatal': '致命', 'Warning': '警告', 'Notification': '提示', 'OK': '正常', 'Skipped': '跳过', 'Not applicable': '不适用', 'Not evaluated': '未能评估', 'fatal': '致命', 'warning': '警告', 'notification': '提示', 'ok': '正常', 'skipped': '跳过', 'not_applicable': '不适用', 'error': '未能评估',
  'inspected': '已巡检', 'timed_out': '超时', 'failed': '失败', 'cancelled': '已取消', 'queued': '排队中', 'running': '执行中', 'finished': '已完成', 'pending': '待执行', 'waiting': '等待中', 'succeeded': '已返回', 'graded': '已判定', 'lost': '失联', 'rejected': '被拒绝',
  'By target': '按目标', 'By check': '按检查项', 'What changed': '变化', 'Export HTML': '导出 HTML', 'Export CSV': '导出 CSV', 'Stop': '停止', 'of 100': '满分 100', '{a} of {b} targets inspected': '已巡检 {a}/{b} 个目标', 'Started {time}': '开始于 {time}', 'took {s} s': '用时 {s} 秒',
  'Search targets': '搜索目标', 'Show more': '显示更多', 'Evidence': '证据', 'Advice': '处理建议', 'exit code {n}': '退出码 {n}', 'the rest was cut': '其余已截断', 'no output': '无输出', 'No findings': '没有发现问题', 'All levels': '全部级别', 'Not inspected': '未巡检', 'New': '新增', 'Worse': '加重', 'Better': '减轻', 'Gone': '消除', 'new': '新增', 'worse': '加重', 'better': '减轻', 'gone': '消除',
  'This is the first report: there is nothing to compare with.': '这是第一份报告，没有可对比的内容。', 'Nothing changed since the last report.': '与上次报告相比没有变化。', 'Compared with the report of {time}': '与 {time} 的报告对比',
  'History': '历史', 'Trend': '趋势', 'No reports yet': '还没有报告', 'Run it once to see a report here.': '运行一次后即可在此查看报告。', 'Report': '报告', 'Time': '时间', 'Started by': '发起人', 'schedule': '计划任务', 'Next: {time}': '下次：{time}',
  'built-in': '内置', 'own': '自定义', 'Copy': '复制', 'Copy template': '复制模板', 'Id of the copy': '副本 ID', 'Title': '标题', 'Form': '表单', 'Valid': '有效', '{n} problems': '{n} 个问题', 'Built-in templates are read-only. Copy this one to change it.': '内置模板为只读，复制后可修改。', 'Command': '命令', 'Level': '级别', 'Timeout (seconds)': '超时（秒）', 'Category': '分类', 'Parameters': '参数', 'Model': '模型', 'Add check': '添加检查项', 'Remove': '移除', 'Saving the form writes new YAML: its comments are lost.': '保存表单会重写 YAML，注释将丢失。', 'English': '英文', 'Chinese': '中文', 'Message': '提示信息', 'Field': '字段', 'Value': '值', 'Comparison': '比较',
  'All targets': '全部目标', 'Inspect all': '一键巡检全部', 'Inspect some…': '选择目标…', 'Or inspect everything with one click': '或一键巡检全部目标', 'Leave without saving?': '不保存就离开？', 'Leave': '离开', 'Stay': '留下',
  'Open the workflow': '查看工作流', 'Try again': '重试', 'Progress': '进度', '{a} of {b} done': '已完成 {a}/{b}', 'Edit inspection': '编辑巡检', 'Could not load': '加载失败', 'Not saved: {why}': '未保存：{why}', 'Home': '首页', 'Inspection': '巡检', 'Choose at least one template.': '请至少选择一个模板。', 'Give it a name.': '请填写名称。', 'Planning: finding the targets': '规划中：正在查找目标', 'Step {n} of 4': '第 {n} 步，共 4 步', 'Filter changed': '过滤条件', 'Check id': '检查项 ID', 'Unsaved changes': '有未保存的修改',
};

// Words of the data that are not English as they stand.
const en = { timed_out: 'timed out', no_agent: 'no agent', not_applicable: 'Not applicable', error: 'Not evaluated', fatal: 'Fatal', warning: 'Warning', notification: 'Notification', ok: 'OK', skipped: 'Skipped', succeeded: 'answered' };

export function t(text, values) {
  let out = (state.locale.startsWith('zh') ? zh[text] : en[text]) || text;
  for (const [name, value] of Object.entries(values || {})) out = out.replaceAll(`{${name}}`, value);
  return out;
}

/** A text of the data, which comes in both languages. */
export function tx(text) {
  if (!text) return '';
  if (typeof text === 'string') return text;
  return (state.locale.startsWith('zh') && text.zh) || text.en || '';
}

export function when(ms) {
  if (!ms) return t('never');
  return new Intl.DateTimeFormat(state.locale.startsWith('zh') ? 'zh-CN' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(ms));
}
