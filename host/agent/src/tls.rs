//! How the agent makes sure that it speaks to its host, and the host to it.
//!
//! Trust comes from one certificate only: the host's own CA. At enrolment its fingerprint is in the token, later the certificate itself is in
//! the agent's state. The machine's list of public authorities is never looked at.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use plenum_agent_protocol::v1::agent_client::AgentClient;
use plenum_agent_protocol::{HOST_SERVER_NAME, MAX_MESSAGE};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::error::AgentError;
use crate::proxy::Proxy;
use crate::state::Identity;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection through a router that forgot it looks open for ever: without these the agent would wait in silence.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts exactly the host whose CA has the fingerprint that the token names.
#[derive(Debug)]
struct PinnedCa {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The host sends its CA along, since we do not have it yet. The fingerprint makes it trustworthy, not its place in the chain.
        let ca = intermediates.iter().find(|certificate| Sha256::digest(certificate).as_slice() == self.sha256);
        let Some(ca) = ca else { return Err(CertificateError::UnknownIssuer.into()) };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whom to trust, and as whom to speak.
pub(crate) enum Trust<'a> {
    /// Enrolment: the CA's fingerprint, and no name of our own.
    Fingerprint([u8; 32]),
    /// Afterwards: the CA and our certificate.
    Identity(&'a Identity),
}

impl Trust<'_> {
    fn config(&self) -> Result<ClientConfig, AgentError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&rustls::version::TLS13]);
        let builder = builder.map_err(|e| damaged("the TLS library", &e))?;
        let mut config = match self {
            Self::Fingerprint(sha256) => {
                let verifier = Arc::new(PinnedCa { sha256: *sha256, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Self::Identity(identity) => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_slice(identity.ca_pem.as_bytes())
                    .map_err(|e| damaged("the CA certificate in the agent's identity", &e))?;
                roots.add(ca).map_err(|e| damaged("the CA certificate in the agent's identity", &e))?;
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes()).collect();
                let chain = chain.map_err(|e| damaged("the certificate in the agent's identity", &e))?;
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
                    .map_err(|e| damaged("the key in the agent's identity", &e))?;
                let config = builder.with_root_certificates(roots).with_client_auth_cert(chain, key);
                config.map_err(|e| damaged("the agent's identity", &e))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn against(&self) -> &'static str {
        match self {
            Self::Fingerprint(_) => "token",
            Self::Identity(_) => "enrolment",
        }
    }
}

pub(crate) fn damaged(what: &str, reason: &impl ToString) -> AgentError {
    AgentError::Damaged { what: what.to_owned(), reason: reason.to_string() }
}

/// Dials the host and checks it; returns a client on that one connection.
pub(crate) async fn dial(host: &str, proxy: Option<&str>, trust: &Trust<'_>) -> Result<AgentClient<Channel>, AgentError> {
    let unreachable = |reason: String| AgentError::Unreachable { host: host.to_owned(), reason };
    let connector = TlsConnector::from(Arc::new(trust.config()?));
    let name = ServerName::try_from(HOST_SERVER_NAME).map_err(|e| damaged("the host's fixed name", &e))?;
    let shaken = async {
        let tcp = match proxy {
            None => TcpStream::connect(host).await.map_err(|e| unreachable(e.to_string()))?,
            Some(text) => {
                let proxy = Proxy::parse(text)?;
                let through = |reason: String| AgentError::Proxy { proxy: proxy.address().to_owned(), host: host.to_owned(), reason };
                proxy.connect(host).await.map_err(through)?
            }
        };
        tcp.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
        connector.connect(name, tcp).await.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(reason)) => AgentError::Untrusted {
                host: host.to_owned(),
                against: trust.against(),
                reason: if matches!(reason, CertificateError::UnknownIssuer) {
                    "its certificate comes from another authority".to_owned()
                } else {
                    reason.to_string()
                },
            },
            _ => unreachable(format!("no TLS there: {error}")),
        })
    };
    let tls = timeout(CONNECT_TIMEOUT, shaken).await.map_err(|_| unreachable("no answer in 10 s".to_owned()))??;

    // `http`: TLS is ours, done above, where its errors can be told apart.
    let endpoint = Endpoint::from_shared(format!("http://{HOST_SERVER_NAME}")).map_err(|e| damaged("the host's fixed name", &e))?;
    let endpoint = endpoint.http2_keep_alive_interval(PING_EVERY).keep_alive_timeout(PING_TIMEOUT).keep_alive_while_idle(true);
    let mut connection = Some(TokioIo::new(tls));
    let once =
        tower::service_fn(move |_| std::future::ready(connection.take().ok_or_else(|| std::io::Error::other("the connection ended"))));
    let channel = timeout(CONNECT_TIMEOUT, endpoint.connect_with_connector(once)).await;
    let channel = channel.map_err(|_| unreachable("no answer in 10 s".to_owned()))?.map_err(|e| unreachable(with_causes(&e)))?;
    Ok(AgentClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE))
}

/// An error with what is below it: tonic's own text is "transport error".
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
