//! Names and addresses as people paste them: which nodes they mean, and which of them mean none.

use std::collections::{BTreeMap, BTreeSet};

use plenum_access::Principal;
use plenum_store::Value;

use crate::model::Unmatched;
use crate::{Inner, JobsError};

/// Most words of one request.
pub const MAX_PASTED: usize = 5000;
/// Words of one question to the database.
const PIECE: usize = 200;

/// The words of pasted lines: separated by white space, commas and semicolons, `user@` and `:port` taken off, each once.
pub(crate) fn words(lines: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for word in lines.iter().flat_map(|l| l.split(|c: char| c.is_whitespace() || c == ',' || c == ';')) {
        let word = word.rsplit_once('@').map_or(word, |(_, host)| host);
        let word = match word.strip_prefix('[').and_then(|w| w.split_once(']')) {
            // [2001:db8::1]:22
            Some((address, _)) => address,
            // host:22, but not 2001:db8::1
            None => match word.split_once(':') {
                Some((host, port)) if !port.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => host,
                _ => word,
            },
        };
        if !word.is_empty() && seen.insert(word.to_lowercase()) {
            out.push(word.to_owned());
        }
    }
    out
}

impl Inner {
    /// Nodes of pasted words, in their order, and the words without exactly one.
    pub(crate) async fn pasted(&self, who: &Principal, lines: &[String]) -> Result<(Vec<String>, Vec<Unmatched>), JobsError> {
        let words = words(lines);
        if words.len() > MAX_PASTED {
            let message = format!("{} names and addresses, and {MAX_PASTED} is the most; use a filter, or split the run", words.len());
            return Err(JobsError::invalid("jobs.too_many_targets", "/targets/addresses", message));
        }
        // By the lower-case word: ids of nodes, each with its name for the report.
        let mut hits: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for piece in words.chunks(PIECE) {
            let lower: Vec<String> = piece.iter().map(|w| w.to_lowercase()).collect();
            let marks = vec!["?"; lower.len()].join(", ");
            // What an agent dialled from is no address of its machine behind a NAT, where many share it: then it is not one node's.
            let sql = format!(
                "SELECT id, name, LOWER(name) AS n, LOWER(hostname) AS h, COALESCE(address, '') AS a FROM job_nodes
                 WHERE state <> 'revoked' AND (id IN ({marks}) OR LOWER(name) IN ({marks}) OR LOWER(hostname) IN ({marks}) OR address IN ({marks}))"
            );
            let values: Vec<Value> = lower.iter().cycle().take(lower.len() * 4).map(Value::from).collect();
            let wanted: BTreeSet<&String> = lower.iter().collect();
            for r in self.db.fetch_all(&sql, &values).await? {
                let (id, name) = (r.text("id")?, r.text("name")?);
                for key in [id.clone(), r.text("n")?, r.text("h")?, r.text("a")?] {
                    if wanted.contains(&key) {
                        hits.entry(key).or_default().insert(id.clone(), name.clone());
                    }
                }
            }
            let missing: Vec<String> = lower.iter().filter(|w| !hits.contains_key(*w)).cloned().collect();
            let mut without: BTreeMap<String, String> = BTreeMap::new();
            for (word, found) in self.inventory.by_address(who, &missing).await? {
                match found.node_id {
                    Some(node) => drop(hits.entry(word).or_default().insert(node, found.label)),
                    None => drop(without.insert(word, found.label)),
                }
            }
            for (word, label) in without {
                // Remembered as a word that means a machine without an agent: no id, only its name.
                hits.entry(word).or_insert_with(|| BTreeMap::from([(String::new(), label)]));
            }
        }
        let (mut nodes, mut unmatched) = (Vec::new(), Vec::new());
        let mut taken = BTreeSet::new();
        for word in words {
            let found = hits.remove(&word.to_lowercase()).unwrap_or_default();
            let mut ids = found.keys();
            match (ids.next(), ids.next()) {
                (Some(id), None) if !id.is_empty() => {
                    if taken.insert(id.clone()) {
                        nodes.push(id.clone());
                    }
                }
                (None, _) => {
                    unmatched.push(Unmatched { text: word, reason: "no node and no host in the CMDB has this name or address".to_owned() })
                }
                (Some(_), None) => {
                    unmatched.push(Unmatched { text: word, reason: "its host is in the CMDB and has no agent; enrol one on it".to_owned() })
                }
                (Some(_), Some(_)) => {
                    let names: Vec<&str> = found.values().take(5).map(String::as_str).collect();
                    unmatched.push(Unmatched {
                        text: word,
                        reason: format!("{} nodes have it ({}); name one of them", found.len(), names.join(", ")),
                    });
                }
            }
        }
        Ok((nodes, unmatched))
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn pasted_words() {
        let lines =
            ["web-1, web-2;web-3\troot@db1:22".to_owned(), " 10.0.0.1:22 [2001:db8::1]:22 2001:db8::2 WEB-1 ".to_owned(), String::new()];
        assert_eq!(words(&lines), ["web-1", "web-2", "web-3", "db1", "10.0.0.1", "2001:db8::1", "2001:db8::2"]);
    }
}
