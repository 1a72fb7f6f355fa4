//! Checks as data, and the pure logic around them: nothing in here knows of HTTP, storage or the platform.
//!
//! A template is read ([`template`]) and adjusted ([`adjust`]), its checks become one script per target ([`driver`]), the script's
//! output is taken apart ([`frame`]), each check's text becomes rows ([`parse`]), rows become findings ([`grade`]), findings
//! become a score ([`score`]) and are compared with the last time ([`diff`]).

pub mod adjust;
pub mod diff;
pub mod driver;
pub mod frame;
pub mod grade;
pub mod parse;
pub mod score;
pub mod template;
pub mod validate;
