//! A command's output becomes rows of named values.

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Number, Value};

use super::template::Parser;

/// One row: names and values.
pub type Row = Map<String, Value>;

/// Rows beyond this are counted, not judged: a report is no place for a million lines.
pub const MAX_ROWS: usize = 2_000;

/// What came out of a command's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// The rows that are judged.
    pub rows: Vec<Row>,
    /// How many more there were.
    pub more: usize,
}

/// Compiles a pattern, bounded in size.
pub fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(256 * 1024).build().map_err(|error| format!("not a regular expression: {error}"))
}

/// Compiles a pattern that must match as a whole.
pub fn whole(text: &str) -> Result<Regex, String> {
    pattern(&format!("^(?:{text})$"))
}

/// The names that a parser's rows have; `None` when only the output can tell. The error names the parser's wrong member.
pub fn fields(parser: &Parser) -> Result<Option<Vec<String>>, (&'static str, String)> {
    let bad = |message| ("pattern", message);
    Ok(match parser {
        Parser::Number { pattern: None } => Some(vec!["value".into()]),
        Parser::Number { pattern: Some(text) } => {
            let regex = pattern(text).map_err(bad)?;
            if regex.captures_len() < 2 {
                return Err(("pattern", "put the number into a group: (\\d+)".into()));
            }
            Some(vec!["value".into()])
        }
        Parser::Regex { pattern: text } => {
            let regex = pattern(text).map_err(bad)?;
            let names: Vec<String> = regex.capture_names().flatten().map(str::to_owned).collect();
            if names.is_empty() {
                return Err(("pattern", "name at least one group: (?<name>...)".into()));
            }
            Some(names)
        }
        Parser::Table { columns, separator, .. } => {
            if columns.is_empty() {
                return Err(("columns", "name the columns".into()));
            }
            if separator.as_ref().is_some_and(String::is_empty) {
                return Err(("separator", "the separator is empty: leave it out for white space".into()));
            }
            Some(columns.clone())
        }
        Parser::Lines { matching } => {
            if let Some(text) = matching {
                pattern(text).map_err(|message| ("matching", message))?;
            }
            Some(vec!["count".into()])
        }
        Parser::KeyValue { separator } => {
            if separator.as_ref().is_some_and(String::is_empty) {
                return Err(("separator", "the separator is empty".into()));
            }
            None
        }
        Parser::ExitCode => Some(vec!["exit_code".into()]),
    })
}

/// Takes a command's output apart.
pub fn parse(parser: &Parser, stdout: &str, exit_code: i32) -> Result<Rows, String> {
    let lines = || stdout.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
    let single = |row: Row| Rows { rows: vec![row], more: 0 };
    match parser {
        Parser::Number { pattern: text } => {
            let found = match text {
                None => stdout.split_whitespace().find_map(number),
                Some(text) => pattern(text)?.captures(stdout).and_then(|groups| groups.get(1)).and_then(|group| number(group.as_str())),
            };
            let value = found.ok_or_else(|| format!("no number in the output: {}", head(stdout)))?;
            Ok(single(Row::from_iter([("value".to_owned(), Value::Number(value))])))
        }
        Parser::Regex { pattern: text } => {
            let regex = pattern(text)?;
            let names: Vec<&str> = regex.capture_names().flatten().collect();
            Ok(bounded(lines().filter_map(|line| {
                let groups = regex.captures(line)?;
                Some(names.iter().map(|name| ((*name).to_owned(), scalar(groups.name(name).map_or("", |group| group.as_str())))).collect())
            })))
        }
        Parser::Table { columns, separator, skip } => {
            let mut wrong = None;
            let rows = bounded(lines().skip(*skip).map(|line| {
                let cells = cells(line, separator.as_deref(), columns.len());
                if cells.len() < columns.len() && wrong.is_none() {
                    wrong = Some(format!("{} columns expected, {} found: {}", columns.len(), cells.len(), head(line)));
                }
                columns.iter().zip(cells).map(|(name, cell)| (name.clone(), scalar(cell))).collect()
            }));
            wrong.map_or(Ok(rows), Err)
        }
        Parser::Lines { matching } => {
            let regex = matching.as_deref().map(pattern).transpose()?;
            let count = lines().filter(|line| regex.as_ref().is_none_or(|regex| regex.is_match(line))).count();
            Ok(single(Row::from_iter([("count".to_owned(), Value::from(count))])))
        }
        Parser::KeyValue { separator } => {
            let separator = separator.as_deref().unwrap_or("=");
            let row: Row = lines()
                .filter_map(|line| line.split_once(separator))
                .map(|(name, value)| (name.trim().to_owned(), scalar(value.trim())))
                .take(MAX_ROWS)
                .collect();
            if row.is_empty() {
                return Err(format!("no name{separator}value line in the output: {}", head(stdout)));
            }
            Ok(single(row))
        }
        Parser::ExitCode => Ok(single(Row::from_iter([("exit_code".to_owned(), Value::from(exit_code))]))),
    }
}

