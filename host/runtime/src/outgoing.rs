//! The gate for plugins' requests to the outside.
//!
//! A request passes when the grant `http.outgoing` names its host, scheme and port, and when every address that the name resolves to is
//! public or in a network that the grant names. It is then sent to one of those addresses: the name is not asked again, so it
//! cannot point elsewhere a moment later. A redirect is an answer like any other; if the plugin follows it, that is a new request at this
//! gate.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use plenum_access::{Grant, Permission};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::Services;
use crate::address::{Network, odd, public};
use crate::life::Life;
use crate::logs::{Level, Line};
use crate::plugin::Loaded;
use crate::trace::Recorder;

/// How long anything outside is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Requests of one call.
const MOST: u32 = 50;

/// How far a grant lets requests reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Every host and port, as far as its address is allowed: what people's own workflows may ask.
    any: bool,
    hosts: Vec<String>,
    schemes: Option<Vec<String>>,
    ports: Option<Vec<String>>,
    networks: Vec<Network>,
}

impl Rules {
    /// None without the grant. Without a list of hosts nothing is meant to be reachable: here absence does not allow all.
    pub fn of(grant: &Grant) -> Option<Rules> {
        let scope = &grant.permissions.get(Permission::HttpOutgoing.name())?.0;
        Some(Rules {
            any: false,
            hosts: scope.get("hosts").cloned().unwrap_or_default(),
            schemes: scope.get("schemes").cloned(),
            ports: scope.get("ports").cloned(),
            // What cannot be read opens nothing.
            networks: scope.get("networks").into_iter().flatten().filter_map(|n| Network::parse(n).ok()).collect(),
        })
    }

    /// All of the public internet, and `networks` besides.
    pub fn public(networks: Vec<Network>) -> Rules {
        Rules { any: true, hosts: Vec::new(), schemes: None, ports: None, networks }
    }

