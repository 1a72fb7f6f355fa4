//! Reading a template that somebody wrote: every problem at once, each with the place (JSON pointer) and what to do.

use std::collections::HashSet;

pub use plenum_sdk::Problem;
use serde_json::Value;

use super::parse;
use super::template::{Op, Parser, Template, Threshold};

/// Commands and thresholds beyond these would not fit a script or a report.
pub const MAX_CHECKS: usize = 120;
/// Largest source text of a template.
pub const MAX_SOURCE: usize = 256 * 1024;
/// Largest command of one check.
const MAX_COMMAND: usize = 16 * 1024;

fn problem(pointer: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem { pointer: pointer.into(), message: message.into() }
}

/// Reads YAML (JSON is YAML too) into a template.
pub fn read(source: &str) -> Result<Template, Vec<Problem>> {
    if source.len() > MAX_SOURCE {
        return Err(vec![problem("", format!("the template has {} bytes, {MAX_SOURCE} are allowed: split it", source.len()))]);
    }
    let value: Value = serde_norway::from_str(source).map_err(|error| vec![problem("", format!("not YAML: {error}"))])?;
    from_value(value)
}

/// Checks a template that came as JSON.
pub fn from_value(value: Value) -> Result<Template, Vec<Problem>> {
    let template: Template = serde_path_to_error::deserialize(value)
        .map_err(|error| vec![problem(pointer_of(&error.path().to_string()), error.inner().to_string())])?;
    let problems = check(&template);
    if problems.is_empty() { Ok(template) } else { Err(problems) }
}

/// `checks[3].parse.kind` → `/checks/3/parse/kind`.
fn pointer_of(path: &str) -> String {
    if path == "." {
        return String::new();
    }
    let mut out = String::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        if let Some(name) = pieces.next().filter(|name| !name.is_empty()) {
            out.push('/');
            out.push_str(name);
        }
        for index in pieces {
            out.push('/');
            out.push_str(index.trim_end_matches(']'));
        }
    }
    out
}

