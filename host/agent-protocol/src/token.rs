//! The text of an enrolment token.

use std::fmt;

/// An enrolment token as a person copies it: `<secret>.<SHA-256 of the CA certificate's DER, hexadecimal>`.
///
/// The second half is what makes the first contact safe: the agent speaks to nobody whose certificate does not come from that CA, so the
/// secret cannot be given to a stranger in the middle.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// One-time secret, opaque to the agent.
    pub secret: String,
    /// SHA-256 of the CA certificate's DER bytes.
    pub ca_sha256: [u8; 32],
}

/// Why a text is not an enrolment token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// There is no dot with something on both sides.
    Shape,
    /// What follows the dot is not a SHA-256 in hexadecimal.
    Fingerprint,
}

impl TokenError {
    /// Stable code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape => "agent.token_malformed",
            Self::Fingerprint => "agent.token_fingerprint",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Shape => "the token has no dot between its two parts",
            Self::Fingerprint => "the part of the token after the dot is not 64 hexadecimal digits",
        };
        write!(f, "{what}: copy it again in full from the portal (Nodes, Add a node), or make a new one")
    }
}

impl std::error::Error for TokenError {}

impl EnrolmentToken {
    /// Reads a token; white space around it is ignored, as it comes from a clipboard.
    ///
    /// # Errors
    /// [`TokenError`] when the text is not a token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let (secret, fingerprint) = text.trim().rsplit_once('.').ok_or(TokenError::Shape)?;
        if secret.is_empty() || fingerprint.is_empty() {
            return Err(TokenError::Shape);
        }
        if fingerprint.len() != 64 {
            return Err(TokenError::Fingerprint);
        }
        let mut ca_sha256 = [0_u8; 32];
        for (byte, digits) in ca_sha256.iter_mut().zip(fingerprint.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| TokenError::Fingerprint)?;
            // `from_str_radix` would take a sign.
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(TokenError::Fingerprint);
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| TokenError::Fingerprint)?;
        }
        Ok(Self { secret: secret.to_owned(), ca_sha256 })
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.secret)?;
        self.ca_sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Without the secret, so that it cannot end in a log by accident.
impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn a_token_survives_its_text() {
        let token = EnrolmentToken { secret: "se.cret".into(), ca_sha256: [0xa7; 32] };
        assert_eq!(EnrolmentToken::parse(&format!(" {token}\n")).unwrap(), token);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert_eq!(EnrolmentToken::parse("abc").unwrap_err(), TokenError::Shape);
        assert_eq!(EnrolmentToken::parse(".abc").unwrap_err(), TokenError::Shape);
        assert_eq!(EnrolmentToken::parse("abc.1234").unwrap_err(), TokenError::Fingerprint);
        assert_eq!(EnrolmentToken::parse(&format!("abc.{}", "+1".repeat(32))).unwrap_err(), TokenError::Fingerprint);
    }

    #[test]
    fn debug_hides_the_secret() {
        let token = EnrolmentToken { secret: "hunter2".into(), ca_sha256: [0; 32] };
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
