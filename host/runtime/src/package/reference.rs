//! `registry.example.com/acme/demo:0.1.0`: where a package is in a registry.

use super::fetch::FetchError;

/// A place in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `host[:port]`.
    pub registry: String,
    /// `acme/demo`.
    pub repository: String,
    /// A tag, or a digest `sha256:...`.
    pub version: Option<String>,
}

impl Reference {
    /// `registry/repository[:tag][@digest]`, with or without `oci://` before it.
    pub fn parse(text: &str) -> Result<Reference, FetchError> {
        let wrong = |why: &str| FetchError::Address(format!("{text:?} {why}; write for example registry.example.com/acme/demo:0.1.0"));
        let rest = text.strip_prefix("oci://").unwrap_or(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        if let Some(d) = digest
            && !is_digest(d)
        {
            return Err(wrong("has a digest that is not sha256: and 64 digits"));
        }
        let (registry, path) = rest.split_once('/').ok_or_else(|| wrong("names no repository"))?;
        if !(registry.contains('.') || registry.contains(':') || registry == "localhost") {
            return Err(wrong("does not start with a registry"));
        }
        if registry.is_empty() || !registry.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']')) {
            return Err(wrong("starts with what is no host"));
        }
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let part = |p: &str| {
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(p.bytes().next())
                && edge(p.bytes().last())
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
                && !p.contains("..")
        };
        if repository.len() > 200 || !repository.split('/').all(part) {
            return Err(wrong("has a repository that is not of a-z, 0-9, dot, hyphen and underscore, with / between its parts"));
        }
        if let Some(t) = tag
            && (t.len() > 128
                || t.starts_with(['.', '-'])
                || t.is_empty()
                || !t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
        {
            return Err(wrong("has a tag that is not of letters, digits, dot, hyphen and underscore"));
        }
        Ok(Reference {
            registry: registry.to_lowercase(),
            repository: repository.to_owned(),
            // Where both are given the digest names it exactly.
            version: digest.or(tag).map(str::to_owned),
        })
    }

    /// Without its version.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same place, another version.
    pub fn at(&self, version: &str) -> Reference {
        Reference { version: Some(version.to_owned()), ..self.clone() }
    }

    /// A repository beside this one: `acme/catalog` → `acme/demo`.
    pub fn beside(&self, name: &str, version: &str) -> Reference {
        let repository = match self.repository.rsplit_once('/') {
            Some((before, _)) => format!("{before}/{name}"),
            None => name.to_owned(),
        };
        Reference { repository, version: Some(version.to_owned()), ..self.clone() }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(v) if v.starts_with("sha256:") => write!(f, "{}@{v}", self.place()),
            Some(v) => write!(f, "{}:{v}", self.place()),
            None => f.write_str(&self.place()),
        }
    }
}

/// `sha256:` and 64 digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn references_are_read() {
        let r = Reference::parse("oci://Registry.example.com:5000/acme/demo:0.1.0").unwrap();
        assert_eq!(
            (r.registry.as_str(), r.repository.as_str(), r.version.as_deref()),
            ("registry.example.com:5000", "acme/demo", Some("0.1.0"))
        );
        assert_eq!(r.beside("other", "1.0.0").to_string(), "registry.example.com:5000/acme/other:1.0.0");
        let digest = format!("sha256:{}", "a".repeat(64));
        let r = Reference::parse(&format!("localhost/demo:0.1.0@{digest}")).unwrap();
        assert_eq!(r.to_string(), format!("localhost/demo@{digest}"));
        assert_eq!(Reference::parse("[::1]:5000/demo").unwrap().registry, "[::1]:5000");
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "demo",
            "acme/demo",
            "r.example.com/",
            "r.example.com/A",
            "r.example.com/a//b",
            "r.example.com/../b",
            "r.example.com/a:",
            "r.example.com/a:b c",
            "r.example.com/a@sha256:1",
            "user:pw@r.example.com/a",
            "r.example.com/a?x=1",
            "r.example.com#/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