fn bounded(rows: impl Iterator<Item = Row>) -> Rows {
    let mut out = Rows::default();
    for row in rows {
        if out.rows.len() < MAX_ROWS {
            out.rows.push(row);
        } else {
            out.more += 1;
        }
    }
    out
}

/// The last column takes the rest of the line, so that a path or a message may contain blanks.
fn cells<'a>(line: &'a str, separator: Option<&str>, count: usize) -> Vec<&'a str> {
    match separator {
        Some(separator) => line.splitn(count, separator).map(str::trim).collect(),
        None => {
            let mut rest = line.trim();
            let mut out = Vec::with_capacity(count);
            while out.len() + 1 < count {
                let Some((cell, after)) = rest.split_once(char::is_whitespace) else { break };
                out.push(cell);
                rest = after.trim_start();
            }
            if !rest.is_empty() {
                out.push(rest);
            }
            out
        }
    }
}

/// A number where the whole text is one, else the text.
pub fn scalar(text: &str) -> Value {
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A number, with or without a percent sign; no `inf`, no `nan`.
pub fn number(text: &str) -> Option<Number> {
    let text = text.strip_suffix('%').unwrap_or(text);
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.') {
        return None;
    }
    text.parse::<i64>().map(Number::from).ok().or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

fn head(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    if line.is_empty() { "it is empty".to_owned() } else { format!("{:?}", line.chars().take(80).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn rows(parser: &Parser, text: &str) -> Vec<Row> {
        parse(parser, text, 0).unwrap().rows
    }

    #[test]
    fn number_takes_the_first_that_stands_alone() {
        let plain = Parser::Number { pattern: None };
        assert_eq!(rows(&plain, "load 1.5 2")[0]["value"], 1.5);
        assert_eq!(rows(&plain, "42%\n")[0]["value"], 42);
        assert_eq!(rows(&plain, "-3")[0]["value"], -3);
        assert!(parse(&plain, "nothing here", 0).unwrap_err().contains("nothing here"));
        assert!(parse(&plain, "", 0).unwrap_err().contains("empty"));
        assert!(parse(&plain, "inf nan infinity", 0).is_err());
        assert_eq!(rows(&Parser::Number { pattern: Some("used=(\\d+)".into()) }, "a 1 used=7")[0]["value"], 7);
    }

    #[test]
    fn regex_gives_a_row_for_each_matching_line() {
        let parser = Parser::Regex { pattern: "^(?<unit>\\S+) loaded (?<state>\\w+)".into() };
        let rows = rows(&parser, "a.service loaded failed\nnoise\nb.mount loaded failed\n");
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["unit"], "b.mount");
        assert!(fields(&Parser::Regex { pattern: "(a)".into() }).is_err());
        assert!(fields(&Parser::Regex { pattern: "(".into() }).is_err());
    }

    #[test]
    fn the_last_column_takes_the_rest() {
        let parser = Parser::Table { columns: vec!["use".into(), "mount".into()], separator: None, skip: 1 };
        let rows = rows(&parser, "USE MOUNT\n91%   /mnt/my disk\n 5% /\n");
        assert_eq!((&rows[0]["use"], &rows[0]["mount"]), (&Value::from(91), &Value::from("/mnt/my disk")));
        assert_eq!(rows[1]["mount"], "/");
        assert!(parse(&parser, "h\njust-one", 0).unwrap_err().contains("2 columns expected, 1 found"));
        let bars = Parser::Table { columns: vec!["db".into(), "age".into()], separator: Some("|".into()), skip: 0 };
        assert_eq!(parse(&bars, "post gres|12", 0).unwrap().rows[0]["db"], "post gres");
    }

    #[test]
    fn lines_count_what_matches() {
        assert_eq!(rows(&Parser::Lines { matching: None }, "a\n\n  \nb\n")[0]["count"], 2);
        assert_eq!(rows(&Parser::Lines { matching: Some("^b".into()) }, "a\nb\n")[0]["count"], 1);
        assert_eq!(rows(&Parser::Lines { matching: None }, "")[0]["count"], 0);
    }

    #[test]
    fn key_value_reads_one_row() {
        let row = &rows(&Parser::KeyValue { separator: None }, "a=1\nb = two words\njunk\n")[0];
        assert_eq!((&row["a"], &row["b"]), (&Value::from(1), &Value::from("two words")));
        assert!(parse(&Parser::KeyValue { separator: Some(":".into()) }, "a=1", 0).is_err());
    }

    #[test]
    fn a_flood_of_rows_is_counted_not_kept() {
        let text = "1 x\n".repeat(MAX_ROWS + 5);
        let parsed = parse(&Parser::Table { columns: vec!["n".into(), "x".into()], separator: None, skip: 0 }, &text, 0).unwrap();
        assert_eq!((parsed.rows.len(), parsed.more), (MAX_ROWS, 5));
    }
}
