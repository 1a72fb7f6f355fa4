//! Whom the host trusts: publishers by their keys, how far each is trusted, and whose signatures a package needs.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use super::signature::{key_line, key_of, public_key};
use super::{PackageError, SignatureState, Trust, TrustedKey};

/// A publisher, as the configuration names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Shown as the publisher of what its keys signed.
    pub name: String,
    /// Its keys. Several, so that one can follow another.
    #[serde(default)]
    pub keys: Vec<PublisherKey>,
    /// Keys that count no more, whatever they signed: public keys, or ids of keys.
    #[serde(default)]
    pub revoked: Vec<String>,
    /// Where its packages come from: prefixes of `registry/repository`, `host/path` or folders, compared by whole segments. From
    /// anywhere when empty.
    #[serde(default)]
    pub scope: Vec<String>,
}

/// A key of a publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherKey {
    /// The line `RW...` of a minisign public key, or the whole file.
    pub key: String,
    /// `2027-06-30` (the day included) or a time in RFC 3339: what is installed later does not count on this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// Whose signatures packages from one place need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For packages from here; the longest prefix that fits counts. Empty for all.
    #[serde(default)]
    pub prefix: String,
    /// All of these publishers.
    #[serde(default)]
    pub all_of: Vec<String>,
    /// And so many of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<AnyOf>,
}

/// Some of several publishers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyOf {
    /// How many.
    #[serde(default = "one")]
    pub minimum: usize,
    /// Of which.
    pub publishers: Vec<String>,
}

fn one() -> usize {
    1
}

/// Where a package comes from: `registry.example.com/acme/demo`, `plugins.example.com/catalog`, `/srv/catalog`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// From a place without its scheme: `host[:port]/path`, or an absolute folder.
    pub fn new(place: &str) -> Origin {
        Origin(plain(place))
    }

    /// Whether it lies below `prefix`: whole segments count, so that `host/acme` holds `host/acme/demo` and not `host/acme-evil`.
    pub fn within(&self, prefix: &str) -> bool {
        let prefix = plain(prefix);
        if prefix.is_empty() {
            return true;
        }
        let mut own = self.0.split('/');
        // A place that climbs is below nothing.
        !self.0.split('/').any(|s| s == "..") && prefix.split('/').all(|p| own.next() == Some(p))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Without scheme, with the host in lower case.
fn plain(place: &str) -> String {
    let place = ["oci://", "https://", "http://", "file://"].iter().find_map(|s| place.strip_prefix(s)).unwrap_or(place);
    let place = if place.len() > 1 { place.trim_end_matches('/') } else { place };
    match place.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.to_lowercase()),
        None => place.to_lowercase(),
    }
}

/// What one signature is worth here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Counts.
    Good,
    /// Its key's time is over.
    Expired,
    /// Its key was revoked.
    Revoked,
    /// Its publisher is trusted elsewhere, not for what comes from here.
    OutOfScope,
    /// No publisher has its key.
    UnknownKey,
    /// What it signs is not what is here.
    Broken,
}

/// One signature of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// Id of its key, as minisign writes it.
    pub key_id: Option<String>,
    /// Whose key it is, by the configuration.
    pub publisher: Option<String>,
    /// What it is worth.
    pub standing: Standing,
}

#[derive(Debug, Clone)]
struct Key {
    id: String,
    key: PublicKey,
    not_after: Option<(String, i64)>,
}

#[derive(Debug, Clone)]
struct Known {
    name: String,
    keys: Vec<Key>,
    /// Ids: a key that is revoked need not be known any more.
    revoked: BTreeSet<String>,
    scope: Vec<String>,
}

/// The decoded policy.
#[derive(Debug, Clone, Default)]
pub struct TrustPolicy {
    publishers: Vec<Known>,
    rules: Vec<Rule>,
}

fn wrong(message: String) -> PackageError {
    PackageError::Key(message)
}

