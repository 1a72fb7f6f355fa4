//! Templates: the ones in the package, read-only, and the ones that people made.

use plenum_sdk::{Error, Problem, Result, Timestamp, clock};
use serde::Serialize;

use crate::check::template::{Template, Text};
use crate::check::validate;
use crate::missing;
use crate::model::{StoredTemplate, TEMPLATES};
use plenum_sdk::store::Expected;

const BUILTIN: [(&str, &str); 4] = [
    ("linux-baseline", include_str!("../templates/linux-baseline.yaml")),
    ("postgresql", include_str!("../templates/postgresql.yaml")),
    ("redis", include_str!("../templates/redis.yaml")),
    ("mysql", include_str!("../templates/mysql.yaml")),
];

/// A template with where it comes from.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// It.
    pub template: Template,
    /// Its text.
    pub source: String,
    /// In the package: may be copied, not changed.
    pub builtin: bool,
    /// Who changed it last.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
    /// For the next change; 0 for built-in ones.
    pub version: u64,
}

/// A line of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its id.
    pub id: String,
    /// Its name.
    pub title: Text,
    /// What it is for.
    pub description: Text,
    /// Its targets' model.
    pub model: String,
    /// How many checks.
    pub checks: usize,
    /// In the package.
    pub builtin: bool,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

fn builtin(id: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(known, _)| *known == id).map(|(_, source)| *source)
}

/// Every template, built-in ones first.
pub fn list() -> Result<Vec<Line>> {
    let mut out = Vec::new();
    for (id, source) in BUILTIN {
        out.push(line(&read(id, source)?, true, None));
    }
    for doc in TEMPLATES.query().sort("updated_at").all()? {
        out.push(line(&read(&doc.id, &doc.data.source)?, false, Some(doc.data.updated_at)));
    }
    Ok(out)
}

fn line(template: &Template, builtin: bool, updated_at: Option<Timestamp>) -> Line {
    Line {
        id: template.id.clone(),
        title: template.title.clone(),
        description: template.description.clone(),
        model: template.model.clone(),
        checks: template.checks.len(),
        builtin,
        updated_at,
    }
}

/// One template.
pub fn get(id: &str) -> Result<Entry> {
    if let Some(source) = builtin(id) {
        return Ok(Entry {
            template: read(id, source)?,
            source: source.to_owned(),
            builtin: true,
            updated_by: None,
            updated_at: None,
            version: 0,
        });
    }
    let doc = TEMPLATES.get(id)?.ok_or_else(|| missing("template", id))?;
    let stored = doc.data;
    Ok(Entry {
        template: read(id, &stored.source)?,
        source: stored.source,
        builtin: false,
        updated_by: Some(stored.updated_by),
        updated_at: Some(stored.updated_at),
        version: doc.version,
    })
}

fn read(id: &str, source: &str) -> Result<Template> {
    validate::read(source).map_err(|problems| Error::invalid_fields(format!("the template {id:?} cannot be read"), problems))
}

/// What an editor sends: text, or the form's fields.
pub enum Content {
    /// YAML.
    Source(String),
    /// JSON of a template.
    Fields(serde_json::Value),
}

/// Reads what an editor sent.
pub fn understand(content: Content) -> Result<(Template, String), Vec<Problem>> {
    match content {
        Content::Source(source) => Ok((validate::read(&source)?, source)),
        Content::Fields(value) => {
            let template = validate::from_value(value)?;
            let source =
                serde_norway::to_string(&template).map_err(|error| vec![Problem { pointer: String::new(), message: error.to_string() }])?;
            Ok((template, source))
        }
    }
}

/// Stores a new template.
pub fn create(who: &str, content: Content) -> Result<Entry> {
    let (template, source) = understand(content).map_err(|problems| Error::invalid_fields("the template is not valid", problems))?;
    if builtin(&template.id).is_some() || TEMPLATES.get(&template.id)?.is_some() {
        return Err(Error::invalid("/id", format!("there is a template {:?} already: choose another id", template.id)));
    }
    save(who, template, source, Expected::Absent)
}

/// Changes a template.
pub fn update(who: &str, id: &str, content: Content, version: Option<u64>) -> Result<Entry> {
    let old = get(id)?;
    if old.builtin {
        return Err(read_only(id));
    }
    let (template, source) = understand(content).map_err(|problems| Error::invalid_fields("the template is not valid", problems))?;
    if template.id != id {
        return Err(Error::invalid("/id", format!("a template's id stays what it is ({id:?}): copy it to have another")));
    }
    save(who, template, source, Expected::Version(version.unwrap_or(old.version)))
}

fn save(who: &str, template: Template, source: String, expected: Expected) -> Result<Entry> {
    let stored = StoredTemplate { source: source.clone(), updated_by: who.to_owned(), updated_at: clock::now() };
    let version = TEMPLATES.write(&template.id, &stored, expected)?;
    Ok(Entry { template, source, builtin: false, updated_by: Some(stored.updated_by), updated_at: Some(stored.updated_at), version })
}

/// Copies a template under another id, its comments and order kept.
pub fn copy(who: &str, id: &str, new_id: &str, title: Option<String>) -> Result<Entry> {
    let old = get(id)?;
    let mut done = false;
    let mut source: String = old
        .source
        .lines()
        .map(|line| {
            if !done && line.starts_with("id:") {
                done = true;
                format!("id: {new_id}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
        let quoted = serde_json::to_string(&title)?;
        source = source
            .lines()
            .map(|line| if line.starts_with("title:") { format!("title: {quoted}\n") } else { format!("{line}\n") })
            .collect();
    }
    create(who, Content::Source(source))
}

/// Deletes a template that no inspection uses.
pub fn delete(id: &str, users: &[String]) -> Result<()> {
    if builtin(id).is_some() {
        return Err(read_only(id));
    }
    if TEMPLATES.get(id)?.is_none() {
        return Err(missing("template", id));
    }
    if !users.is_empty() {
        return Err(Error::new(
            409,
            "inspection.template_in_use",
            format!("the template {id:?} is used by {}: change those inspections first", users.join(", ")),
        ));
    }
    TEMPLATES.delete(id)
}

fn read_only(id: &str) -> Error {
    Error::new(
        409,
        "inspection.template_read_only",
        format!("{id:?} comes with the package and cannot be changed: copy it and change the copy"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::check::template::Level;

    #[test]
    fn the_templates_of_the_package_are_valid_complete_and_in_two_languages() {
        for (id, source) in BUILTIN {
            let template = validate::read(source).unwrap_or_else(|problems| panic!("{id}: {problems:#?}"));
            assert_eq!(template.id, id);
            assert!(template.checks.len() >= if id == "linux-baseline" { 25 } else { 8 });
            for check in &template.checks {
                let texts = [&check.title, &check.description, &check.advice];
                for text in texts.into_iter().chain(check.thresholds.iter().map(|threshold| &threshold.message)) {
                    assert!(!text.en.is_empty() && !text.zh.is_empty(), "{id}/{}: a text is missing", check.id);
                    assert!(
                        !text.zh.is_ascii() || text.en == text.zh || text.zh.contains('{'),
                        "{id}/{}: not Chinese: {}",
                        check.id,
                        text.zh
                    );
                }
                assert!(!check.category.is_empty(), "{id}/{}: no category", check.id);
            }
            let levels: std::collections::BTreeSet<Level> = template.checks.iter().flat_map(|c| &c.thresholds).map(|t| t.level).collect();
            assert_eq!(levels.len(), 3, "{id} uses all three levels");
        }
    }
}
