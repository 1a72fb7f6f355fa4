//! Credentials of registries: where `docker login`, `podman login` and `skopeo login` put them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use serde::Deserialize;

use super::fetch::FetchError;

/// Who signs in. Its text never shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?}, ...)", self.user)
    }
}

/// The logins of this machine's user.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    logins: BTreeMap<String, Login>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// For one registry.
    pub fn one(registry: &str, login: Login) -> Credentials {
        Credentials { logins: BTreeMap::from([(registry.to_owned(), login)]) }
    }

    /// From the files that tools of containers write: `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json`, `~/.docker/config.json`,
    /// `$XDG_RUNTIME_DIR/containers/auth.json`; of the first that is there.
    pub fn load() -> Result<Credentials, FetchError> {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let places = [
            var("REGISTRY_AUTH_FILE"),
            var("DOCKER_CONFIG").map(|d| d.join("config.json")),
            var("HOME").map(|d| d.join(".docker/config.json")),
            var("XDG_RUNTIME_DIR").map(|d| d.join("containers/auth.json")),
        ];
        let Some(path) = places.into_iter().flatten().find(|p| p.is_file()) else { return Ok(Credentials::default()) };
        let text = std::fs::read(&path).map_err(|e| FetchError::Credentials(format!("{}: {e}", path.display())))?;
        Credentials::parse(&text).map_err(|why| FetchError::Credentials(format!("{} {why}", path.display())))
    }

    fn parse(text: &[u8]) -> Result<Credentials, String> {
        // What serde says could quote a password.
        let file: File = serde_json::from_slice(text).map_err(|e| format!("is not JSON of docker's shape (line {})", e.line()))?;
        let mut logins = BTreeMap::new();
        for (registry, a) in file.auths {
            let name =
                registry.trim_start_matches("https://").trim_start_matches("http://").split('/').next().unwrap_or_default().to_lowercase();
            let login = match (a.auth, a.username, a.password) {
                (Some(auth), ..) if !auth.is_empty() => {
                    let bytes = base64::engine::general_purpose::STANDARD
                        .decode(auth.trim())
                        .map_err(|_| format!("has a broken auth for {name}"))?;
                    let text = String::from_utf8(bytes).map_err(|_| format!("has a broken auth for {name}"))?;
                    text.split_once(':').map(|(user, password)| Login { user: user.to_owned(), password: password.to_owned() })
                }
                (_, Some(user), Some(password)) => Some(Login { user, password }),
                _ => None,
            };
            if let Some(login) = login {
                logins.insert(name, login);
            }
        }
        Ok(Credentials { logins })
    }

    pub(crate) fn of(&self, registry: &str) -> Option<&Login> {
        self.logins.get(registry)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn logins_are_read_and_never_shown() {
        let text = br#"{"auths": {"https://r.example.com/v1/": {"auth": "YWxpY2U6czNjcmV0"}, "o.example.com": {}}, "credsStore": "x"}"#;
        let c = Credentials::parse(text).unwrap();
        assert_eq!(c.of("r.example.com"), Some(&Login { user: "alice".into(), password: "s3cret".into() }));
        assert_eq!(c.of("o.example.com"), None);
        assert_eq!(c.of("r.example.com.evil.com"), None);
        assert!(!format!("{c:?}").contains("s3cret"));
        assert!(!Credentials::parse(br#"{"auths": "s3cret"}"#).unwrap_err().contains("s3cret"));
    }
}
