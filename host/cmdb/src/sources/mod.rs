//! Sources: who says what of a record, and whose word counts.
//!
//! A source is a person's hand (`manual`), a file (`import`), the agents (`agent`), a plugin (`plugin:<id>`) or
//! another system that an administrator named. What each says of a record is kept; [`precedence`] decides which value the record has.
//! What a source no longer says is withdrawn, and the next one's value takes its place.
//!
//! - [`precedence`]: ranks, and the one that wins; pure.
//! - [`claims`]: what is kept, and how a write of one source changes the record.
//! - [`submit`]: records of other systems: recognised, made, held for a person.
//! - [`review`]: what a person decides on.
//! - [`sweep`]: what grows stale, vanishes, is archived.

pub mod claims;
mod identify;
pub mod merging;
pub mod precedence;
pub mod review;
pub mod submit;
pub mod sweep;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use plenum_access::{Permission, Principal};
use plenum_store::{StoreError, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Cmdb, CmdbError, Text, decode};
use precedence::Precedence;

/// People, through the portal or the API.
pub const MANUAL: &str = "manual";
/// The agents on the nodes.
pub const AGENT: &str = "agent";
/// Files that people import.
pub const IMPORT: &str = "import";
/// Sources that are always there.
pub const OWN: &[&str] = &[MANUAL, AGENT, IMPORT];
/// Most sources that an administrator names.
const MAX_SOURCES: i64 = 200;
/// Longest age of a setting: ten years.
const MAX_AGE_S: i64 = 10 * 366 * 86_400;
/// How long settings are believed without asking again: another host may have changed them.
const BELIEVED: Duration = Duration::from_secs(2);

/// What becomes of a source's record that no rule recognises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNew {
    /// A record is made.
    #[default]
    Create,
    /// It waits for a person.
    Review,
    /// It is left out.
    Ignore,
}

/// How a source is treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// Shown to people.
    #[serde(default)]
    pub title: Text,
    /// After this long without a word, its values count as stale. They stay, and say so.
    #[serde(default)]
    pub stale_after_s: Option<i64>,
    /// After this long without a word about a record, the record is marked as vanished from the source.
    #[serde(default)]
    pub vanish_after_s: Option<i64>,
    /// This long after it vanished, the source's values are withdrawn; a record that no other system knows is archived.
    #[serde(default)]
    pub archive_after_s: Option<i64>,
    /// What becomes of records that no rule recognises.
    #[serde(default)]
    pub on_new: OnNew,
}

impl SourceSpec {
    /// What holds until an administrator says otherwise.
    pub fn of(name: &str) -> SourceSpec {
        let days = |n: i64| Some(n * 86_400);
        let (stale, vanish) = match name {
            // What people wrote is not less true for being old.
            MANUAL | IMPORT => (None, None),
            AGENT => (days(1), days(30)),
            _ => (days(7), days(30)),
        };
        SourceSpec { title: Text::default(), stale_after_s: stale, vanish_after_s: vanish, archive_after_s: None, on_new: OnNew::Create }
    }

    fn check(&self) -> Result<(), CmdbError> {
        for (key, age) in
            [("stale_after_s", self.stale_after_s), ("vanish_after_s", self.vanish_after_s), ("archive_after_s", self.archive_after_s)]
        {
            if age.is_some_and(|a| !(60..=MAX_AGE_S).contains(&a)) {
                return Err(invalid(&format!("/{key}"), format!("{key} is between 60 seconds and ten years, or absent for never")));
            }
        }
        if self.archive_after_s.is_some() && self.vanish_after_s.is_none() {
            return Err(invalid("/archive_after_s", "what never vanishes is never archived: say vanish_after_s too".into()));
        }
        Ok(())
    }
}

/// A source with what is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// How it is treated.
    #[serde(flatten)]
    pub spec: SourceSpec,
    /// Whether an administrator named it, so that it can be removed.
    pub named: bool,
    /// Records of which it says something.
    pub records: i64,
    /// Of those, how many it has not mentioned for longer than it should.
    pub stale: i64,
    /// Of those, how many are no longer there.
    pub vanished: i64,
    /// Its newest word, in milliseconds since the Unix epoch.
    pub last_seen: Option<i64>,
}

/// Settings as last read.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    specs: std::collections::BTreeMap<String, SourceSpec>,
    pub(crate) precedence: Precedence,
}

impl Settings {
    pub(crate) fn spec(&self, source: &str) -> SourceSpec {
        self.specs.get(source).cloned().unwrap_or_else(|| SourceSpec::of(source))
    }

