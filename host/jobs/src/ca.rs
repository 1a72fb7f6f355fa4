//! The host's own certificate authority: it names agents to the host, and the host to agents.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use plenum_agent_protocol::HOST_SERVER_NAME;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use crate::JobsError;

/// Agents renew long before; an agent that was away for longer has to be enrolled again.
const AGENT_DAYS: i64 = 365;
const CA_DAYS: i64 = 20 * 365;
/// Clocks differ: a certificate is valid from a little before it was made.
const SKEW: Duration = Duration::hours(1);

/// The authority. Its key never leaves the host.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    fingerprint: [u8; 32],
}

/// A certificate for an agent.
pub(crate) struct Issued {
    pub pem: String,
    pub serial: String,
    pub issued_at: i64,
    pub expires_at: i64,
}

/// What a client certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerIdentity {
    pub node: String,
    pub serial: String,
}

fn failed(what: &str, e: impl std::fmt::Display) -> JobsError {
    JobsError::Ca(format!("{what}: {e}"))
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), JobsError> {
    // Written beside and renamed: a crash leaves no half key. Made with its mode: at no moment can others read it.
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let io = |e| failed(&beside.display().to_string(), e);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&beside, path).map_err(|e| failed(&path.display().to_string(), e))
}

fn params(common_name: &str, days: i64) -> Result<CertificateParams, JobsError> {
    let mut p = CertificateParams::new(Vec::<String>::new()).map_err(|e| failed("certificate", e))?;
    p.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    p.not_before = now - SKEW;
    p.not_after = now + Duration::days(days);
    let mut serial = rand::random::<[u8; 16]>();
    // Positive, as DER integers have to be, and without a leading zero, so that its text has one form.
    serial[0] = serial[0] & 0x7f | 0x40;
    p.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(p)
}

impl Ca {
    /// Opens the authority in `dir`, or makes one there the first time.
    pub fn open(dir: &Path) -> Result<Ca, JobsError> {
        let (key_path, cert_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        if !key_path.exists() {
            if cert_path.exists() {
                // A new key would cut off every enrolled agent, silently.
                return Err(JobsError::Ca(format!(
                    "{} is there and {} is not; restore the key from the backup, or remove the certificate too and enrol all agents again",
                    cert_path.display(),
                    key_path.display()
                )));
            }
            std::fs::create_dir_all(dir).map_err(|e| failed(&dir.display().to_string(), e))?;
            write_new(&key_path, 0o600, &KeyPair::generate().map_err(|e| failed("key", e))?.serialize_pem())?;
        }
        let text = std::fs::read_to_string(&key_path).map_err(|e| failed(&key_path.display().to_string(), e))?;
        let key = KeyPair::from_pem(&text).map_err(|e| failed(&key_path.display().to_string(), e))?;
        if !cert_path.exists() {
            let mut p = params("Plenum agents CA", CA_DAYS)?;
            p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            write_new(&cert_path, 0o644, &p.self_signed(&key).map_err(|e| failed("certificate", e))?.pem())?;
        }
        let pem = std::fs::read_to_string(&cert_path).map_err(|e| failed(&cert_path.display().to_string(), e))?;
        let (_, parsed) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| failed(&cert_path.display().to_string(), e))?;
        let fingerprint = Sha256::digest(&parsed.contents).into();
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|e| failed(&cert_path.display().to_string(), e))?;
        Ok(Ca { issuer, pem, fingerprint })
    }

    /// The authority's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the certificate's DER bytes.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Certificate chain and key for the agent port. Made anew at each start, so its key is never on disk.
    pub fn host_identity(&self) -> Result<(String, String), JobsError> {
        let key = KeyPair::generate().map_err(|e| failed("key", e))?;
        let mut p = params(HOST_SERVER_NAME, 10 * 365)?;
        p.subject_alt_names = vec![rcgen::SanType::DnsName(HOST_SERVER_NAME.try_into().map_err(|e| failed("name", e))?)];
        p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = p.signed_by(&key, &self.issuer).map_err(|e| failed("certificate", e))?;
        // The authority's own certificate goes along: an agent that enrols knows only its fingerprint.
        Ok((format!("{}{}", cert.pem(), self.pem), key.serialize_pem()))
    }

    /// A certificate for `node`. Of the request only the key is taken: names and rights are the host's to give.
    pub fn issue(&self, csr_pem: &str, node: &str) -> Result<Issued, JobsError> {
        let csr = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|e| {
            JobsError::invalid(
                "jobs.bad_csr",
                "/csr_pem",
                format!("the request for a certificate cannot be read ({e}); enrol with plenum-agent"),
            )
        })?;
        let mut p = params(node, AGENT_DAYS)?;
        p.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let serial = p.serial_number.as_ref().map(|s| hex::encode(s.to_bytes())).unwrap_or_default();
        let expires_at = p.not_after.unix_timestamp() * 1000;
        let cert = p.signed_by(&csr.public_key, &self.issuer).map_err(|e| failed("certificate", e))?;
        Ok(Issued { pem: cert.pem(), serial, issued_at: plenum_store::now_ms(), expires_at })
    }
}

/// Reads node and serial number from a certificate that TLS has already verified against the authority.
pub(crate) fn peer_identity(der: &[u8]) -> Option<PeerIdentity> {
    let (_, cert) = x509_parser::parse_x509_certificate(der).ok()?;
    let node = cert.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    Some(PeerIdentity { node, serial: hex::encode(cert.tbs_certificate.serial.to_bytes_be()) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_authority_is_kept_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Ca::open(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("ca.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Ca::open(dir.path()).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        assert!(Ca::open(dir.path()).err().unwrap().to_string().contains("restore the key"));
    }

    #[test]
    fn names_in_a_request_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::open(dir.path()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut p = CertificateParams::new(vec!["plenum-host".to_owned()]).unwrap();
        p.distinguished_name.push(DnType::CommonName, "somebody-else");
        let csr = p.serialize_request(&key).unwrap().pem().unwrap();
        let issued = ca.issue(&csr, "node-1").unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(issued.pem.as_bytes()).unwrap();
        assert_eq!(peer_identity(&pem.contents).unwrap(), PeerIdentity { node: "node-1".into(), serial: issued.serial });
        let cert = pem.parse_x509().unwrap();
        assert!(cert.subject_alternative_name().unwrap().is_none());
        assert!(ca.issue("rubbish", "node-1").is_err());
    }
}
