//! Where a catalog is: a folder, a web server, a registry.

use std::path::PathBuf;

use reqwest::Url;

use crate::package::fetch::FetchError;
use crate::package::{Origin, Reference};

/// A catalog, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogSpec {
    /// As people see it.
    pub name: String,
    /// Where it is.
    pub source: Source,
    /// Whether plain HTTP to another machine is allowed.
    pub plain_http: bool,
    /// The only publisher that may sign its index; any that the host trusts when absent.
    pub publisher: Option<String>,
}

/// Where a catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of `*.plenum` files, with a signed index or without.
    Folder(PathBuf),
    /// A folder behind a web server, with a signed index. Ends with `/`.
    Web(Url),
    /// A signed index in a registry, the packages beside it.
    Registry(Reference),
}

impl Source {
    /// `/srv/catalog`, `https://plugins.example.com/catalog`, `oci://registry.example.com/acme/catalog:latest`.
    pub fn parse(text: &str) -> Result<Source, FetchError> {
        if text.starts_with("oci://") {
            let r = Reference::parse(text)?;
            let version = r.version.clone().unwrap_or_else(|| "latest".to_owned());
            return Ok(Source::Registry(r.at(&version)));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            let text = text.strip_suffix("/index.json").unwrap_or(text).trim_end_matches('/');
            let url =
                Url::parse(&format!("{text}/")).map_err(|e| FetchError::Address(format!("the catalog {text:?} is no address: {e}")))?;
            if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
                return Err(FetchError::Address(
                    "a catalog's address has no user, password or query in it, as logs would show them".into(),
                ));
            }
            return Ok(Source::Web(url));
        }
        if text.contains("://") {
            return Err(FetchError::Address(format!("the catalog {text:?} is none of a folder, https:// and oci://")));
        }
        Ok(Source::Folder(PathBuf::from(text)))
    }

    /// Where packages of it come from, for the policy of trust.
    pub fn origin(&self, file: &str) -> Origin {
        match self {
            Source::Folder(dir) => {
                let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
                Origin::new(&dir.join(file).to_string_lossy())
            }
            Source::Web(url) => Origin::new(url.join(file).as_ref().unwrap_or(url).as_str()),
            Source::Registry(r) => Origin::new(&r.beside(file, "").place()),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Folder(dir) => write!(f, "{}", dir.display()),
            Source::Web(url) => write!(f, "{}", url.as_str().trim_end_matches('/')),
            Source::Registry(r) => write!(f, "oci://{r}"),
        }
    }
}

impl CatalogSpec {
    /// Of this source, named after it.
    pub fn of(source: Source) -> CatalogSpec {
        CatalogSpec { name: source.to_string(), source, plain_http: false, publisher: None }
    }

    /// A folder.
    pub fn folder(dir: impl Into<PathBuf>) -> CatalogSpec {
        CatalogSpec::of(Source::Folder(dir.into()))
    }
}