    fn named(&self, source: &str) -> bool {
        self.specs.contains_key(source) && !OWN.contains(&source) && !source.starts_with("plugin:")
    }
}

/// Settings with the time of asking.
type Asked = Option<(Instant, Arc<Settings>)>;

/// The settings, believed for a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Arc<RwLock<Asked>>);

impl Known {
    pub(crate) fn forget(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Cmdb {
    /// The same CMDB, whose direct writes count as those of another source: an import's rows are not typed by hand.
    #[must_use]
    pub fn from_source(&self, source: &'static str) -> Cmdb {
        Cmdb { acting: Some(source), ..self.clone() }
    }

    /// Which source a direct write of this caller counts as.
    pub(crate) fn source_of(&self, who: &Principal) -> String {
        match (self.acting, who) {
            (Some(source), _) => source.to_owned(),
            (None, Principal::Plugin(p)) => format!("plugin:{}", p.id),
            (None, Principal::Agent { .. }) => AGENT.to_owned(),
            (None, Principal::User(_) | Principal::System(_)) => MANUAL.to_owned(),
        }
    }

    pub(crate) async fn settings(&self) -> Result<Arc<Settings>, CmdbError> {
        if let Some((at, s)) = &*self.known.0.read().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < BELIEVED
        {
            return Ok(s.clone());
        }
        let mut settings = Settings::default();
        for r in self.db.fetch_all("SELECT name, spec FROM cmdb_sources ORDER BY name LIMIT 1000", &[]).await? {
            settings.specs.insert(r.text("name")?, decode(r.json("spec")?)?);
        }
        for r in self.db.fetch_all("SELECT model, attribute, ranks FROM cmdb_precedence ORDER BY model, attribute LIMIT 10000", &[]).await?
        {
            settings.precedence.put(&r.text("model")?, &r.text("attribute")?, decode(r.json("ranks")?)?);
        }
        let settings = Arc::new(settings);
        *self.known.0.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), settings.clone()));
        Ok(settings)
    }

    /// All sources that are there, were named, or said something.
    pub async fn sources(&self, who: &Principal) -> Result<Vec<Source>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        self.known.forget();
        let settings = self.settings().await?;
        let mut names: std::collections::BTreeSet<String> = OWN.iter().map(|s| (*s).to_owned()).collect();
        names.extend(settings.specs.keys().cloned());
        for r in self.db.fetch_all("SELECT DISTINCT source FROM cmdb_claims ORDER BY source LIMIT 500", &[]).await? {
            names.insert(r.text("source")?);
        }
        let mut out = Vec::with_capacity(names.len());
        for name in names {
            let spec = settings.spec(&name);
            let before = spec.stale_after_s.map_or(i64::MIN, |s| now_ms() - s * 1000);
            let row = self
                .db
                .fetch_optional(
                    "SELECT COUNT(*) AS records, COUNT(vanished_at) AS vanished, MAX(last_seen) AS last_seen, COUNT(CASE WHEN last_seen < ? THEN 1 END) AS stale
                     FROM cmdb_claims WHERE source = ?",
                    params![before, &name],
                )
                .await?
                .ok_or_else(|| StoreError::Corrupt("a count has no row".into()))?;
            out.push(Source {
                named: settings.named(&name),
                records: row.int("records")?,
                stale: row.int("stale")?,
                vanished: row.int("vanished")?,
                last_seen: row.opt_int("last_seen")?,
                name,
                spec,
            });
        }
        Ok(out)
    }

    /// Names a source, or says how one is treated.
    pub async fn put_source(&self, who: &Principal, name: &str, spec: SourceSpec) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        check_name(name)?;
        spec.check()?;
        let mut tx = self.db.begin().await?;
        let before = tx.fetch_optional("SELECT spec FROM cmdb_sources WHERE name = ?", params![name]).await?;
        let before = before.map(|r| r.json("spec")).transpose()?;
        let count = tx.fetch_optional("SELECT COUNT(*) AS n FROM cmdb_sources", &[]).await?.map(|r| r.int("n")).transpose()?.unwrap_or(0);
        if before.is_none() && count >= MAX_SOURCES {
            return Err(CmdbError::InUse(format!("there are {MAX_SOURCES} sources already; remove one that is no longer used")));
        }
        let after = json!(spec);
        tx.execute(
            "INSERT INTO cmdb_sources (name, spec, updated_at) VALUES (?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, updated_at = excluded.updated_at",
            params![name, after.clone(), now_ms()],
        )
        .await?;
        self.access.audit(&mut tx, who, "cmdb.source.update", &format!("source/{name}"), before.as_ref(), Some(&after)).await?;
        self.forget_settings(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    /// Removes a source that an administrator named, once it says nothing of any record any more; of the others, what was set.
    pub async fn delete_source(&self, who: &Principal, name: &str) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.fetch_optional("SELECT spec FROM cmdb_sources WHERE name = ?", params![name]).await? else {
            return Err(CmdbError::NotFound(format!("nothing was set for a source {name}")));
        };
        let own = OWN.contains(&name) || name.starts_with("plugin:");
        let used = tx.fetch_optional("SELECT record FROM cmdb_claims WHERE source = ? LIMIT 1", params![name]).await?;
        if !own && used.is_some() {
            return Err(CmdbError::InUse(format!("the source {name} still says something of records; withdraw that first")));
        }
        tx.execute("DELETE FROM cmdb_sources WHERE name = ?", params![name]).await?;
        self.access.audit(&mut tx, who, "cmdb.source.delete", &format!("source/{name}"), Some(&row.json("spec")?), None).await?;
        self.forget_settings(&mut tx);
        tx.commit().await?;
        Ok(())
    }

    /// The rules of precedence, in the order in which they are looked up last.
    pub async fn precedence(&self, who: &Principal) -> Result<Vec<precedence::Rule>, CmdbError> {
        self.access.require(who, Permission::CmdbRead, &[]).await?;
        self.known.forget();
        Ok(self.settings().await?.precedence.rules())
    }

    /// Says whose word counts for a model and attribute (`*` is any); no ranks remove the rule. Records change at once, many of them in the background.
    pub async fn put_precedence(&self, who: &Principal, rule: precedence::Rule) -> Result<(), CmdbError> {
        self.access.require(who, Permission::CmdbModel, &[]).await?;
        rule.check()?;
        let mut tx = self.db.begin().await?;
        if rule.model != "*" {
            let m = self.stored_in(&mut tx, &rule.model).await?.model;
            if rule.attribute != "*" && m.attribute(&rule.attribute).is_none() {
                return Err(invalid("/attribute", format!("the model {} has no attribute {}", rule.model, rule.attribute)));
            }
        }
        let key = params![&rule.model, &rule.attribute];
        let before = tx.fetch_optional("SELECT ranks FROM cmdb_precedence WHERE model = ? AND attribute = ?", key).await?;
        let before = before.map(|r| r.json("ranks")).transpose()?;
        let after = if rule.ranks.is_empty() { None } else { Some(json!(rule.ranks)) };
        match &after {
            None => tx.execute("DELETE FROM cmdb_precedence WHERE model = ? AND attribute = ?", key).await?,
            Some(ranks) => {
                tx.execute(
                    "INSERT INTO cmdb_precedence (model, attribute, ranks, updated_at) VALUES (?, ?, ?, ?)
                     ON CONFLICT (model, attribute) DO UPDATE SET ranks = excluded.ranks, updated_at = excluded.updated_at",
                    params![&rule.model, &rule.attribute, ranks.clone(), now_ms()],
                )
                .await?
            }
        };
        let target = format!("precedence/{}/{}", rule.model, rule.attribute);
        self.access.audit(&mut tx, who, "cmdb.precedence.update", &target, before.as_ref(), after.as_ref()).await?;
        self.note_reapply(&mut tx, &rule.model).await?;
        self.forget_settings(&mut tx);
        tx.commit().await?;
        // Few records change at once; of many the rest in the background.
        self.reapply(20).await?;
        Ok(())
    }

    fn forget_settings(&self, tx: &mut plenum_store::Tx) {
        let known = self.known.clone();
        tx.after_commit(move || known.forget());
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), CmdbError> {
    let plain = |n: &str| {
        !n.is_empty()
            && n.len() <= 60
            && n.starts_with(|c: char| c.is_ascii_lowercase())
            && n.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
    };
    if plain(name) || name.strip_prefix("plugin:").is_some_and(plain) {
        return Ok(());
    }
    Err(invalid("/name", format!("{name:?} cannot name a source: use a lower-case letter, then lower-case letters, digits, - and _")))
}

pub(crate) fn invalid(pointer: &str, message: String) -> CmdbError {
    CmdbError::InvalidInstance { pointer: pointer.to_owned(), message }
}
