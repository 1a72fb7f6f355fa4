//! How agents are to work: settings for groups of nodes, told to each agent when it connects and whenever they change.
//!
//! A policy names its nodes by patterns of their names (`web-*, db-0?`). Of several that fit a node the later one counts, value by value;
//! scrapes and checks of all of them are taken together, by name.

use std::sync::{PoisonError, RwLock};

use plenum_access::{Permission, Principal};
use plenum_agent_protocol::v1;
use plenum_store::{Db, Row, StoreError, new_id, now_ms, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Inner, Jobs, JobsError};

/// Policies of a host at most: all of them are looked at for each node that connects.
const MOST_POLICIES: usize = 200;
/// Scrapes, and checks, of one policy.
const MOST_TARGETS: usize = 20;
/// Seconds between looks where no policy says otherwise.
pub const USUAL_METRICS_S: u32 = 15;
/// Seconds between batches where no policy says otherwise.
pub const USUAL_SEND_S: u32 = 60;

/// An endpoint whose metrics are taken along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeSpec {
    /// Becomes the label `job`.
    pub name: String,
    /// `http://127.0.0.1:PORT/PATH`.
    pub url: String,
    /// Seconds until it is given up; 10 when 0.
    #[serde(default)]
    pub timeout_s: u32,
    /// With more samples it counts as failed; 1,000 when 0.
    #[serde(default)]
    pub max_samples: u32,
}

/// Something that should be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Its name.
    pub name: String,
    /// `process`, `tcp`, `http` or `unit`.
    pub kind: String,
    /// Name of a process or unit, `ADDRESS:PORT` or port, URL.
    pub target: String,
    /// Processes that should be there at least; 1 when 0.
    #[serde(default)]
    pub least: u32,
}

/// What a policy decides; what it leaves out others decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Seconds between looks at metrics, 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_s: Option<u32>,
    /// Seconds between batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_send_s: Option<u32>,
    /// Endpoints on the machine itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scrapes: Vec<ScrapeSpec>,
    /// What is looked after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckSpec>,
}

/// Settings for some nodes.
#[derive(Debug, Clone)]
pub struct NodePolicy {
    /// Id.
    pub id: String,
    /// For people; unique.
    pub name: String,
    /// Patterns of node names, with `*` and `?`, separated by commas.
    pub nodes: String,
    /// Later places count over earlier ones.
    pub place: i64,
    /// What it decides.
    pub settings: PolicySettings,
    /// Raised with each change.
    pub version: i64,
    /// When it was changed last.
    pub updated_at: i64,
    /// By whom.
    pub updated_by: String,
}

/// A policy as somebody wants it.
#[derive(Debug, Clone)]
pub struct PolicyDraft {
    /// For people.
    pub name: String,
    /// Patterns of node names.
    pub nodes: String,
    /// Its place.
    pub place: i64,
    /// What it decides.
    pub settings: PolicySettings,
}

/// What holds for one node, and where it comes from.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// All of it.
    pub settings: PolicySettings,
    /// Names of the policies that fit the node, in the order in which they count.
    pub policies: Vec<String>,
}

/// All policies, at hand.
#[derive(Debug, Default)]
pub(crate) struct Policies(RwLock<Vec<NodePolicy>>);

fn row(r: &Row) -> Result<NodePolicy, StoreError> {
    Ok(NodePolicy {
        id: r.text("id")?,
        name: r.text("name")?,
        nodes: r.text("nodes")?,
        place: r.int("place")?,
        settings: serde_json::from_value(r.json("settings")?).map_err(|e| StoreError::Corrupt(format!("settings of a policy: {e}")))?,
        version: r.int("version")?,
        updated_at: r.int("updated_at")?,
        updated_by: r.text("updated_by")?,
    })
}

impl Policies {
    pub async fn load(&self, db: &Db) -> Result<(), StoreError> {
        let rows = db.fetch_all("SELECT * FROM job_node_policies ORDER BY place, name", &[]).await?;
        let policies = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = policies;
        Ok(())
    }