impl TrustPolicy {
    /// Reads the configuration, so that a mistake is told at start and not at the first install.
    pub fn new(publishers: &[Publisher], rules: &[Rule]) -> Result<TrustPolicy, PackageError> {
        let mut policy = TrustPolicy { publishers: Vec::new(), rules: rules.to_vec() };
        for p in publishers {
            policy.add(p)?;
        }
        let mut prefixes = BTreeSet::new();
        for r in rules {
            policy.check(r)?;
            if !prefixes.insert(plain(&r.prefix)) {
                return Err(wrong(format!("two rules of [[plugins.trust]] have the prefix {:?}; make them one", r.prefix)));
            }
        }
        Ok(policy)
    }

    /// Any of these keys, for anything.
    pub fn of_keys(keys: &[TrustedKey]) -> Result<TrustPolicy, PackageError> {
        let publisher = |k: &TrustedKey| Publisher {
            name: k.name.clone(),
            keys: vec![PublisherKey { key: k.public_key.clone(), not_after: None }],
            ..Publisher::default()
        };
        TrustPolicy::new(&keys.iter().map(publisher).collect::<Vec<_>>(), &[])
    }

    fn add(&mut self, p: &Publisher) -> Result<(), PackageError> {
        if p.name.trim().is_empty() {
            return Err(wrong("a publisher of [[plugins.publishers]] has no name".into()));
        }
        let mut known = Known { name: p.name.clone(), keys: Vec::new(), revoked: BTreeSet::new(), scope: p.scope.clone() };
        for k in &p.keys {
            let trusted = TrustedKey { name: p.name.clone(), public_key: k.key.clone() };
            let key = public_key(&trusted)?;
            let id = super::key_id(key_line(&k.key)).ok_or_else(|| wrong(format!("a key of the publisher {:?} has no id", p.name)))?;
            let not_after = match &k.not_after {
                Some(text) => Some((
                    text.clone(),
                    moment(text).ok_or_else(|| {
                        wrong(format!("not_after {text:?} of the publisher {:?} is no date such as \"2027-06-30\"", p.name))
                    })?,
                )),
                None => None,
            };
            known.keys.push(Key { id, key, not_after });
        }
        for r in &p.revoked {
            let line = key_line(r);
            // First whether it is an id: its digits would be base64 too.
            let id = if is_id(line) { Some(line.to_uppercase()) } else { super::key_id(line) };
            known.revoked.insert(id.ok_or_else(|| {
                wrong(format!(
                    "{r:?} under revoked of the publisher {:?} is neither a minisign public key nor the 16 digits of a key's id",
                    p.name
                ))
            })?);
        }
        if known.keys.is_empty() && known.revoked.is_empty() {
            return Err(wrong(format!("the publisher {:?} has no keys; give at least one", p.name)));
        }
        match self.publishers.iter_mut().find(|k| k.name == known.name && k.scope == known.scope) {
            Some(same) => {
                same.keys.extend(known.keys);
                same.revoked.extend(known.revoked);
            }
            None => self.publishers.push(known),
        }
        Ok(())
    }

    fn check(&self, r: &Rule) -> Result<(), PackageError> {
        let place = if r.prefix.is_empty() { "all packages".to_owned() } else { format!("packages from {}", r.prefix) };
        let any = r.any_of.iter().flat_map(|a| &a.publishers);
        for name in r.all_of.iter().chain(any) {
            if !self.publishers.iter().any(|p| p.name == *name) {
                let names = self.publishers.iter().map(|p| p.name.as_str());
                let hint = super::nearest(name, names).map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
                return Err(wrong(format!("the rule for {place} names {name:?}, which is no publisher of [[plugins.publishers]]{hint}")));
            }
        }
        match &r.any_of {
            None if r.all_of.is_empty() => Err(wrong(format!("the rule for {place} names nobody; give all_of or any_of"))),
            Some(a) if a.minimum == 0 || a.minimum > a.publishers.iter().collect::<BTreeSet<_>>().len() => {
                Err(wrong(format!("the rule for {place} has any_of.minimum = {}, of {} publishers", a.minimum, a.publishers.len())))
            }
            _ => Ok(()),
        }
    }

