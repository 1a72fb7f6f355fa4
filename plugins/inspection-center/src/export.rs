//! A report for people without Plenum: one HTML file that needs nothing else and prints well, and CSV.

use plenum_sdk::{Result, Timestamp};

use crate::check::grade::Status;
use crate::check::template::{Check, Text};
use crate::model::{EVIDENCE, Plan, Target, TargetEvidence, TargetState};
use crate::{flow, reports};

/// Targets in one file; a browser has to open it.
const MAX_TARGETS: usize = 2_000;
/// Bytes of evidence in a file; beyond this it is left out and the file says so.
const MAX_EVIDENCE_BYTES: usize = 6 * 1024 * 1024;
/// Bytes of a table; beyond this the least bad targets are left out and its last line says so.
const MAX_CSV_BYTES: usize = 24 * 1024 * 1024;

/// A table of all findings and of what could not be inspected.
pub fn csv(id: &str, locale: &str) -> Result<String> {
    let report = reports::detail(id)?;
    let plans = reports::plans(id)?;
    let zh = locale.starts_with("zh");
    // The mark lets spreadsheets read UTF-8.
    let mut out = String::from("\u{feff}");
    let head: [&str; 10] = if zh {
        ["目标", "模型", "目标状态", "得分", "模板", "检查项", "结果", "对象", "说明", "处理建议"]
    } else {
        ["target", "model", "target state", "score", "template", "check", "result", "object", "message", "advice"]
    };
    row(&mut out, head.iter().map(|text| (*text).to_owned()));
    let complete = reports::each_target(id, |target| {
        if out.len() > MAX_CSV_BYTES {
            return Ok(false);
        }
        csv_target(&mut out, target, plans.iter().find(|plan| plan.index == target.plan), locale, zh);
        Ok(true)
    })?;
    if !complete {
        let total = report.report.totals.targets.total;
        row(
            &mut out,
            [if zh { format!("… 已截断，共 {total} 个目标") } else { format!("… cut here; {total} targets in all") }].into_iter(),
        );
    }
    Ok(out)
}

fn csv_target(out: &mut String, target: &Target, plan: Option<&Plan>, locale: &str, zh: bool) {
    let template = plan.map(|plan| plan.template.title.get(locale).to_owned()).unwrap_or_default();
    let score = target.score.map(|score| score.to_string()).unwrap_or_default();
    let mut line = |check: &str, result: &str, object: &str, message: &str, advice: &str| {
        let cells = [&target.label, &target.model, state_word(target.state, zh), &score, &template, check, result, object, message, advice];
        row(out, cells.iter().map(|text| (*text).to_string()));
    };
    if target.state != TargetState::Inspected {
        line("", state_word(target.state, zh), "", target.reason.get(locale), "");
    }
    for result in &target.results {
        let check = plan.and_then(|plan| plan.template.checks.iter().find(|check| check.id == result.check));
        let title = check.map_or(result.check.as_str(), |check| check.title.get(locale));
        let advice = check.map_or("", |check| check.advice.get(locale));
        if result.items.is_empty() {
            line(title, status_word(result.status, zh), "", result.value.get(locale), "");
        }
        for item in &result.items {
            line(title, status_word(item.level.into(), zh), &item.label, item.message.get(locale), advice);
        }
    }
}

fn row(out: &mut String, cells: impl Iterator<Item = String>) {
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&csv_cell(&cell));
    }
    out.push_str("\r\n");
}

