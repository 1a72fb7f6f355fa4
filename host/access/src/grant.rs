//! What an administrator let a plugin do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::permission::Permission;

/// The permissions of one installed plugin. Empty at first: deny by default.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Grant {
    /// By permission name.
    pub permissions: BTreeMap<String, Scope>,
}

/// How far one permission of a grant reaches: lists by scope key. An absent key allows everything of that kind; a list
/// allows what it names (`*` names all, a trailing `*` names a prefix).
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Scope(pub BTreeMap<String, Vec<String>>);

/// The scope key of attributes, whose values are `model.attribute`.
pub const ATTRIBUTES: &str = "attributes";

/// Among what a call touches: it looks at many attributes, and leaves out by itself those that are beyond the scope.
pub const KEEPS_TO_ATTRIBUTES: (&str, &str) = (ATTRIBUTES, "");

/// Among what a call touches: it keeps by itself to the records that the caller's data roles leave, and to what they show of them. Without
/// it a call is refused to people whom a data role narrows.
pub const KEEPS_TO_RECORDS: (&str, &str) = ("records", "");

/// Whether a touch says something of the call, and names nothing.
pub(crate) fn is_promise(touch: &(&str, &str)) -> bool {
    *touch == KEEPS_TO_ATTRIBUTES || *touch == KEEPS_TO_RECORDS
}

/// What a check is about: the scope keys a call touches, `("models", "host")`.
pub type Touches<'a> = &'a [(&'a str, &'a str)];

impl Grant {
    /// Whether the grant allows `permission` on all that the call touches.
    pub fn allows(&self, permission: Permission, touches: Touches<'_>) -> bool {
        let Some(scope) = self.permissions.get(permission.name()) else { return false };
        let of_attributes = |(key, _): &(&str, &str)| *key == ATTRIBUTES;
        // A door that knows nothing of attributes stays shut to who may see only some.
        if scope.0.contains_key(ATTRIBUTES) && touches.iter().any(|t| *t != KEEPS_TO_RECORDS) && !touches.iter().any(of_attributes) {
            return false;
        }
        touches.iter().all(|touch| is_promise(touch) || scope.allows(touch.0, touch.1))
    }
}

impl Scope {
    /// Whether `value` is within the list under `key`.
    pub fn allows(&self, key: &str, value: &str) -> bool {
        match self.0.get(key) {
            None => true,
            Some(list) => list.iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(prefix) => value.starts_with(prefix),
                None => allowed == value,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: serde_json::Value) -> Grant {
        serde_json::from_value(json).unwrap_or_default()
    }

    #[test]
    fn empty_grant_denies() {
        assert!(!Grant::default().allows(Permission::CmdbRead, &[("models", "host")]));
    }

    #[test]
    fn scope_limits_models() {
        let g = grant(serde_json::json!({"cmdb.read": {"models": ["host", "postgres*"]}}));
        assert!(g.allows(Permission::CmdbRead, &[("models", "host")]));
        assert!(g.allows(Permission::CmdbRead, &[("models", "postgresql")]));
        assert!(!g.allows(Permission::CmdbRead, &[("models", "redis")]));
        assert!(!g.allows(Permission::CmdbWrite, &[("models", "host")]));
    }

    #[test]
    fn a_call_that_does_not_keep_to_attributes_is_not_made() {
        let g = grant(serde_json::json!({"cmdb.read": {"attributes": ["host.hostname", "team.*"]}}));
        let read = |touches: Touches<'_>| g.allows(Permission::CmdbRead, touches);
        assert!(!read(&[("models", "host")]));
        assert!(read(&[]) && read(&[("models", "host"), KEEPS_TO_ATTRIBUTES]));
        assert!(read(&[("attributes", "host.hostname")]) && read(&[("attributes", "team.*")]));
        assert!(!read(&[("attributes", "host.owner")]) && !read(&[("attributes", "host.*")]));
    }
}