    pub fn all(&self) -> Vec<NodePolicy> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn of(&self, node_name: &str) -> NodeSettings {
        let mut settings =
            PolicySettings { metrics_s: Some(USUAL_METRICS_S), metrics_send_s: Some(USUAL_SEND_S), ..PolicySettings::default() };
        let mut policies = Vec::new();
        for policy in self.0.read().unwrap_or_else(PoisonError::into_inner).iter().filter(|p| fits(&p.nodes, node_name)) {
            policies.push(policy.name.clone());
            let own = &policy.settings;
            settings.metrics_s = own.metrics_s.or(settings.metrics_s);
            settings.metrics_send_s = own.metrics_send_s.or(settings.metrics_send_s);
            settings.scrapes.retain(|s| own.scrapes.iter().all(|o| o.name != s.name));
            settings.scrapes.extend(own.scrapes.iter().cloned());
            settings.checks.retain(|c| own.checks.iter().all(|o| o.name != c.name));
            settings.checks.extend(own.checks.iter().cloned());
        }
        NodeSettings { settings, policies }
    }

    /// As the agent of a node is told.
    pub fn message(&self, node_name: &str) -> v1::Settings {
        let settings = self.of(node_name).settings;
        let scrape = |s: ScrapeSpec| v1::Scrape { name: s.name, url: s.url, timeout_s: s.timeout_s, max_samples: s.max_samples };
        let check = |c: CheckSpec| v1::Check { name: c.name, kind: c.kind, target: c.target, least: c.least };
        v1::Settings {
            metrics_s: settings.metrics_s.unwrap_or(USUAL_METRICS_S),
            metrics_send_s: settings.metrics_send_s.unwrap_or(USUAL_SEND_S),
            scrapes: settings.scrapes.into_iter().map(scrape).collect(),
            checks: settings.checks.into_iter().map(check).collect(),
        }
    }
}

/// Whether a name fits one of the patterns.
fn fits(patterns: &str, name: &str) -> bool {
    patterns.split(',').any(|pattern| glob(pattern.trim(), name))
}