    /// What a package's signatures are worth: `document` is what they sign, `at` when it is judged (for installed ones: when they were
    /// installed), in milliseconds since the Unix epoch.
    pub fn judge(&self, document: &[u8], signatures: &[String], origin: &Origin, at: i64) -> SignatureState {
        self.state_of(signatures.iter().map(|s| self.signer(document, s, origin, at)).collect(), origin)
    }

    fn state_of(&self, signers: Vec<Signer>, origin: &Origin) -> SignatureState {
        let good: BTreeSet<&str> = signers.iter().filter(|s| s.standing == Standing::Good).filter_map(|s| s.publisher.as_deref()).collect();
        let missing = self.missing(&good, origin);
        let has = |standing: Standing| signers.iter().find(|s| s.standing == standing);
        let (state, shown, reason) = match &missing {
            // A signature that counts for nothing takes nothing from those that do.
            None => (Trust::Trusted, has(Standing::Good), None),
            Some(_) if signers.is_empty() => (Trust::Unsigned, None, Some("it is not signed".to_owned())),
            Some(_) if has(Standing::Broken).is_some() => {
                (Trust::Modified, has(Standing::Broken), Some("what its signature signs is not what is here".to_owned()))
            }
            Some(missing) => {
                let worst = [Standing::Revoked, Standing::Expired, Standing::OutOfScope, Standing::UnknownKey, Standing::Good];
                let shown = worst.into_iter().find_map(has);
                (Trust::UnknownPublisher, shown, Some(self.reason(shown, missing, origin)))
            }
        };
        SignatureState {
            state,
            key_id: shown.and_then(|s| s.key_id.clone()),
            publisher: if state == Trust::Trusted || shown.is_some_and(|s| s.standing == Standing::Revoked) {
                shown.and_then(|s| s.publisher.clone())
            } else {
                None
            },
            reason,
            origin: origin.clone(),
            signers,
        }
    }

    /// Which publisher signed a document that is no package: an index of a catalog. One is enough; `only` says which.
    pub fn signer_of(
        &self,
        document: &[u8],
        signatures: &[String],
        origin: &Origin,
        at: i64,
        only: Option<&str>,
    ) -> Result<String, String> {
        if signatures.is_empty() {
            return Err("it is not signed".into());
        }
        let signers: Vec<Signer> = signatures.iter().map(|s| self.signer(document, s, origin, at)).collect();
        let counts = |s: &&Signer| s.standing == Standing::Good && only.is_none_or(|o| s.publisher.as_deref() == Some(o));
        if let Some(name) = signers.iter().find(counts).and_then(|s| s.publisher.clone()) {
            return Ok(name);
        }
        if signers.iter().any(|s| s.standing == Standing::Broken) {
            return Err("it was changed after it was signed".into());
        }
        match only {
            Some(only) if signers.iter().any(|s| s.standing == Standing::Good) => Err(format!("it is signed by somebody else than {only}")),
            _ => Err(self.reason(signers.first(), "a signature of a publisher that this host trusts", origin)),
        }
    }

    /// What an installed package's signatures are worth today. The package cannot have changed since, for its digest is stored: so what
    /// was true of its signatures then is true, and what has changed is whom the host trusts.
    pub fn review(&self, then: &SignatureState) -> SignatureState {
        let mut signers = then.signers.clone();
        if signers.is_empty()
            && let (Some(id), Trust::Trusted) = (&then.key_id, then.state)
        {
            signers.push(Signer { key_id: Some(id.clone()), publisher: then.publisher.clone(), standing: Standing::Good });
        }
        for s in &mut signers {
            let Some(id) = &s.key_id else { continue };
            if let Some(p) = self.publishers.iter().find(|p| p.revoked.contains(id)) {
                (s.standing, s.publisher) = (Standing::Revoked, Some(p.name.clone()));
            } else if s.standing == Standing::Good
                && !self.publishers.iter().any(|p| Some(&p.name) == s.publisher.as_ref() && p.keys.iter().any(|k| k.id == *id))
            {
                (s.standing, s.publisher) = (Standing::UnknownKey, None);
            }
        }
        if signers == then.signers {
            return then.clone();
        }
        self.state_of(signers, &then.origin)
    }

