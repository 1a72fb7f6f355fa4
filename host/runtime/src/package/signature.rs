//! Signatures in minisign's format, over the exact bytes of the image manifest. `minisign -V` checks them too.

use minisign::{KeyPair, SecretKeyBox};
use minisign_verify::PublicKey;
use serde::{Deserialize, Serialize};

use super::trust::{Origin, Signer, Standing};
use super::{PackageError, TrustPolicy};

/// A key that the host's configuration trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Whose it is; shown as the publisher of what it signed.
    pub name: String,
    /// The line `RW...` of a minisign public key, or the whole file.
    pub public_key: String,
}

/// What a signature is worth here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Signed by whom the policy asks for.
    Trusted,
    /// Signed, but not by whom the policy asks for: a key that the host does not know, or that counts no more, or not for this.
    UnknownPublisher,
    /// Not signed.
    Unsigned,
    /// Signed, but what was signed is not what is here.
    Modified,
}

/// What a package's signature says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureState {
    /// What it is worth here.
    pub state: Trust,
    /// Id of the key, as minisign writes it.
    pub key_id: Option<String>,
    /// Name of the trusted publisher, or of the one whose key was revoked. Only what is proved: nothing the package says of itself.
    pub publisher: Option<String>,
    /// Why it is not trusted.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where it comes from.
    #[serde(default)]
    pub origin: Origin,
    /// Each signature.
    #[serde(default)]
    pub signers: Vec<Signer>,
}

impl SignatureState {
    /// The state of what nothing is known of but this.
    pub(crate) fn bare(state: Trust, reason: &str, origin: Origin) -> SignatureState {
        SignatureState { state, key_id: None, publisher: None, reason: Some(reason.to_owned()), origin, signers: Vec::new() }
    }

    /// The signer whose key was revoked.
    pub fn revoked(&self) -> Option<&Signer> {
        self.signers.iter().find(|s| s.standing == Standing::Revoked)
    }
}

/// A new key pair: the texts of the public and of the secret file. The secret one is encrypted when there is a password.
pub fn generate_key(password: Option<String>) -> Result<(String, String), PackageError> {
    let bad = |e: minisign::PError| PackageError::Key(format!("no key could be made: {e}"));
    let encrypted = password.is_some();
    let pair =
        if encrypted { KeyPair::generate_encrypted_keypair(password) } else { KeyPair::generate_unencrypted_keypair() }.map_err(bad)?;
    let comment = format!("minisign {}secret key", if encrypted { "encrypted " } else { "" });
    let public = pair.pk.to_box().map_err(bad)?.into_string();
    let secret = pair.sk.to_box(Some(&comment)).map_err(bad)?.into_string();
    Ok((public, secret))
}

/// Signs the bytes of an image manifest. `secret_key` is the text of a minisign secret key file; `comment` is signed with it.
pub fn sign(image_manifest: &[u8], secret_key: &str, password: Option<String>, comment: &str) -> Result<String, PackageError> {
    let unreadable = |e: minisign::PError| {
        PackageError::Key(format!("the secret key cannot be used: {e}; it is the file that `plenum plugin keygen` or `minisign -G` made"))
    };
    let parsed = SecretKeyBox::from_string(secret_key).map_err(unreadable)?;
    let key = match password {
        Some(password) => parsed.into_secret_key(Some(password)),
        None => parsed.into_unencrypted_secret_key(),
    }
    .map_err(unreadable)?;
    // A line break would end the trusted comment and start a line that the format does not have.
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    let signed =
        minisign::sign(None, &key, std::io::Cursor::new(image_manifest), Some(&comment), Some("signature from a Plenum publisher"));
    Ok(signed.map_err(|e| PackageError::Key(format!("signing failed: {e}")))?.into_string())
}

/// What `signatures` over `document` are worth to somebody who trusts `keys`, wherever it comes from.
pub fn verify(document: &[u8], signatures: &[String], keys: &[TrustedKey]) -> Result<SignatureState, PackageError> {
    let now = chrono::Utc::now().timestamp_millis();
    Ok(TrustPolicy::of_keys(keys)?.judge(document, signatures, &Origin::default(), now))
}

/// Reads a trusted key, so that a mistake in the configuration is told at start and not at the first install.
pub fn public_key(trusted: &TrustedKey) -> Result<PublicKey, PackageError> {
    PublicKey::from_base64(key_line(&trusted.public_key)).map_err(|e| {
        PackageError::Key(format!("the trusted key {:?} is no minisign public key ({e}); give the line that starts with RW", trusted.name))
    })
}

pub(super) fn key_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default()
}

/// Id of the key that made a signature.
pub(crate) fn key_of(signature: &str) -> Option<String> {
    key_id(signature.lines().nth(1)?)
}

/// Id of the key in the line of a public key or a signature: algorithm (2 bytes), id (8 bytes), the rest.
pub fn key_id(line: &str) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(line.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn trusted(name: &str, public_key: &str) -> TrustedKey {
        TrustedKey { name: name.into(), public_key: public_key.into() }
    }

    #[test]
    fn a_signature_is_worth_what_the_keys_say() {
        let (public, secret) = generate_key(None).unwrap();
        let (other, _) = generate_key(None).unwrap();
        let text = sign(b"manifest", &secret, None, "x 0.1.0").unwrap();
        let state = |bytes: &[u8], sig: Option<&str>, keys: &[TrustedKey]| {
            let signatures: Vec<String> = sig.iter().map(|s| (*s).to_owned()).collect();
            verify(bytes, &signatures, keys).unwrap()
        };

        let ours = [trusted("Other", &other), trusted("Plenum", &public)];
        let s = state(b"manifest", Some(&text), &ours);
        assert_eq!((s.state, s.publisher.as_deref()), (Trust::Trusted, Some("Plenum")));
        assert!(public.contains(s.key_id.as_deref().unwrap()), "the id is the one in the key's comment: {public}");

        assert_eq!(state(b"manifes7", Some(&text), &ours).state, Trust::Modified);
        assert_eq!(state(b"manifest", Some(&text), &[trusted("Other", &other)]).state, Trust::UnknownPublisher);
        assert_eq!(state(b"manifest", Some("nonsense"), &ours).state, Trust::Modified);
        assert_eq!(state(b"manifest", None, &ours).state, Trust::Unsigned);
    }

    #[test]
    fn a_changed_trusted_comment_is_noticed() {
        let (public, secret) = generate_key(None).unwrap();
        let text = sign(b"manifest", &secret, None, "x 0.1.0").unwrap().replace("x 0.1.0", "x 0.2.0");
        assert_eq!(verify(b"manifest", &[text], &[trusted("Plenum", &public)]).unwrap().state, Trust::Modified);
    }

    #[test]
    fn a_password_keeps_the_key() {
        let (public, secret) = generate_key(Some("horse".into())).unwrap();
        assert!(sign(b"m", &secret, None, "").is_err());
        let text = sign(b"m", &secret, Some("horse".into()), "").unwrap();
        assert_eq!(verify(b"m", &[text], &[trusted("Plenum", &public)]).unwrap().state, Trust::Trusted);
    }

    #[test]
    fn a_bad_key_in_the_configuration_says_so() {
        let e = verify(b"m", &[sign(b"m", &generate_key(None).unwrap().1, None, "").unwrap()], &[trusted("Acme", "abc")]).unwrap_err();
        assert!(e.to_string().contains("Acme"), "{e}");
    }
}
