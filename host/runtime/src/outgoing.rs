//! The gate for plugins' requests to the outside.
//!
//! A request passes when the grant `http.outgoing` names its host under `hosts` and every address that the name resolves to is
//! public. A plain request is then sent to the address that was checked, so that the name cannot point elsewhere a moment
//! later; with TLS the certificate has to prove the name, which an inside service cannot.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use plenum_access::{Grant, Permission};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Longest wait for a connection and for the first byte.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The hooks of one call.
pub struct Outgoing {
    grant: Arc<Grant>,
    left: u32,
}

impl Outgoing {
    /// By the plugin's grant; a call sends at most 50 requests.
    pub fn new(grant: &Arc<Grant>) -> Outgoing {
        Outgoing { grant: grant.clone(), left: 50 }
    }
}

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        fut: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        drop(fut);
        let authority = request.uri().authority().cloned();
        let host = authority.as_ref().map(|a| a.host().trim_matches(['[', ']']).to_ascii_lowercase()).unwrap_or_default();
        let allowed = self.left > 0 && authority.is_some() && host_allowed(&self.grant, &host);
        self.left = self.left.saturating_sub(1);
        Box::new(async move {
            if !allowed {
                return Err(Error::HttpRequestDenied);
            }
            let tls = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
            let port = authority.as_ref().and_then(http::uri::Authority::port_u16).unwrap_or(if tls { 443 } else { 80 });
            let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((host.as_str(), port))).await;
            let addresses: Vec<SocketAddr> = match found {
                Ok(Ok(a)) => a.collect(),
                _ => return Err(Error::DestinationNotFound),
            };
            if addresses.is_empty() || !addresses.iter().all(|a| public(a.ip())) {
                return Err(Error::DestinationIpProhibited);
            }
            let mut request = request;
            if let (false, Some(first)) = (tls, addresses.first()) {
                let mut parts = request.uri().clone().into_parts();
                parts.authority = first.to_string().parse().ok();
                if let Ok(uri) = http::Uri::from_parts(parts) {
                    *request.uri_mut() = uri;
                }
            }
            let mut options = options.unwrap_or_default();
            options.connect_timeout = Some(options.connect_timeout.unwrap_or(TIMEOUT).min(TIMEOUT));
            options.first_byte_timeout = Some(options.first_byte_timeout.unwrap_or(TIMEOUT).min(TIMEOUT));
            let (response, io) = wasmtime_wasi_http::default_send_request(request, Some(options)).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(io) as Box<dyn Future<Output = _> + Send>))
        })
    }
}

/// `example.com` names that host, `*.example.com` those below it.
pub fn host_allowed(grant: &Grant, host: &str) -> bool {
    let Some(scope) = grant.permissions.get(Permission::HttpOutgoing.name()) else { return false };
    // Without a list of hosts nothing is meant to be reachable: here absence does not allow all.
    scope.0.get("hosts").is_some_and(|hosts| {
        hosts.iter().any(|h| match h.strip_prefix("*.") {
            Some(parent) => host.strip_suffix(&parent.to_ascii_lowercase()).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
            None => h.eq_ignore_ascii_case(host),
        })
    })
}

/// Whether an address is one of the public internet.
pub fn public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return public(IpAddr::V4(v4));
            }
            let [a, b, ..] = v6.segments();
            // Global unicast is 2000::/3; within it, tunnels (6to4, Teredo) and documentation could lead back inside.
            (a & 0xe000) == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b == 0 || b == 0x0db8)) && !(a == 0x64 && b == 0xff9b)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inside_addresses_are_refused() {
        for ip in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "224.0.0.1",
        ] {
            assert!(!public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["93.184.216.34", "2606:2800:220:1::1"] {
            assert!(public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn only_named_hosts_are_reached() {
        let g: Grant =
            serde_json::from_value(serde_json::json!({"http.outgoing": {"hosts": ["api.example.com", "*.example.org"]}})).unwrap();
        for (host, ok) in [
            ("api.example.com", true),
            ("example.com", false),
            ("x.api.example.com", false),
            ("a.example.org", true),
            ("example.org", false),
            ("evilexample.org", false),
        ] {
            assert_eq!(host_allowed(&g, host), ok, "{host}");
        }
        assert!(!host_allowed(&Grant::default(), "api.example.com"));
        let open: Grant = serde_json::from_value(serde_json::json!({"http.outgoing": {}})).unwrap();
        assert!(!host_allowed(&open, "api.example.com"));
    }
}
