//! What nobody can guess. Needs no permission.

/// So many bytes.
pub fn bytes(count: usize) -> Vec<u8> {
    crate::backend::random(count)
}

/// An id of 32 hexadecimal digits.
pub fn id() -> String {
    bytes(16).iter().map(|b| format!("{b:02x}")).collect()
}
