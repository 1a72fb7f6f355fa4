//! OCI registries: the distribution protocol, as far as packages need it. Written here and not taken from a client library because
//! those read answers of any size into memory; a registry is a stranger's machine like any other.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::archive::{MAX_MANIFESTS, tag_of};
use super::credentials::{Credentials, Login};
use super::fetch::{FetchError, Fetcher, MAX_ANSWER, body, in_time, loopback, ok, refused, shown};
use super::oci::{CONFIG, Descriptor, IMAGE, INDEX, Image, Index, PLUGIN, SIGNATURE, referrers_tag};
use super::reference::{Reference, is_digest};
use super::{Archive, MAX_COMPONENT, MAX_DOCUMENT, MAX_FILES, MAX_PACKAGE, digest};

/// Says that the registry keeps referrers itself.
const OCI_SUBJECT: &str = "oci-subject";

/// What was pushed or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where it is, with its tag.
    pub reference: Reference,
    /// Digest of the image manifest.
    pub digest: String,
    /// Whether it was there already.
    pub unchanged: bool,
}

/// A client of registries.
#[derive(Debug)]
pub struct Registry {
    fetcher: Fetcher,
    credentials: Credentials,
    plain_http: bool,
    /// Bearer tokens by what they are for. They end after some minutes: then the registry asks again.
    tokens: Mutex<HashMap<String, String>>,
}

/// A request's parts, to send it twice when the registry asks who it is.
struct Ask<'a> {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    /// `repository:acme/demo:pull,push`
    scope: &'a str,
}

fn answer(message: String) -> FetchError {
    FetchError::Answer(message)
}

impl Registry {
    /// With these logins; plain HTTP only to this machine, unless `plain_http`.
    pub fn new(credentials: Credentials, plain_http: bool) -> Result<Registry, FetchError> {
        Ok(Registry { fetcher: Fetcher::new(plain_http)?, credentials, plain_http, tokens: Mutex::default() })
    }