/// `*` and `?`, upper and lower case alike. Linear in the product of both lengths, whatever the pattern is.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.to_lowercase().chars().collect(), name.to_lowercase().chars().collect());
    // reach[n]: the pattern so far fits the first n characters of the name.
    let mut reach = vec![false; name.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for p in &pattern {
        let mut next = vec![false; name.len() + 1];
        let mut seen = false;
        for (n, place) in next.iter_mut().enumerate() {
            let here = reach.get(n).copied().unwrap_or(false);
            seen |= here;
            *place = if *p == '*' {
                seen
            } else {
                n > 0 && reach.get(n - 1).copied().unwrap_or(false) && name.get(n - 1).is_some_and(|c| *p == '?' || p == c)
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

fn invalid(field: impl Into<String>, message: impl Into<String>) -> JobsError {
    JobsError::invalid("jobs.bad_policy", field, message)
}

impl PolicyDraft {
    fn check(&self) -> Result<(), JobsError> {
        let text = |field: &str, value: &str, most: usize| {
            if value.trim().is_empty() || value.len() > most || value.chars().any(char::is_control) {
                return Err(invalid(field, format!("1 to {most} bytes without control characters are wanted")));
            }
            Ok(())
        };
        text("/name", &self.name, 100)?;
        text("/nodes", &self.nodes, 1000)?;
        if self.nodes.split(',').any(|pattern| pattern.trim().is_empty()) {
            return Err(invalid("/nodes", "between two commas stands no pattern; `*` stands for all nodes"));
        }
        let s = &self.settings;
        let within = |field: &str, value: Option<u32>, least: u32, most: u32, zero: bool| match value {
            // Zero, where it is allowed, means never.
            Some(0) if zero => Ok(()),
            Some(v) if !(least..=most).contains(&v) => {
                Err(invalid(format!("/settings/{field}"), format!("{v} is not between {least} and {most}")))
            }
            _ => Ok(()),
        };
        within("metrics_s", s.metrics_s, 1, 3600, true)?;
        within("metrics_send_s", s.metrics_send_s, 1, 3600, false)?;
        for (list, names) in [
            ("scrapes", s.scrapes.iter().map(|x| x.name.as_str()).collect::<Vec<_>>()),
            ("checks", s.checks.iter().map(|x| x.name.as_str()).collect()),
        ] {
            if names.len() > MOST_TARGETS {
                return Err(invalid(format!("/settings/{list}"), format!("a policy has at most {MOST_TARGETS} of them")));
            }
            for (i, name) in names.iter().enumerate() {
                let at = format!("/settings/{list}/{i}/name");
                text(&at, name, 60)?;
                if names.iter().take(i).any(|other| other == name) {
                    return Err(invalid(at, format!("{name:?} is there twice")));
                }
            }
        }
        for (i, scrape) in s.scrapes.iter().enumerate() {
            let at = format!("/settings/scrapes/{i}");
            own_url(&format!("{at}/url"), &scrape.url)?;
            within(&format!("scrapes/{i}/timeout_s"), Some(scrape.timeout_s), 1, 60, true)?;
            within(&format!("scrapes/{i}/max_samples"), Some(scrape.max_samples), 1, 5000, true)?;
        }
        for (i, check) in s.checks.iter().enumerate() {
            let at = format!("/settings/checks/{i}/target");
            text(&at, &check.target, 300)?;
            match check.kind.as_str() {
                "process" | "unit" if check.target.starts_with('-') => return Err(invalid(at, "a name does not start with `-`")),
                "process" | "unit" => {}
                "http" => own_url(&at, &check.target)?,
                "tcp" => {
                    let port = check.target.rsplit_once(':').map_or(check.target.as_str(), |(_, port)| port);
                    if port.parse::<u16>().is_err() {
                        return Err(invalid(at, format!("{port:?} is no port; give a port, or an address and a port: 10.0.0.5:5432")));
                    }
                }
                other => {
                    let at = format!("/settings/checks/{i}/kind");
                    return Err(invalid(at, format!("{other:?} is unknown; use process, tcp, http or unit")));
                }
            }
            within(&format!("checks/{i}/least"), Some(check.least), 1, 10_000, true)?;
        }
        Ok(())
    }
}

/// Agents ask their own machine only, and refuse anything else; said here, where somebody can change it.
fn own_url(at: &str, url: &str) -> Result<(), JobsError> {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => authority,
    };
    let own = host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !own || url.len() > 300 || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid(at, "agents ask their own machine only: give a URL such as http://127.0.0.1:9187/metrics"));
    }
    Ok(())
}

impl Jobs {
    /// All policies, in the order in which they count.
    pub async fn node_policies(&self, who: &Principal) -> Result<Vec<NodePolicy>, JobsError> {
        self.inner.access.require(who, Permission::NodesRead, &[]).await?;
        Ok(self.inner.policies.all())
    }

    /// What holds for a node.
    pub async fn node_settings(&self, who: &Principal, id: &str) -> Result<NodeSettings, JobsError> {
        self.inner.access.require(who, Permission::NodesRead, &[]).await?;
        let node = self.inner.find_node(id).await?;
        Ok(self.inner.policies.of(&node.name))
    }

    /// Makes a policy, or changes one; `version` is the one that was read, none to overwrite whatever is there.
    pub async fn save_node_policy(
        &self,
        who: &Principal,
        id: Option<&str>,
        draft: PolicyDraft,
        version: Option<i64>,
    ) -> Result<NodePolicy, JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        draft.check()?;
        let name = draft.name.trim().to_owned();
        let settings = serde_json::to_value(&draft.settings).unwrap_or_default();
        let now = now_ms();
        let by = who.actor().to_string();
        let mut tx = inner.db.begin().await?;
        let policies = tx.fetch_all("SELECT * FROM job_node_policies ORDER BY place, name", &[]).await?;
        let policies = policies.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        if policies.iter().any(|p| p.name == name && Some(p.id.as_str()) != id) {
            return Err(invalid("/name", format!("another policy is called {name:?}")));
        }
        let (id, before) = match id {
            None if policies.len() >= MOST_POLICIES => {
                return Err(invalid("/name", format!("there are {MOST_POLICIES} policies, and no more can be made; join some")));
            }
            None => {
                let id = new_id();
                tx.execute(
                    "INSERT INTO job_node_policies (id, name, nodes, place, settings, version, updated_at, updated_by) VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
                    params![&id, &name, draft.nodes.trim(), draft.place, settings.clone(), now, &by],
                )
                .await?;
                (id, None)
            }
            Some(id) => {
                let before = policies.into_iter().find(|p| p.id == id);
                let before = before.ok_or_else(|| JobsError::NotFound { what: "policy", id: id.to_owned() })?;
                if version.is_some_and(|v| v != before.version) {
                    return Err(invalid("/version", "somebody has changed it meanwhile; look at it again, then repeat the change"));
                }
                tx.execute(
                    "UPDATE job_node_policies SET name = ?, nodes = ?, place = ?, settings = ?, version = version + 1, updated_at = ?,
                     updated_by = ? WHERE id = ?",
                    params![&name, draft.nodes.trim(), draft.place, settings.clone(), now, &by, id],
                )
                .await?;
                (id.to_owned(), Some(before))
            }
        };
        let before = before.map(|p| json!({"name": p.name, "nodes": p.nodes, "place": p.place, "settings": p.settings}));
        let after = json!({"name": name, "nodes": draft.nodes.trim(), "place": draft.place, "settings": settings});
        let action = if before.is_some() { "nodes.policy.change" } else { "nodes.policy.create" };
        inner.access.audit(&mut tx, who, action, &format!("node-policy/{id}"), before.as_ref(), Some(&after)).await?;
        tx.commit().await?;
        inner.policies_changed().await?;
        let saved = inner.policies.all().into_iter().find(|p| p.id == id);
        saved.ok_or_else(|| JobsError::NotFound { what: "policy", id })
    }

    /// Removes a policy.
    pub async fn delete_node_policy(&self, who: &Principal, id: &str) -> Result<(), JobsError> {
        let inner = &self.inner;
        inner.access.require(who, Permission::NodesManage, &[]).await?;
        let mut tx = inner.db.begin().await?;
        let found = tx.fetch_optional("SELECT * FROM job_node_policies WHERE id = ?", params![id]).await?;
        let Some(found) = found else { return Err(JobsError::NotFound { what: "policy", id: id.to_owned() }) };
        let p = row(&found)?;
        tx.execute("DELETE FROM job_node_policies WHERE id = ?", params![id]).await?;
        let before = json!({"name": p.name, "nodes": p.nodes, "place": p.place, "settings": p.settings});
        inner.access.audit(&mut tx, who, "nodes.policy.delete", &format!("node-policy/{id}"), Some(&before), None).await?;
        tx.commit().await?;
        inner.policies_changed().await?;
        Ok(())
    }
}