    fn signer(&self, document: &[u8], text: &str, origin: &Origin, at: i64) -> Signer {
        let broken = |key_id| Signer { key_id, publisher: None, standing: Standing::Broken };
        let (Ok(signature), Some(id)) = (Signature::decode(text), key_of(text)) else { return broken(None) };
        let mut best: Option<Signer> = None;
        let mut known = false;
        for p in &self.publishers {
            let signer = |standing| Signer { key_id: Some(id.clone()), publisher: Some(p.name.clone()), standing };
            if p.revoked.contains(&id) {
                return signer(Standing::Revoked);
            }
            // Key ids are 8 bytes that anybody may choose, so two keys can have the same: go on with the next.
            for k in p.keys.iter().filter(|k| k.id == id) {
                known = true;
                if k.key.verify(document, &signature, false).is_err() {
                    continue;
                }
                let standing = if k.not_after.as_ref().is_some_and(|(_, end)| at > *end) {
                    Standing::Expired
                } else if !p.scope.is_empty() && !p.scope.iter().any(|s| origin.within(s)) {
                    Standing::OutOfScope
                } else {
                    Standing::Good
                };
                if best.as_ref().is_none_or(|b| b.standing != Standing::Good) {
                    best = Some(signer(standing));
                }
            }
        }
        match best {
            Some(best) => best,
            None if known => broken(Some(id)),
            None => Signer { key_id: Some(id), publisher: None, standing: Standing::UnknownKey },
        }
    }

    /// Whose signatures are missing; none when what is needed is there.
    fn missing(&self, good: &BTreeSet<&str>, origin: &Origin) -> Option<String> {
        let rule = self.rules.iter().filter(|r| origin.within(&r.prefix)).max_by_key(|r| segments(&r.prefix));
        let Some(rule) = rule else {
            return if good.is_empty() { Some("a signature of a publisher that this host trusts".into()) } else { None };
        };
        let mut missing: Vec<String> = rule.all_of.iter().filter(|n| !good.contains(n.as_str())).cloned().collect();
        if let Some(a) = &rule.any_of {
            let has = a.publishers.iter().filter(|n| good.contains(n.as_str())).collect::<BTreeSet<_>>().len();
            if has < a.minimum {
                missing.push(format!("{} more of {}", a.minimum - has, a.publishers.join(", ")));
            }
        }
        if missing.is_empty() { None } else { Some(format!("signatures of {}", missing.join(" and "))) }
    }

    fn reason(&self, shown: Option<&Signer>, missing: &str, origin: &Origin) -> String {
        let Some(s) = shown else { return format!("it needs {missing}") };
        let id = s.key_id.as_deref().unwrap_or("of an unknown id");
        let name = s.publisher.as_deref().unwrap_or("an unknown publisher");
        let of = || self.publishers.iter().filter(|p| p.name == name);
        match s.standing {
            Standing::Revoked => format!("the key {id} of {name} was revoked: what it signed counts no more"),
            Standing::Expired => {
                let end = of().flat_map(|p| &p.keys).filter(|k| k.id == id).find_map(|k| k.not_after.as_ref()).map_or("", |(text, _)| text);
                format!("the key {id} of {name} counts until {end}; the publisher has to sign with a newer key")
            }
            Standing::OutOfScope => {
                let scope: Vec<&str> = of().flat_map(|p| &p.scope).map(String::as_str).collect();
                format!("{name} is trusted for packages from {}, and this one comes from {origin}", scope.join(", "))
            }
            Standing::UnknownKey => format!("it is signed with the key {id}, which is none of a publisher that this host trusts"),
            Standing::Good | Standing::Broken => format!("packages from {origin} also need {missing}"),
        }
    }
}

fn segments(prefix: &str) -> usize {
    let p = plain(prefix);
    if p.is_empty() { 0 } else { p.split('/').count() }
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The last moment of a day, or a time.
fn moment(text: &str) -> Option<i64> {
    if let Ok(t) = DateTime::parse_from_rfc3339(text) {
        return Some(t.with_timezone(&Utc).timestamp_millis());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_milli_opt(23, 59, 59, 999)?.and_utc().timestamp_millis())
}