    /// `example.com` names that host, `*.example.com` those below it.
    fn host(&self, host: &str) -> bool {
        self.hosts.iter().any(|h| match h.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(&parent.to_ascii_lowercase()).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
            None => h.eq_ignore_ascii_case(host),
        })
    }

    /// Whether a request may go there, or why not and what to write.
    fn target(&self, t: &Target) -> Result<(), String> {
        if self.any {
            return Ok(());
        }
        if !self.host(&t.host) {
            return Err(format!("the host {} is not granted; ask for it in the scope hosts of http.outgoing", t.host));
        }
        if let Some(schemes) = &self.schemes
            && !schemes.iter().any(|s| s == t.scheme())
        {
            return Err(format!("the scheme {} is not granted; ask for it in the scope schemes of http.outgoing", t.scheme()));
        }
        let port = t.port.to_string();
        let allowed = match &self.ports {
            Some(ports) => ports.contains(&port),
            None => t.port == if t.tls { 443 } else { 80 },
        };
        if !allowed {
            return Err(format!("the port {port} is not granted; ask for it in the scope ports of http.outgoing"));
        }
        Ok(())
    }

    /// Whether a request may be sent to an address as it is written; what it resolves to is not looked at.
    pub(crate) fn reaches(&self, uri: &Uri) -> Result<(), String> {
        self.target(&Target::of(uri)?)
    }

    fn address(&self, ip: IpAddr) -> bool {
        public(ip) || self.networks.iter().any(|n| n.contains(ip))
    }
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, String> {
        let authority = uri.authority().ok_or("the address names no host")?;
        if authority.as_str().contains('@') {
            return Err("the address holds a name or password before the host".into());
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        if host.is_empty() || odd(&host) {
            return Err(format!("the host {host:?} is neither a name nor an address in its usual form"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(format!("the scheme {:?} is neither http nor https", other.unwrap_or_default())),
        };
        Ok(Target { host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// Asks for the addresses of a name.
#[async_trait::async_trait]
pub trait Resolve: Send + Sync {
    /// All of them, with the port.
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// As the machine is set up.
pub struct SystemResolver;

#[async_trait::async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// The gate of one plugin.
#[derive(Clone)]
pub struct Gate {
    pub rules: Option<Rules>,
    pub life: Arc<Life>,
    pub resolver: Arc<dyn Resolve>,
    /// Longest wait for a name, a connection, the first byte, and between bytes.
    pub patience: Duration,
}

/// A refusal: for the plugin its code, for its author the reason.
#[derive(Debug)]
pub struct Refused {
    /// What the plugin gets.
    pub error: Error,
    /// What the log says.
    pub reason: String,
}

fn refused(error: Error, reason: impl Into<String>) -> Refused {
    Refused { error, reason: reason.into() }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Gate {
    /// Sends a request, if it may be sent.
    pub async fn send(
        &self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<(http::Response<WasiBody>, Io), Refused> {
        let allowed = self.check(request.uri()).await;
        let of = if allowed.is_ok() { &self.life.stats.outgoing } else { &self.life.stats.outgoing_refused };
        of.fetch_add(1, Ordering::Relaxed);
        self.life.stats.used(Permission::HttpOutgoing, allowed.is_ok());
        let (target, addresses) = allowed?;
        let options = options.unwrap_or_default();
        let within = |t: Option<Duration>| t.unwrap_or(self.patience).min(self.patience);
        let limits = Limits {
            connect: within(options.connect_timeout),
            first_byte: within(options.first_byte_timeout),
            between_bytes: within(options.between_bytes_timeout),
            bytes: self.life.limits.outgoing_bytes,
        };
        send_to(&target, &addresses, request, limits).await.map_err(|e| {
            let reason = format!("{}://{}:{}: {e}", target.scheme(), target.host, target.port);
            refused(e, reason)
        })
    }

    async fn check(&self, uri: &Uri) -> Result<(Target, Vec<SocketAddr>), Refused> {
        let denied = |why: String| refused(Error::HttpRequestDenied, why);
        let rules = self.rules.as_ref().ok_or_else(|| denied("the permission http.outgoing is not granted".into()))?;
        let target = Target::of(uri).map_err(denied)?;
        rules.target(&target).map_err(denied)?;
        if let Err(wait) = self.life.outgoing.take(1.0) {
            let most = self.life.limits.outgoing_per_minute;
            return Err(refused(
                Error::ConnectionLimitReached,
                format!("more than {most} requests a minute; the next can be sent in {} s", crate::life::seconds(wait)),
            ));
        }
        let addresses = match target.host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, target.port)],
            Err(_) => match tokio::time::timeout(self.patience, self.resolver.resolve(&target.host, target.port)).await {
                Ok(Ok(found)) if !found.is_empty() => found,
                Ok(Ok(_) | Err(_)) => return Err(refused(Error::DestinationNotFound, format!("the name {} has no address", target.host))),
                Err(_) => return Err(refused(Error::DnsTimeout, format!("the name {} could not be resolved in time", target.host))),
            },
        };
        // One of them inside is enough to refuse: which of them is taken is nobody's choice to make.
        if let Some(inside) = addresses.iter().find(|a| !rules.address(a.ip())) {
            let reason = format!(
                "{} is at {}, which is not in the public internet; if it is meant, ask for its network in the scope networks of http.outgoing",
                target.host,
                inside.ip()
            );
            return Err(refused(Error::DestinationIpProhibited, reason));
        }
        Ok((target, addresses))
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
    bytes: u64,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, Error> {
    // Connects to the addresses that were checked, in their order.
    let tcp = TcpStream::connect(addresses).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        _ => Error::Connect(e),
    })?;
    if !target.tls {
        return Ok(Box::new(tcp));
    }
    let name = rustls_pki_types::ServerName::try_from(target.host.clone()).map_err(|_| Error::TlsCertificateError)?;
    Ok(Box::new(tls()?.connect(name, tcp).await.map_err(Error::Tls)?))
}

/// One configuration for all: the certificate has to prove the name that was asked for.
fn tls() -> Result<tokio_rustls::TlsConnector, Error> {
    static CONFIG: OnceLock<Option<Arc<rustls::ClientConfig>>> = OnceLock::new();
    let made = CONFIG.get_or_init(|| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    });
    made.clone().map(Into::into).ok_or(Error::ConfigurationError)
}

async fn send_to(
    target: &Target,
    addresses: &[SocketAddr],
    request: http::Request<WasiBody>,
    limits: Limits,
) -> Result<(http::Response<WasiBody>, Io), Error> {
    let late = |_| Error::ConnectionTimeout;
    let stream = tokio::time::timeout(limits.connect, connect(target, addresses)).await.map_err(late)??;
    let handshake = hyper::client::conn::http1::Builder::new().max_headers(100).handshake(TokioIo::new(stream));
    let (mut sender, connection) = tokio::time::timeout(limits.connect, handshake).await.map_err(late)??;
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    parts.uri = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let body = Bounded::new(body, limits.bytes, PATIENCE, Error::HttpRequestBodySize);
    let sending = tokio::time::timeout(limits.first_byte, sender.send_request(http::Request::from_parts(parts, body)));
    let mut sending = pin!(sending);
    let mut connection = Some(connection);
    let answer = poll_fn(|cx| {
        if let Poll::Ready(answer) = sending.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        let Some(driven) = connection.as_mut() else { return Poll::Pending };
        let ended = ready!(Pin::new(driven).poll(cx));
        connection = None;
        match ended {
            Ok(()) => sending.as_mut().poll(cx).map(Ok),
            Err(e) => Poll::Ready(Err(Error::from(e))),
        }
    });
    let response = answer.await?.map_err(|_| Error::ConnectionReadTimeout)??;
    let body = |b: hyper::body::Incoming| {
        Bounded::new(b.map_err(Error::from), limits.bytes, limits.between_bytes, Error::HttpResponseBodySize).boxed_unsync()
    };
    let io = async move {
        match connection {
            Some(c) => Ok(c.await?),
            None => Ok(()),
        }
    };
    Ok((response.map(body), Box::new(io)))
}

/// A body that ends in an error when it is too large or stands still.
struct Bounded<B> {
    body: B,
    left: u64,
    limit: u64,
    pause: Duration,
    since: Pin<Box<tokio::time::Sleep>>,
    error: fn(Option<u64>) -> Error,
}

impl<B> Bounded<B> {
    fn new(body: B, limit: u64, pause: Duration, error: fn(Option<u64>) -> Error) -> Bounded<B> {
        Bounded { body, left: limit, limit, pause, since: Box::pin(tokio::time::sleep(pause)), error }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = Error> + Unpin> http_body::Body for Bounded<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, |d| d.len() as u64);
                if size > self.left {
                    return Poll::Ready(Some(Err((self.error)(Some(self.limit)))));
                }
                self.left -= size;
                let next = tokio::time::Instant::now() + self.pause;
                self.since.as_mut().reset(next);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending => {
                ready!(self.since.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The hooks of one call.
pub struct Outgoing {
    gate: Gate,
    services: Arc<Services>,
    call: String,
    left: u32,
    trace: Arc<Recorder>,
}

impl Outgoing {
    /// By the plugin's grant.
    pub fn new(plugin: &Loaded, services: &Arc<Services>, call: &str, trace: Arc<Recorder>) -> Outgoing {
        let gate =
            Gate { rules: plugin.outgoing.clone(), life: plugin.life.clone(), resolver: services.resolver.clone(), patience: PATIENCE };
        Outgoing { gate, services: services.clone(), call: call.to_owned(), left: MOST, trace }
    }
}

pub(crate) type Sent = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        fut: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        drop(fut);
        let spent = self.left == 0;
        self.left = self.left.saturating_sub(1);
        let (gate, services, call) = (self.gate.clone(), self.services.clone(), self.call.clone());
        // Without its path and query: those may hold what is secret.
        let host = request.uri().authority().map_or("", |a| a.as_str().rsplit('@').next().unwrap_or_default());
        let mut span = self.trace.span(format!("{} {}://{host}", request.method(), request.uri().scheme_str().unwrap_or("http")));
        Box::new(async move {
            let sent = if spent {
                Err(refused(Error::ConnectionLimitReached, format!("a call sends at most {MOST} requests")))
            } else {
                gate.send(request, options).await
            };
            if let Err(r) = &sent {
                span.failed(&r.reason);
            }
            drop(span);
            sent.map_err(|r| {
                if gate.life.log.take(1.0).is_ok() {
                    let message = format!("a request to the outside failed: {}", r.reason);
                    let line = Line {
                        at: plenum_store::now_ms(),
                        level: Level::Warn,
                        call,
                        message,
                        fields: json!({"error": r.error.to_string()}),
                    };
                    services.logs.append(&gate.life.id, vec![line]);
                }
                r.error
            })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(scope: serde_json::Value) -> Rules {
        Rules::of(&serde_json::from_value(json!({"http.outgoing": scope})).unwrap()).unwrap()
    }

    fn allowed(r: &Rules, uri: &str) -> bool {
        Target::of(&uri.parse().unwrap()).is_ok_and(|t| r.target(&t).is_ok())
    }

    #[test]
    fn only_named_hosts_are_reached() {
        let r = rules(json!({"hosts": ["api.example.com", "*.example.org"]}));
        for (host, ok) in [
            ("api.example.com", true),
            ("API.example.com", true),
            ("api.example.com.", true),
            ("example.com", false),
            ("x.api.example.com", false),
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            ("evilexample.org", false),
            ("api.example.com@evil.org", false),
            ("user@api.example.com", false),
        ] {
            assert_eq!(allowed(&r, &format!("https://{host}/x")), ok, "{host}");
        }
        assert!(Rules::of(&Grant::default()).is_none());
        assert!(!allowed(&rules(json!({})), "https://api.example.com/"));
    }

    #[test]
    fn schemes_and_ports_are_those_that_are_named() {
        let plain = rules(json!({"hosts": ["a.example.com"]}));
        let named = rules(json!({"hosts": ["a.example.com"], "schemes": ["https"], "ports": ["443", "8443"]}));
        for (uri, by_default, by_name) in [
            ("https://a.example.com/", true, true),
            ("http://a.example.com/", true, false),
            ("https://a.example.com:8443/", false, true),
            ("https://a.example.com:22/", false, false),
            ("http://a.example.com:443/", false, false),
            ("ftp://a.example.com/", false, false),
        ] {
            assert_eq!((allowed(&plain, uri), allowed(&named, uri)), (by_default, by_name), "{uri}");
        }
    }
}
