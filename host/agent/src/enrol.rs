//! Becoming a node, and staying one: the first certificate for a one-time token, later ones for the certificate at hand.

use std::time::Duration;

use plenum_agent_protocol::EnrolmentToken;
use plenum_agent_protocol::v1::agent_client::AgentClient;
use plenum_agent_protocol::v1::{EnrolRequest, RenewRequest};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::VERSION;
use crate::error::AgentError;
use crate::state::Identity;
use crate::tls::{Trust, damaged, dial};

/// What a machine says of itself when it enrols.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Host name.
    pub hostname: String,
    /// `/etc/machine-id`, empty when there is none.
    pub machine_id: String,
}

/// Whether an enrolment is with the host that made the token: the same CA, whatever its address is now.
#[must_use]
pub fn is_of(identity: &Identity, token: &EnrolmentToken) -> bool {
    CertificateDer::from_pem_slice(identity.ca_pem.as_bytes()).is_ok_and(|ca| Sha256::digest(&ca).as_slice() == token.ca_sha256)
}

fn key_and_request(name: &str) -> Result<(String, String), AgentError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

pub(crate) fn refused(status: &tonic::Status) -> AgentError {
    match status.code() {
        tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => {
            AgentError::Disconnected(crate::tls::with_causes(status))
        }
        code => AgentError::Refused { code, message: status.message().to_owned() },
    }
}

/// Enrols: makes a key, proves the host by the token's fingerprint, and gets a certificate. The key never leaves the machine.
///
/// # Errors
/// When the host cannot be reached, is not the one in the token, or refuses the token.
pub async fn enrol(host: &str, proxy: Option<&str>, token: &EnrolmentToken, machine: &Machine) -> Result<Identity, AgentError> {
    let (key_pem, csr_pem) = key_and_request(&machine.hostname)?;
    let mut client = dial(host, proxy, &Trust::Fingerprint(token.ca_sha256)).await?;
    let request = EnrolRequest {
        token: token.secret.clone(),
        csr_pem,
        hostname: machine.hostname.clone(),
        agent_version: VERSION.to_owned(),
        machine_id: machine.machine_id.clone(),
    };
    let answer = client.enrol(request).await.map_err(|status| refused(&status))?.into_inner();
    let ca = CertificateDer::from_pem_slice(answer.ca_pem.as_bytes()).map_err(|e| damaged("the CA certificate that the host sent", &e))?;
    if Sha256::digest(&ca).as_slice() != token.ca_sha256 {
        let reason = "the CA certificate that it sent is not the one in the token".to_owned();
        return Err(AgentError::Untrusted { host: host.to_owned(), against: "token", reason });
    }
    Ok(Identity {
        node_id: answer.node_id,
        host: host.to_owned(),
        proxy: proxy.map(str::to_owned),
        key_pem,
        certificate_pem: answer.certificate_pem,
        ca_pem: answer.ca_pem,
    })
}

/// A new certificate, with a new key, for the same node.
pub(crate) async fn renew(client: &mut AgentClient<Channel>, identity: &Identity) -> Result<Identity, AgentError> {
    let (key_pem, csr_pem) = key_and_request(&identity.node_id)?;
    let answer = client.renew(RenewRequest { csr_pem }).await.map_err(|status| refused(&status))?.into_inner();
    Ok(Identity { key_pem, certificate_pem: answer.certificate_pem, ..identity.clone() })
}

/// When to renew, milliseconds since 1970: two thirds into the certificate's life, which leaves a third for a host that is away.
pub(crate) fn renew_at_ms(certificate_pem: &str) -> Result<i64, AgentError> {
    let (from, to) = life(certificate_pem)?;
    Ok((from + (to - from) / 3 * 2) * 1000)
}

/// How often to look whether it is time: some times within the last third, however short the life is.
pub(crate) fn renewal_check(certificate_pem: &str) -> Duration {
    let life = life(certificate_pem).map_or(i64::MAX, |(from, to)| to - from);
    Duration::from_secs(u64::try_from(life / 30).unwrap_or(1).clamp(1, 600))
}

/// When the certificate expired, if it did by this machine's clock.
pub(crate) fn expired(certificate_pem: &str, now_ms: i64) -> Option<String> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let end = certificate.validity().not_after;
    (end.timestamp() * 1000 < now_ms).then(|| end.to_string())
}

/// From when to when it is valid, seconds since 1970.
fn life(certificate_pem: &str) -> Result<(i64, i64), AgentError> {
    let what = "the certificate in the agent's identity";
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| damaged(what, &e))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|e| damaged(what, &e))?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
