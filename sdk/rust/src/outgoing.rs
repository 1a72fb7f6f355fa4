//! Requests to the outside. Takes the permission `http.outgoing`, scoped by `hosts`, `schemes`, `ports` and `networks`.
//!
//! ```
//! # use plenum_sdk::{outgoing, testing::Fake};
//! # use serde_json::{Value, json};
//! # let fake = Fake::new();
//! # fake.on_request(|method, url, _| Ok((200, json!({ "asked": format!("{method} {url}") }).to_string())));
//! let answer = outgoing::get("https://api.example.com/hosts?page=2").header("authorization", "Bearer ...").send()?;
//! assert_eq!(answer.status, 200);
//! let hosts: Value = answer.success()?.json()?;
//! assert_eq!(hosts["asked"], "GET https://api.example.com/hosts?page=2");
//! # Ok::<(), plenum_sdk::Error>(())
//! ```
//!
//! A redirect is an answer like any other. How long a request may take, how large an answer may be, and how many there may be in a minute
//! is bounded by the host.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result, backend};

/// A request that is not sent yet.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send`"]
pub struct Outgoing {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    failed: Option<Error>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status: 404 and 500 are answers too, see [`Answer::success`].
    pub status: u16,
    /// Names in lower case; several of one name are joined with commas.
    pub headers: BTreeMap<String, String>,
    /// As it came.
    pub body: Vec<u8>,
    url: String,
}

/// GET.
pub fn get(url: &str) -> Outgoing {
    request("GET", url)
}

/// POST.
pub fn post(url: &str) -> Outgoing {
    request("POST", url)
}

/// PUT.
pub fn put(url: &str) -> Outgoing {
    request("PUT", url)
}

/// DELETE.
pub fn delete(url: &str) -> Outgoing {
    request("DELETE", url)
}

/// Any method.
pub fn request(method: &str, url: &str) -> Outgoing {
    Outgoing { method: method.to_ascii_uppercase(), url: url.to_owned(), headers: Vec::new(), body: Vec::new(), failed: None }
}

impl Outgoing {
    /// With a header.
    pub fn header(mut self, name: &str, value: &str) -> Outgoing {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Outgoing {
        self.body = bytes.into();
        self
    }

    /// With a body of JSON.
    pub fn json(mut self, value: &impl Serialize) -> Outgoing {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.header("content-type", "application/json").body(bytes),
            Err(e) => {
                self.failed = Some(e.into());
                self
            }
        }
    }

    /// Sends it and waits for the whole answer.
    pub fn send(self) -> Result<Answer> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        let parts = parts(&self.url)?;
        let (status, headers, body) = backend::outgoing(&self, &parts)?;
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in headers {
            joined.entry(name.to_ascii_lowercase()).and_modify(|v| *v = format!("{v}, {value}")).or_insert(value);
        }
        Ok(Answer { status, headers: joined, body, url: self.url })
    }
}

impl Answer {
    /// The answer, if its status is of 200 to 299; else an error with the beginning of what it says.
    pub fn success(self) -> Result<Answer> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let said: String = self.text().chars().take(300).collect();
        Err(Error::new(502, "outgoing.status", format!("{} answered {}: {said}", self.url, self.status)))
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Error::new(502, "outgoing.json", format!("{} did not answer what this plugin expects: {e}", self.url)))
    }
}

/// What a request is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub https: bool,
    pub authority: String,
    pub path: String,
}

pub(crate) fn parts(url: &str) -> Result<Parts> {
    let wrong = || Error::new(422, "outgoing.url", format!("{url:?} is no address: write https://host/path"));
    let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(wrong()),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // Who it is sent as belongs into a header: in the address it would be in logs.
    if authority.is_empty() || authority.contains('@') || url.contains(|c: char| c.is_control() || c == ' ') {
        return Err(wrong());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Parts { https, authority: authority.to_owned(), path })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        for (url, https, authority, path) in [
            ("https://a.example.com", true, "a.example.com", "/"),
            ("http://a.example.com:8080/x/y?z=1#top", false, "a.example.com:8080", "/x/y?z=1"),
            ("https://a.example.com?q=1", true, "a.example.com", "/?q=1"),
        ] {
            let found = parts(url).unwrap();
            assert_eq!(found, Parts { https, authority: authority.into(), path: path.into() }, "{url}");
        }
        for url in
            ["", "a.example.com", "ftp://a", "https://", "https:///x", "https://me:secret@a.example.com/", "https://a b/", "https://a/\n"]
        {
            assert_eq!(parts(url).unwrap_err().code, "outgoing.url", "{url}");
        }
    }
}
