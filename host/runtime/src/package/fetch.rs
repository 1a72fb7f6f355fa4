//! HTTP to catalogs and registries. What answers may be anybody's: every answer is bounded in size and time, redirects are few and
//! never leave HTTPS, and plain HTTP is for this machine, or for those who asked for it.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, Url, redirect};

/// Most bytes of an answer that is a document.
pub const MAX_ANSWER: u64 = 4 << 20;
/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// For a whole document.
const DOCUMENT_TIME: Duration = Duration::from_secs(60);
/// For a whole package.
const PACKAGE_TIME: Duration = Duration::from_secs(600);

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(String),
    /// No answer.
    #[error("{url} does not answer: {reason}; check the address and the network, then try again")]
    Unreachable {
        /// Without credentials.
        url: String,
        /// Why.
        reason: String,
    },
    /// An answer that does not help.
    #[error("{url} answered {status}{}", if .detail.is_empty() { String::new() } else { format!(": {}", .detail) })]
    Status {
        /// Without credentials.
        url: String,
        /// Its status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// It is larger than what is taken.
    #[error("{url} sends more than the {most} bytes that are taken")]
    TooLarge {
        /// Without credentials.
        url: String,
        /// Bytes.
        most: u64,
    },
    /// Somebody has to sign in.
    #[error("{0}")]
    Credentials(String),
    /// The answer is not what it should be.
    #[error("{0}")]
    Answer(String),
    /// It is a package, but not a good one.
    #[error(transparent)]
    Package(#[from] super::PackageError),
}

impl FetchError {
    /// Stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            FetchError::Address(_) => "fetch.address",
            FetchError::Unreachable { .. } => "fetch.unreachable",
            FetchError::Status { .. } => "fetch.status",
            FetchError::TooLarge { .. } => "fetch.too_large",
            FetchError::Credentials(_) => "fetch.credentials",
            FetchError::Answer(_) => "fetch.answer",
            FetchError::Package(e) => e.code(),
        }
    }

    /// Whether the other side says that there is no such thing.
    pub fn is_missing(&self) -> bool {
        matches!(self, FetchError::Status { status: 404, .. })
    }
}

/// Makes requests within the bounds.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    plain_http: bool,
}

/// Whether an address is on this machine.
pub(crate) fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Without user, password and query, for messages.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn allowed(url: &Url, plain_http: bool) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if plain_http || loopback(url) => Ok(()),
        "http" => {
            Err(format!("{} is plain HTTP, which anybody on the way can read and change; use https://, or allow it explicitly", shown(url)))
        }
        other => Err(format!("{} starts with {other}://; use https://", shown(url))),
    }
}

impl Fetcher {
    /// Plain HTTP only to this machine, unless `plain_http`.
    pub fn new(plain_http: bool) -> Result<Fetcher, FetchError> {
        // One provider for the whole program; whoever is second finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error(format!("it redirects more than {MAX_REDIRECTS} times"));
            }
            let secure = attempt.previous().first().is_some_and(|u| u.scheme() == "https");
            if secure && attempt.url().scheme() != "https" {
                return attempt.error("it redirects from https:// to plain HTTP");
            }
            match allowed(attempt.url(), plain_http) {
                Ok(()) => attempt.follow(),
                Err(why) => attempt.error(why),
            }
        });
        let client = Client::builder()
            .redirect(policy)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("plenum/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| FetchError::Address(format!("HTTP cannot be used here: {e}")))?;
        Ok(Fetcher { client, plain_http })
    }

    /// A request that may be sent.
    pub(crate) fn request(&self, method: Method, url: &Url) -> Result<reqwest::RequestBuilder, FetchError> {
        allowed(url, self.plain_http).map_err(FetchError::Address)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Address(format!("{} has credentials in it, where logs would show them", shown(url))));
        }
        Ok(self.client.request(method, url.clone()))
    }

    /// Sends it, and waits for the head of the answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder, url: &Url) -> Result<Response, FetchError> {
        request.timeout(PACKAGE_TIME).send().await.map_err(|e| unreachable(url, &e))
    }

    /// A document.
    pub async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let work = async {
            let answer = self.send(self.request(Method::GET, url)?, url).await?;
            body(ok(answer, url).await?, url, MAX_ANSWER).await
        };
        in_time(work, url).await
    }

    /// A file of at most `most` bytes.
    pub async fn get_file(&self, url: &Url, most: u64) -> Result<Vec<u8>, FetchError> {
        let answer = self.send(self.request(Method::GET, url)?, url).await?;
        body(ok(answer, url).await?, url, most).await
    }
}

/// Within the time that a document may take: one that trickles is not waited for.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, FetchError>>, url: &Url) -> Result<T, FetchError> {
    match tokio::time::timeout(DOCUMENT_TIME, work).await {
        Ok(done) => done,
        Err(_) => Err(FetchError::Unreachable { url: shown(url), reason: format!("it took longer than {} s", DOCUMENT_TIME.as_secs()) }),
    }
}

/// The cause that says most is the innermost.
pub(crate) fn unreachable(url: &Url, e: &reqwest::Error) -> FetchError {
    let mut cause: &dyn std::error::Error = e;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let reason = if e.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
    FetchError::Unreachable { url: shown(url), reason }
}

/// A good answer; of another, its status and the start of its words.
pub(crate) async fn ok(answer: Response, url: &Url) -> Result<Response, FetchError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(refused(answer, url, status).await)
}

pub(crate) async fn refused(answer: Response, url: &Url, status: StatusCode) -> FetchError {
    let text = body(answer, url, 64 << 10).await.unwrap_or_default();
    // A registry's errors have this shape; a web server's page says nothing to anybody here.
    let detail = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|v| {
        let first = v.get("errors")?.get(0)?;
        Some(
            first.get("message").or_else(|| first.get("code"))?.as_str()?.chars().filter(|c| !c.is_control()).take(200).collect::<String>(),
        )
    });
    FetchError::Status { url: shown(url), status: status.as_u16(), detail: detail.unwrap_or_default() }
}

/// The body, of at most `most` bytes: the length that it declares is believed only when it is too much.
pub(crate) async fn body(mut answer: Response, url: &Url, most: u64) -> Result<Vec<u8>, FetchError> {
    let too_large = || FetchError::TooLarge { url: shown(url), most };
    if answer.content_length().is_some_and(|n| n > most) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| unreachable(url, &e))? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