impl Inner {
    /// All agents are told anew; one for which nothing has changed goes on as it was.
    async fn policies_changed(&self) -> Result<(), JobsError> {
        self.policies.load(&self.db).await?;
        self.hub.tell_settings();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [("*", ""), ("*", "web-1"), ("web-*", "web-1"), ("WEB-?", "web-1"), ("*b*1", "web-1"), ("a, web-1", "web-1")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("web", "web-1"), ("web-?", "web-10"), ("?", ""), ("", "web"), ("*x", "web"), ("web-[1]", "web-1")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        // A pattern that makes others take for ever.
        assert!(!glob(&"*a".repeat(400), &"a".repeat(399)));
    }

    #[test]
    fn the_later_policy_counts_value_by_value() {
        let policy = |place: i64, nodes: &str, settings: serde_json::Value| NodePolicy {
            id: place.to_string(),
            name: format!("p{place}"),
            nodes: nodes.into(),
            place,
            settings: serde_json::from_value(settings).unwrap(),
            version: 1,
            updated_at: 0,
            updated_by: String::new(),
        };
        let check = |name: &str, target: &str| json!({"name": name, "kind": "tcp", "target": target});
        let policies = Policies(RwLock::new(vec![
            policy(1, "*", json!({"metrics_s": 30, "checks": [check("a", "1"), check("b", "2")]})),
            policy(2, "db-*", json!({"metrics_send_s": 90, "checks": [check("b", "3")]})),
            policy(3, "web-*", json!({"metrics_s": 0})),
        ]));
        let db = policies.message("db-1");
        assert_eq!((db.metrics_s, db.metrics_send_s), (30, 90));
        assert_eq!(db.checks.iter().map(|c| c.target.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(policies.of("db-1").policies, ["p1", "p2"]);
        assert_eq!(policies.message("web-1").metrics_s, 0);
        assert_eq!(Policies::default().message("x").metrics_s, USUAL_METRICS_S);
    }
}
