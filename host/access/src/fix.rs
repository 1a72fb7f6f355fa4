//! What to write so that a refused call of a plugin is allowed: the lines of its `plugin.toml`.

use std::collections::BTreeMap;

use crate::grant::{Grant, Touches};
use crate::permission::Permission;

/// Values of a list that are written out; of more, only what is to be added.
const MOST: usize = 8;

/// Where in `plugin.toml` what is missing belongs. Names values that a caller chose: they are quoted as TOML quotes them.
pub(crate) fn line(grant: &Grant, permission: Permission, touches: Touches<'_>) -> String {
    let name = permission.name();
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let scope = grant.permissions.get(name);
    for (key, value) in touches.iter().filter(|touch| !crate::grant::is_promise(touch)) {
        if scope.is_none_or(|s| !s.allows(key, value)) {
            wanted.entry(key).or_default().push(value);
        }
    }
    let lists: Vec<String> = wanted
        .iter()
        .map(|(key, values)| {
            let had = scope.and_then(|s| s.0.get(*key)).map_or(&[] as &[String], Vec::as_slice);
            let shown: Vec<String> = had.iter().map(String::as_str).chain(values.iter().copied()).map(quoted).collect();
            if shown.len() > MOST {
                format!("{key} = [..., {}]", values.iter().copied().map(quoted).collect::<Vec<_>>().join(", "))
            } else {
                format!("{key} = [{}]", shown.join(", "))
            }
        })
        .collect();
    match (scope.is_some(), lists.is_empty()) {
        (false, true) => format!("add to plugin.toml: [[permissions]], name = \"{name}\""),
        (false, false) => format!("add to plugin.toml: [[permissions]], name = \"{name}\", scope = {{ {} }}", lists.join(", ")),
        // The scope names attributes, and what was called cannot leave any out.
        (true, true) => format!("in plugin.toml, under [[permissions]] name = \"{name}\", this call needs a scope without attributes"),
        (true, false) => format!("in plugin.toml, under [[permissions]] name = \"{name}\", write into its scope: {}", lists.join(", ")),
    }
}

fn quoted(value: &str) -> String {
    let short: String = value.chars().take(200).collect();
    // A TOML basic string escapes as JSON does.
    serde_json::Value::String(short).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: serde_json::Value) -> Grant {
        serde_json::from_value(json).unwrap_or_default()
    }

    #[test]
    fn the_line_has_what_is_there_and_what_is_missing() {
        let g = grant(serde_json::json!({"cmdb.read": {"models": ["host"]}, "jobs.run": {"users": ["nobody"]}}));
        for (permission, touches, line_) in [
            (Permission::Store, &[] as Touches<'_>, r#"add to plugin.toml: [[permissions]], name = "store""#),
            (
                Permission::CmdbWrite,
                &[("models", "host"), ("models", "redis")],
                r#"add to plugin.toml: [[permissions]], name = "cmdb.write", scope = { models = ["host", "redis"] }"#,
            ),
            (
                Permission::CmdbRead,
                &[("models", "host"), ("models", "redis")],
                r#"in plugin.toml, under [[permissions]] name = "cmdb.read", write into its scope: models = ["host", "redis"]"#,
            ),
            (
                Permission::JobsRun,
                &[("models", "host"), ("users", "a\"b")],
                r#"in plugin.toml, under [[permissions]] name = "jobs.run", write into its scope: users = ["nobody", "a\"b"]"#,
            ),
            (
                Permission::JobsRun,
                &[("users", "")],
                r#"in plugin.toml, under [[permissions]] name = "jobs.run", write into its scope: users = ["nobody", ""]"#,
            ),
        ] {
            assert_eq!(line(&g, permission, touches), line_);
        }
    }

    #[test]
    fn a_long_list_is_not_written_out() {
        let many: Vec<String> = (0..50).map(|i| format!("model{i}")).collect();
        let said = line(&grant(serde_json::json!({"cmdb.read": {"models": many}})), Permission::CmdbRead, &[("models", "redis")]);
        assert!(said.ends_with("models = [..., \"redis\"]"), "{said}");
    }
}