/// Quoted always. What a spreadsheet would take for a formula gets an apostrophe before it: cells hold words that machines printed.
pub fn csv_cell(text: &str) -> String {
    let plain_number = !text.is_empty() && text.parse::<f64>().is_ok_and(f64::is_finite);
    let risky =
        !plain_number && text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']) || text.starts_with(['\t', '\r', '\n']);
    let guard = if risky { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// One HTML file.
pub fn html(id: &str, locale: &str) -> Result<String> {
    let detail = reports::detail(id)?;
    let plans = reports::plans(id)?;
    let zh = locale.starts_with("zh");
    let w = |en: &'static str, zh_text: &'static str| if zh { zh_text } else { en };
    let totals = &detail.report.totals;
    let mut out = String::with_capacity(64 * 1024);
    out.push_str(&format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>{} · {}</title><style>{}</style></head><body><main>\n",
        if zh { "zh-CN" } else { "en" },
        escape(&detail.report.name),
        w("Inspection report", "巡检报告"),
        STYLE
    ));
    out.push_str(&format!(
        "<header><h1>{}</h1><p class=\"meta\">{} {} UTC · {} {}</p></header>\n<section class=\"sum\"><div class=\"score\"><b>{}</b><span>{}</span></div><dl>",
        escape(&detail.report.name),
        w("Started", "开始时间"),
        time(detail.report.created_at),
        w("Report", "报告"),
        escape(id),
        detail.score.map_or_else(|| "–".to_owned(), |score| score.to_string()),
        w("of 100", "满分 100"),
    ));
    let c = &totals.counts;
    for (name, value, class) in [
        (w("Fatal", "致命"), c.fatal, "fatal"),
        (w("Warning", "警告"), c.warning, "warning"),
        (w("Notification", "提示"), c.notification, "notification"),
        (w("OK", "正常"), c.ok, "ok"),
        (w("Skipped", "跳过"), c.skipped + c.not_applicable, "skipped"),
        (w("Could not be evaluated", "未能评估"), c.error, "error"),
        (w("Targets inspected", "已巡检目标"), totals.targets.inspected, ""),
        (w("Targets not inspected", "未巡检目标"), totals.targets.total - totals.targets.inspected.min(totals.targets.total), "error"),
    ] {
        out.push_str(&format!("<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    out.push_str("</dl></section>\n");
    for problem in &detail.report.problems {
        out.push_str(&format!("<p class=\"problem\">{}</p>\n", escape(problem.get(locale))));
    }
    if detail.report.previous.is_some() {
        let ch = &totals.changes;
        out.push_str(&format!(
            "<p class=\"meta\">{}: {} {}, {} {}, {} {}, {} {}</p>\n",
            w("Since the last report", "与上次相比"),
            ch.new,
            w("new", "新增"),
            ch.worse,
            w("worse", "加重"),
            ch.better,
            w("better", "减轻"),
            ch.gone,
            w("gone", "消除"),
        ));
    }
    checks_table(&mut out, &plans, totals, locale, zh);
    let (mut evidence_bytes, mut seen) = (0, 0);
    let complete = reports::each_target(id, |target| {
        if seen == MAX_TARGETS {
            return Ok(false);
        }
        seen += 1;
        let plan = plans.iter().find(|plan| plan.index == target.plan);
        let evidence = if evidence_bytes < MAX_EVIDENCE_BYTES && !target.found.is_empty() {
            let found = EVIDENCE.get(&flow::part(id, target.index))?.map(|doc| doc.data);
            evidence_bytes += found.as_ref().map_or(0, |all| all.checks.iter().map(|check| check.stdout.len() + check.stderr.len()).sum());
            found
        } else {
            None
        };
        target_section(&mut out, target, plan, evidence.as_ref(), locale, zh);
        Ok(true)
    })?;
    if !complete {
        out.push_str(&format!(
            "<p class=\"problem\">{} {MAX_TARGETS} / {}</p>\n",
            w("This file holds the worst targets only:", "本文件仅包含最差的目标："),
            totals.targets.total
        ));
    }
    if evidence_bytes >= MAX_EVIDENCE_BYTES {
        out.push_str(&format!(
            "<p class=\"problem\">{}</p>\n",
            w("Evidence was left out of the rest to keep the file small.", "为控制文件大小，其余证据已省略。")
        ));
    }
    out.push_str(&format!("<footer>{} · Plenum Inspection Center</footer>\n</main></body></html>\n", w("Made by", "生成")));
    Ok(out)
}

fn checks_table(out: &mut String, plans: &[Plan], totals: &crate::model::Totals, locale: &str, zh: bool) {
    out.push_str(&format!("<h2>{}</h2>\n", if zh { "按检查项" } else { "By check" }));
    for plan in plans {
        out.push_str(&format!("<table><caption>{}</caption><thead><tr>", escape(plan.template.title.get(locale))));
        for head in if zh {
            ["检查项", "致命", "警告", "提示", "正常", "其他"]
        } else {
            ["Check", "Fatal", "Warning", "Notification", "OK", "Other"]
        } {
            out.push_str(&format!("<th scope=\"col\">{head}</th>"));
        }
        out.push_str("</tr></thead><tbody>");
        for check in &plan.template.checks {
            let counts = totals.checks.iter().find(|t| t.plan == plan.index && t.check == check.id).map(|t| t.counts).unwrap_or_default();
            out.push_str(&format!(
                "<tr><th scope=\"row\">{}</th><td class=\"fatal\">{}</td><td class=\"warning\">{}</td><td class=\"notification\">{}</td><td>{}</td><td>{}</td></tr>",
                escape(check.title.get(locale)),
                blank(counts.fatal),
                blank(counts.warning),
                blank(counts.notification),
                blank(counts.ok),
                blank(counts.skipped + counts.not_applicable + counts.error),
            ));
        }
        out.push_str("</tbody></table>\n");
    }
}

fn blank(count: u32) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

fn target_section(out: &mut String, target: &Target, plan: Option<&Plan>, evidence: Option<&TargetEvidence>, locale: &str, zh: bool) {
    out.push_str(&format!(
        "<section class=\"target\"><h2>{} <small>{} · {}{}</small></h2>\n",
        escape(&target.label),
        escape(plan.map_or(target.model.as_str(), |plan| plan.template.title.get(locale))),
        state_word(target.state, zh),
        target.score.map(|score| format!(" · {score}")).unwrap_or_default()
    ));
    if target.state != TargetState::Inspected {
        out.push_str(&format!("<p class=\"problem\">{}</p>\n", escape(target.reason.get(locale))));
    }
    let mut results: Vec<_> = target.results.iter().collect();
    results.sort_by_key(|result| result.status);
    for result in results {
        let check: Option<&Check> = plan.and_then(|plan| plan.template.checks.iter().find(|check| check.id == result.check));
        let title = check.map_or(result.check.as_str(), |check| check.title.get(locale));
        let class = format!("{:?}", result.status).to_lowercase();
        out.push_str(&format!(
            "<article class=\"{class}\"><h3><span class=\"tag\">{}</span> {} <small>{}</small></h3>",
            status_word(result.status, zh),
            escape(title),
            escape(result.value.get(locale))
        ));
        if !result.items.is_empty() {
            out.push_str("<ul>");
            for item in &result.items {
                out.push_str(&format!("<li class=\"{}\">{}</li>", item.level.as_str(), escape(item.message.get(locale))));
            }
            if result.more > 0 {
                out.push_str(&format!("<li>+{}</li>", result.more));
            }
            out.push_str("</ul>");
            let advice: &Text = &check.map(|check| check.advice.clone()).unwrap_or_default();
            if !advice.is_empty() {
                out.push_str(&format!("<p class=\"advice\">{}</p>", escape(advice.get(locale))));
            }
        }
        let raw = evidence.and_then(|all| all.checks.iter().find(|raw| raw.check == result.check));
        // What is fine needs no proof on paper.
        if let Some(raw) = raw.filter(|_| result.status.level().is_some() || result.status == Status::Error) {
            let text = [raw.stdout.trim_end(), raw.stderr.trim_end()].join("\n");
            if !text.trim().is_empty() {
                out.push_str(&format!("<pre>{}{}</pre>", escape(text.trim()), if raw.truncated { "\n…" } else { "" }));
            }
        }
        out.push_str("</article>\n");
    }
    out.push_str("</section>\n");
}

/// For text and for attributes in double quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn state_word(state: TargetState, zh: bool) -> &'static str {
    match (state, zh) {
        (TargetState::Inspected, false) => "inspected",
        (TargetState::Inspected, true) => "已巡检",
        (TargetState::Offline, false) => "offline",
        (TargetState::Offline, true) => "离线",
        (TargetState::TimedOut, false) => "timed out",
        (TargetState::TimedOut, true) => "超时",
        (TargetState::Failed, false) => "failed",
        (TargetState::Failed, true) => "失败",
        (TargetState::NoAgent, false) => "no agent",
        (TargetState::NoAgent, true) => "无代理",
        (TargetState::Cancelled, false) => "cancelled",
        (TargetState::Cancelled, true) => "已取消",
    }
}

fn status_word(status: Status, zh: bool) -> &'static str {
    match (status, zh) {
        (Status::Fatal, false) => "Fatal",
        (Status::Fatal, true) => "致命",
        (Status::Warning, false) => "Warning",
        (Status::Warning, true) => "警告",
        (Status::Notification, false) => "Notification",
        (Status::Notification, true) => "提示",
        (Status::Error, false) => "Not evaluated",
        (Status::Error, true) => "未能评估",
        (Status::Skipped, false) => "Skipped",
        (Status::Skipped, true) => "跳过",
        (Status::NotApplicable, false) => "Not applicable",
        (Status::NotApplicable, true) => "不适用",
        (Status::Ok, false) => "OK",
        (Status::Ok, true) => "正常",
    }
}

/// `2026-11-23 07:15:58`, in UTC.
fn time(at: Timestamp) -> String {
    at.to_string().chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

const STYLE: &str = include_str!("export.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        assert_eq!(csv_cell("=cmd|'/c calc'!A1"), "\"'=cmd|'/c calc'!A1\"");
        assert_eq!(csv_cell("@sum(1)"), "\"'@sum(1)\"");
        assert_eq!(csv_cell("+1+2"), "\"'+1+2\"");
        assert_eq!(csv_cell("-2"), "\"-2\"");
        assert_eq!(csv_cell("\t=1"), "\"'\t=1\"");
        assert_eq!(csv_cell("a \"b\", c\nd"), "\"a \"\"b\"\", c\nd\"");
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(escape("<img src=x onerror='a'>&\""), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
    }
}
