//! The way out through an HTTP proxy: `CONNECT`, then TLS to the host inside, so that the proxy carries what it cannot read.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::AgentError;

/// An answer's head has a few hundred bytes; more is no proxy.
const MOST_HEAD: usize = 16 * 1024;
/// Longer than the agent waits in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    address: String,
    authorization: Option<String>,
}

impl Proxy {
    /// Reads `http://[user:password@]name:port`; `http://` may be left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, AgentError> {
        let wrong = |why: &str| {
            AgentError::Usage(format!("the proxy is not usable: {why}; give it as http://name:port or http://user:password@name:port"))
        };
        let rest = text.trim().trim_end_matches('/');
        let rest = match rest.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(wrong(&format!("{scheme:?} is not http"))),
            None => rest,
        };
        let (credentials, address) = rest.rsplit_once('@').map_or((None, rest), |(credentials, address)| (Some(credentials), address));
        let port = address.rsplit_once(':').filter(|(name, _)| !name.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || address.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
            return Err(wrong("there is no name and port in it"));
        }
        let authorization =
            credentials.map(unescape).transpose().map_err(|()| wrong("its user or password holds a % that is no escape"))?;
        Ok(Self { address: address.to_owned(), authorization: authorization.map(|c| format!("Basic {}", BASE64.encode(c))) })
    }

    /// Where it is, without the password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection to `target` (`name:port`) through it.
    pub(crate) async fn connect(&self, target: &str) -> Result<TcpStream, String> {
        tokio::time::timeout(PATIENCE, self.tunnel(target)).await.unwrap_or_else(|_| Err("no answer in 10 s".to_owned()))
    }

    async fn tunnel(&self, target: &str) -> Result<TcpStream, String> {
        let mut tcp = TcpStream::connect(&self.address).await.map_err(|e| e.to_string())?;
        let authorization = self.authorization.as_ref().map(|a| format!("Proxy-Authorization: {a}\r\n")).unwrap_or_default();
        let request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: plenum-agent/{}\r\n{authorization}\r\n", crate::VERSION);
        tcp.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        // Byte by byte: what follows the head is the host's, and the host speaks only after us.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MOST_HEAD {
                return Err("its answer is no HTTP".to_owned());
            }
            let byte = tcp.read_u8().await.map_err(|_| "it closed the connection without an answer".to_owned())?;
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head);
        let status_line = head.lines().next().unwrap_or_default();
        match status_line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()) {
            Some(200..=299) => Ok(tcp),
            Some(407) => Err("it wants a user and a password (407): give them in --proxy http://user:password@name:port".to_owned()),
            Some(status) => Err(format!("it does not let the connection to {target} through ({status}): allow CONNECT to that port there")),
            None => Err("its answer is no HTTP".to_owned()),
        }
    }
}

/// Passwords are not for logs.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

/// `%40` is `@`: a password may hold one.
fn unescape(text: &str) -> Result<Vec<u8>, ()> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(());
        let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
        out.push(u8::try_from(value).map_err(|_| ())?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn proxies_as_people_write_them() {
        for (text, address) in
            [("http://p:3128", "p:3128"), ("p:3128", "p:3128"), ("http://p:3128/", "p:3128"), ("http://[::1]:80", "[::1]:80")]
        {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!((proxy.address(), proxy.authorization.as_ref()), (address, None));
        }
        let proxy = Proxy::parse("http://me:p%40ss@p:3128").unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some(format!("Basic {}", BASE64.encode("me:p@ss")).as_str()));
        assert!(!format!("{proxy:?}").contains("Basic"), "no password in a log");
        for bad in ["", "p", "socks5://p:1", "http://p", "http://:3128", "http://a%zz@p:1", "http://p:99999", "http://p :1"] {
            assert!(Proxy::parse(bad).is_err(), "{bad}");
        }
    }
}