    fn url(&self, r: &Reference, path: &str) -> Result<Url, FetchError> {
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/{}/{path}", r.registry, r.repository))
                .map_err(|e| FetchError::Address(format!("{r}: {e}")))
        };
        let plain = parse("http")?;
        // A registry on this machine has no certificate as a rule.
        if self.plain_http || loopback(&plain) { Ok(plain) } else { parse("https") }
    }

    /// Sends a request, signing in when the registry asks.
    async fn send(&self, r: &Reference, ask: Ask<'_>) -> Result<Response, FetchError> {
        let key = format!("{} {}", r.registry, ask.scope);
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let first = self.fetcher.send(self.build(&ask, known.as_deref())?, &ask.url).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        let header = |h: &reqwest::header::HeaderValue| h.to_str().map(str::to_owned).unwrap_or_default();
        let challenges: Vec<String> = first.headers().get_all(WWW_AUTHENTICATE).iter().map(header).collect();
        let authorization = self.sign_in(r, &challenges, ask.scope).await?;
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(key, authorization.clone());
        let second = self.fetcher.send(self.build(&ask, Some(&authorization))?, &ask.url).await?;
        if matches!(second.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let who = self.credentials.of(&r.registry).map_or("without a login".to_owned(), |l| format!("as {}", l.user));
            let what = if ask.method == Method::GET || ask.method == Method::HEAD { "reading" } else { "writing" };
            return Err(FetchError::Credentials(format!(
                "{} does not allow {what} {} {who}; log in with `skopeo login {}` or `docker login {}`, or ask who runs it",
                r.registry, r.repository, r.registry, r.registry
            )));
        }
        Ok(second)
    }

    fn build(&self, ask: &Ask<'_>, authorization: Option<&str>) -> Result<reqwest::RequestBuilder, FetchError> {
        let mut request = self.fetcher.request(ask.method.clone(), &ask.url)?;
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(a) = authorization {
            request = request.header(AUTHORIZATION, a);
        }
        if let Some(b) = &ask.body {
            request = request.body(b.clone());
        }
        Ok(request)
    }

    /// What to put into `Authorization`.
    async fn sign_in(&self, r: &Reference, challenges: &[String], scope: &str) -> Result<String, FetchError> {
        let login = self.credentials.of(&r.registry);
        let basic = |l: &Login| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", l.user, l.password)));
        let scheme = |name: &str| {
            challenges.iter().find_map(|c| c.get(..name.len()).filter(|s| s.eq_ignore_ascii_case(name)).and_then(|_| c.get(name.len()..)))
        };
        if let Some(parameters) = scheme("Bearer ") {
            let parameters = parameters_of(parameters);
            let realm = parameters.get("realm").ok_or_else(|| answer(format!("{} asks for a token and does not say where", r.registry)))?;
            let mut url = Url::parse(realm).map_err(|e| answer(format!("{} names {realm:?} for tokens: {e}", r.registry)))?;
            // A login must not go to another machine in the clear because a registry says so.
            if url.scheme() != "https" && !loopback(&url) && !self.plain_http {
                return Err(answer(format!("{} sends logins to {}, which is plain HTTP", r.registry, shown(&url))));
            }
            if let Some(service) = parameters.get("service") {
                url.query_pairs_mut().append_pair("service", service);
            }
            url.query_pairs_mut().append_pair("scope", scope);
            let mut request = self.fetcher.request(Method::GET, &url)?;
            if let Some(l) = login {
                request = request.header(AUTHORIZATION, basic(l));
            }
            let work = async { body(ok(self.fetcher.send(request, &url).await?, &url).await?, &url, 256 << 10).await };
            let text = in_time(work, &url).await.map_err(|e| match e {
                FetchError::Status { status: 401 | 403, .. } => FetchError::Credentials(format!(
                    "{} does not accept the login; log in again with `skopeo login {}`",
                    r.registry, r.registry
                )),
                e => e,
            })?;
            #[derive(Deserialize)]
            struct Token {
                token: Option<String>,
                access_token: Option<String>,
            }
            let token: Token = serde_json::from_slice(&text).map_err(|_| answer(format!("{} answers without a token", shown(&url))))?;
            let token = token.token.or(token.access_token).ok_or_else(|| answer(format!("{} answers without a token", shown(&url))))?;
            return Ok(format!("Bearer {token}"));
        }
        match (scheme("Basic "), login) {
            (Some(_), Some(l)) => Ok(basic(l)),
            _ => Err(FetchError::Credentials(format!(
                "{} asks who you are; log in with `skopeo login {}` or `docker login {}`",
                r.registry, r.registry, r.registry
            ))),
        }
    }

    async fn read(&self, r: &Reference, path: &str, accept: &str, most: u64) -> Result<(Vec<u8>, String), FetchError> {
        let url = self.url(r, path)?;
        let scope = format!("repository:{}:pull", r.repository);
        let ask = Ask { method: Method::GET, url: url.clone(), headers: vec![("accept", accept.to_owned())], body: None, scope: &scope };
        let got = ok(self.send(r, ask).await?, &url).await?;
        let kind = got.headers().get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        Ok((body(got, &url, most).await?, kind))
    }

    /// A manifest's bytes and media type.
    pub(crate) async fn manifest(&self, r: &Reference, version: &str) -> Result<(Vec<u8>, String), FetchError> {
        let url = self.url(r, "")?;
        let (bytes, kind) =
            in_time(self.read(r, &format!("manifests/{version}"), &format!("{IMAGE}, {INDEX}"), MAX_DOCUMENT), &url).await?;
        if is_digest(version) {
            compare(r, version, &bytes)?;
        }
        Ok((bytes, kind))
    }

    /// A part, compared with its digest.
    pub(crate) async fn blob(&self, r: &Reference, d: &str, most: u64) -> Result<Vec<u8>, FetchError> {
        if !is_digest(d) {
            return Err(answer(format!("{} has a part with the digest {d:?}; sha256 is what counts here", r.place())));
        }
        let (bytes, _) = self.read(r, &format!("blobs/{d}"), "*/*", most).await?;
        compare(r, d, &bytes)?;
        Ok(bytes)
    }

    /// Manifests of signatures over an image, of registries with the referrers API and of those without.
    async fn signatures(&self, r: &Reference, subject: &str) -> Result<Vec<Descriptor>, FetchError> {
        let url = self.url(r, "")?;
        let found = match in_time(self.read(r, &format!("referrers/{subject}"), INDEX, MAX_ANSWER), &url).await {
            Ok((bytes, _)) => bytes,
            Err(FetchError::Status { status: 400 | 404 | 405, .. }) => match self.manifest(r, &referrers_tag(subject)).await {
                Ok((bytes, kind)) if kind == IMAGE => {
                    // Copied there by a tool that knows no referrers: one signature under the name.
                    let of = |d| Descriptor { media_type: IMAGE.into(), size: bytes.len() as u64, digest: d, ..Descriptor::default() };
                    return Ok(vec![of(digest(&bytes))]);
                }
                Ok((bytes, _)) => bytes,
                Err(e) if e.is_missing() => return Ok(Vec::new()),
                Err(e) => return Err(e),
            },
            Err(e) => return Err(e),
        };
        let index: Index =
            serde_json::from_slice(&found).map_err(|e| answer(format!("{}: the list of referrers is broken: {e}", r.place())))?;
        let of_ours = |d: &Descriptor| d.media_type == IMAGE && d.artifact_type.as_deref().is_none_or(|t| t == SIGNATURE);
        Ok(index.manifests.into_iter().filter(of_ours).take(MAX_MANIFESTS - 1).collect())
    }

    /// Fetches a package with its signatures.
    pub async fn pull(&self, r: &Reference) -> Result<Archive, FetchError> {
        let version =
            r.version.as_deref().ok_or_else(|| FetchError::Address(format!("{r} names no version; add a tag, for example {r}:0.1.0")))?;
        let (image, kind) = self.manifest(r, version).await?;
        if kind == INDEX {
            return Err(answer(format!("{r} is an index of several images, and not a plugin's")));
        }
        let read = |bytes: &[u8]| serde_json::from_slice::<Image>(bytes).map_err(|e| answer(format!("{r}: the manifest is broken: {e}")));
        let parsed = read(&image)?;
        let kind = parsed.artifact_type.as_deref().unwrap_or(&parsed.config.media_type);
        if kind != PLUGIN && kind != CONFIG {
            let kind: String = kind.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(answer(format!("{r} is no plugin: its type is {kind}, and not {PLUGIN}")));
        }
        let subject = digest(&image);
        let mut total = 0;
        let mut parts = self.parts(r, &parsed, &mut total).await?;
        let mut signatures = Vec::new();
        for d in self.signatures(r, &subject).await? {
            let (bytes, _) = self.manifest(r, &d.digest).await?;
            let parsed = read(&bytes)?;
            // The list is the registry's word; what the manifest itself says counts.
            if parsed.artifact_type.as_deref() == Some(SIGNATURE) && parsed.subject.as_ref().is_some_and(|s| s.digest == subject) {
                parts.extend(self.parts(r, &parsed, &mut total).await?);
                signatures.push(bytes);
            }
        }
        Ok(Archive::from_parts(image, signatures, parts)?)
    }

    async fn parts(&self, r: &Reference, image: &Image, total: &mut u64) -> Result<Vec<Vec<u8>>, FetchError> {
        if image.layers.len() > 8 {
            return Err(answer(format!("{r} has {} layers; a plugin has three at the most", image.layers.len())));
        }
        let mut parts = Vec::new();
        for d in std::iter::once(&image.config).chain(&image.layers) {
            *total = total.saturating_add(d.size);
            if *total > MAX_PACKAGE || d.size > MAX_COMPONENT.max(MAX_FILES) {
                return Err(FetchError::TooLarge { url: r.to_string(), most: MAX_PACKAGE });
            }
            parts.push(self.blob(r, &d.digest, d.size).await?);
        }
        Ok(parts)
    }

    /// Puts a package and its signatures there. The tag is the version, unless the reference names one. A version is for good: another
    /// package under the same tag is refused unless `replace`.
    pub async fn push(&self, archive: &Archive, r: &Reference, replace: bool) -> Result<Pushed, FetchError> {
        let manifest = archive.package()?.manifest;
        let tag = match r.version.as_deref() {
            Some(v) if is_digest(v) => {
                return Err(FetchError::Address(format!("{r} names a digest; give a tag, or nothing for the version")));
            }
            Some(v) => v.to_owned(),
            None => tag_of(&manifest.version),
        };
        let reference = r.at(&tag);
        let there = match self.manifest(r, &tag).await {
            Ok((bytes, _)) => Some(digest(&bytes)),
            Err(e) if e.is_missing() => None,
            Err(e) => return Err(e),
        };
        let unchanged = there.as_deref() == Some(archive.digest());
        if !unchanged && there.is_some() && !replace {
            return Err(answer(format!(
                "{reference} is another package already; raise the version in plugin.toml, for whoever has it would not notice that it changed"
            )));
        }
        if !unchanged {
            let (image, parts) = archive.image_parts(archive.digest())?;
            for (d, bytes) in parts {
                self.put_blob(r, &d.digest, bytes).await?;
            }
            self.put_manifest(r, &tag, IMAGE, image).await?;
        }
        let signatures: Vec<String> = archive.signature_images().map(str::to_owned).collect();
        let mut unlisted = Vec::new();
        for s in &signatures {
            let (image, parts) = archive.image_parts(s)?;
            for (d, bytes) in parts {
                self.put_blob(r, &d.digest, bytes).await?;
            }
            let size = image.len() as u64;
            if !self.put_manifest(r, s, IMAGE, image).await? {
                unlisted.push(Descriptor {
                    media_type: IMAGE.into(),
                    digest: s.clone(),
                    size,
                    artifact_type: Some(SIGNATURE.into()),
                    ..Descriptor::default()
                });
            }
        }
        if !unlisted.is_empty() {
            self.list_referrers(r, archive.digest(), unlisted).await?;
        }
        Ok(Pushed { reference, digest: archive.digest().to_owned(), unchanged })
    }

    /// Adds to the list that a registry without the referrers API keeps under a tag.
    async fn list_referrers(&self, r: &Reference, subject: &str, new: Vec<Descriptor>) -> Result<(), FetchError> {
        let tag = referrers_tag(subject);
        let mut manifests = match self.manifest(r, &tag).await {
            Ok((bytes, kind)) if kind == INDEX => serde_json::from_slice::<Index>(&bytes).map(|i| i.manifests).unwrap_or_default(),
            Ok((bytes, _)) => {
                let of = |d| Descriptor { media_type: IMAGE.into(), size: bytes.len() as u64, digest: d, ..Descriptor::default() };
                vec![of(digest(&bytes))]
            }
            Err(e) if e.is_missing() => Vec::new(),
            Err(e) => return Err(e),
        };
        let before = manifests.len();
        for d in new {
            if !manifests.iter().any(|m| m.digest == d.digest) {
                manifests.push(d);
            }
        }
        if manifests.len() == before && before > 0 {
            return Ok(());
        }
        let index = Index { schema_version: 2, media_type: Some(INDEX.into()), manifests };
        let bytes = serde_json::to_vec(&index).map_err(|e| answer(e.to_string()))?;
        self.put_manifest(r, &tag, INDEX, bytes).await.map(|_| ())
    }

    /// Uploads a part, unless it is there.
    pub(crate) async fn put_blob(&self, r: &Reference, d: &str, bytes: Vec<u8>) -> Result<(), FetchError> {
        let scope = format!("repository:{}:pull,push", r.repository);
        let url = self.url(r, &format!("blobs/{d}"))?;
        let ask = Ask { method: Method::HEAD, url, headers: Vec::new(), body: None, scope: &scope };
        if self.send(r, ask).await?.status().is_success() {
            return Ok(());
        }
        let url = self.url(r, "blobs/uploads/")?;
        let ask = Ask { method: Method::POST, url: url.clone(), headers: Vec::new(), body: Some(Bytes::new()), scope: &scope };
        let begun = ok(self.send(r, ask).await?, &url).await?;
        let location = begun.headers().get(LOCATION).and_then(|l| l.to_str().ok()).unwrap_or_default();
        let mut target = url.join(location).map_err(|e| answer(format!("{} names {location:?} for the upload: {e}", r.registry)))?;
        // The login goes along: so only to where it belongs.
        if target.host_str() != url.host_str()
            || target.port_or_known_default() != url.port_or_known_default()
            || target.scheme() != url.scheme()
        {
            return Err(answer(format!("{} wants the upload at {}, which is another machine", r.registry, shown(&target))));
        }
        target.query_pairs_mut().append_pair("digest", d);
        let headers = vec![("content-type", "application/octet-stream".to_owned())];
        let ask = Ask { method: Method::PUT, url: target.clone(), headers, body: Some(bytes.into()), scope: &scope };
        ok(self.send(r, ask).await?, &target).await.map(|_| ())
    }

    /// Puts a manifest; whether the registry keeps the list of referrers itself.
    pub(crate) async fn put_manifest(&self, r: &Reference, version: &str, kind: &str, bytes: Vec<u8>) -> Result<bool, FetchError> {
        let scope = format!("repository:{}:pull,push", r.repository);
        let url = self.url(r, &format!("manifests/{version}"))?;
        let headers = vec![("content-type", kind.to_owned())];
        let ask = Ask { method: Method::PUT, url: url.clone(), headers, body: Some(bytes.into()), scope: &scope };
        let put = self.send(r, ask).await?;
        let status = put.status();
        if !status.is_success() {
            return Err(refused(put, &url, status).await);
        }
        Ok(put.headers().contains_key(OCI_SUBJECT))
    }
}

fn compare(r: &Reference, expected: &str, bytes: &[u8]) -> Result<(), FetchError> {
    let found = digest(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(answer(format!("{} sent {found} when asked for {expected}: it is broken or lies", r.place())))
    }
}

/// `realm="https://...",service="...",scope="..."`
fn parameters_of(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.to_owned());
        rest = after;
    }
    found
}