/// Everything that the types alone do not say.
pub fn check(template: &Template) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !is_id(&template.id, '-') {
        problems.push(problem("/id", "an id has 2 to 60 of a-z, 0-9 and '-'"));
    }
    if template.title.en.trim().is_empty() {
        problems.push(problem("/title", "give the template a title"));
    }
    if !is_id(&template.model, '_') {
        problems.push(problem("/model", "name the CMDB model of the targets, such as host or postgresql"));
    }
    if template.checks.is_empty() {
        problems.push(problem("/checks", "a template needs at least one check"));
    }
    if template.checks.len() > MAX_CHECKS {
        problems.push(problem("/checks", format!("{} checks, {MAX_CHECKS} are allowed: split the template", template.checks.len())));
    }
    let mut categories = HashSet::new();
    for (at, category) in template.categories.iter().enumerate() {
        if !categories.insert(category.id.as_str()) {
            problems.push(problem(format!("/categories/{at}/id"), format!("the category {:?} is there twice", category.id)));
        }
    }
    let mut ids = HashSet::new();
    for (at, check) in template.checks.iter().enumerate() {
        let here = |field: &str| format!("/checks/{at}/{field}");
        if !is_id(&check.id, '-') {
            problems.push(problem(here("id"), "an id has 2 to 60 of a-z, 0-9 and '-'"));
        }
        if !ids.insert(check.id.as_str()) {
            problems.push(problem(here("id"), format!("the check {:?} is there twice", check.id)));
        }
        if check.title.en.trim().is_empty() {
            problems.push(problem(here("title"), "give the check a title"));
        }
        if !check.category.is_empty() && !categories.contains(check.category.as_str()) {
            problems.push(problem(here("category"), format!("no category {:?} in /categories: add it there", check.category)));
        }
        if check.command.trim().is_empty() {
            problems.push(problem(here("command"), "the command is empty"));
        }
        if check.command.len() > MAX_COMMAND {
            problems.push(problem(here("command"), format!("the command is longer than {MAX_COMMAND} bytes")));
        }
        if check.command.contains('\0') {
            problems.push(problem(here("command"), "the command contains a NUL character"));
        }
        if check.timeout == 0 || check.timeout > 300 {
            problems.push(problem(here("timeout"), "a timeout is 1 to 300 seconds"));
        }
        let mut params = HashSet::new();
        for (index, param) in check.params.iter().enumerate() {
            if !is_id(&param.name, '_') || param.name.contains('-') {
                problems.push(problem(here(&format!("params/{index}/name")), "a parameter's name has 2 to 60 of a-z, 0-9 and '_'"));
            }
            if !params.insert(param.name.as_str()) {
                problems.push(problem(here(&format!("params/{index}/name")), format!("the parameter {:?} is there twice", param.name)));
            }
            if !param.pattern.is_empty() {
                match parse::whole(&param.pattern) {
                    Err(error) => problems.push(problem(here(&format!("params/{index}/pattern")), error)),
                    Ok(regex) if !regex.is_match(&param.default) => problems.push(problem(
                        here(&format!("params/{index}/default")),
                        format!("the default {:?} does not match the pattern {:?}", param.default, param.pattern),
                    )),
                    Ok(_) => {}
                }
            }
        }
        let fields = match parse::fields(&check.parse) {
            Ok(fields) => fields,
            Err((field, message)) => {
                problems.push(problem(here(&format!("parse/{field}")), message));
                None
            }
        };
        let known = |field: &str| fields.as_ref().is_none_or(|fields| fields.iter().any(|known| known == field));
        let list = || fields.as_deref().unwrap_or_default().join(", ");
        if !check.label.is_empty() && !known(&check.label) {
            problems.push(problem(here("label"), format!("{:?} is none of the parser's fields ({})", check.label, list())));
        }
        if check.thresholds.is_empty() {
            problems.push(problem(here("thresholds"), "a check without a threshold finds nothing: add one"));
        }
        let mut names = HashSet::new();
        for (index, threshold) in check.thresholds.iter().enumerate() {
            let place = |field: &str| here(&format!("thresholds/{index}/{field}"));
            if !names.insert(threshold.name()) {
                problems.push(problem(
                    place("id"),
                    format!("two thresholds are called {:?}: give one of them an id of its own", threshold.name()),
                ));
            }
            if !known(&threshold.field) {
                problems.push(problem(place("field"), format!("{:?} is none of the parser's fields ({})", threshold.field, list())));
            }
            if let Some(message) = wrong_value(threshold.op, &threshold.value) {
                problems.push(problem(place("value"), message));
            }
            for (other, condition) in threshold.and.iter().enumerate() {
                if !known(&condition.field) {
                    problems.push(problem(
                        place(&format!("and/{other}/field")),
                        format!("{:?} is none of the parser's fields ({})", condition.field, list()),
                    ));
                }
                if let Some(message) = wrong_value(condition.op, &condition.value) {
                    problems.push(problem(place(&format!("and/{other}/value")), message));
                }
            }
            if threshold.message.en.trim().is_empty() {
                problems.push(problem(place("message"), "say what the finding means"));
            }
        }
    }
    problems
}

/// Why a comparison cannot be made with this value.
pub fn wrong_value(op: Op, value: &Value) -> Option<String> {
    let fits = match op {
        Op::Gt | Op::Ge | Op::Lt | Op::Le => value.is_number(),
        Op::Eq | Op::Ne => value.is_number() || value.is_string() || value.is_boolean(),
        Op::In | Op::NotIn => value.as_array().is_some_and(|list| list.iter().all(|item| item.is_string() || item.is_number())),
        Op::Contains | Op::NotContains => value.is_string(),
    };
    let wanted = match op {
        Op::Gt | Op::Ge | Op::Lt | Op::Le => "a number",
        Op::Eq | Op::Ne => "a number or a text",
        Op::In | Op::NotIn => "a list of numbers or texts",
        Op::Contains | Op::NotContains => "a text",
    };
    (!fits).then(|| format!("{} compares with {wanted}, this is {value}", op.as_str()))
}

/// Whether another value may stand in a threshold.
pub fn value_fits(threshold: &Threshold, value: &Value) -> Option<String> {
    if threshold.value.is_number() && !value.is_number() {
        return Some(format!("this threshold is a number, {value} is not"));
    }
    wrong_value(threshold.op, value)
}

fn is_id(id: &str, extra: char) -> bool {
    (2..=60).contains(&id.len()) && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == extra)
}

/// Whether a template's parser can name its fields beforehand.
pub fn has_fixed_fields(parser: &Parser) -> bool {
    !matches!(parser, Parser::KeyValue { .. })
}
