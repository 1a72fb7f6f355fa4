//! The plugin's log, shown on its page in the portal: the macros [`crate::debug!`], [`crate::info!`], [`crate::warn!`] and
//! [`crate::error!`]. Needs no permission. At most 1,000 lines and 256 KiB a call.

use serde_json::Value;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What happened.
    Info,
    /// What should not have happened, and was borne.
    Warn,
    /// What failed.
    Error,
}

/// Writes a line with fields: a JSON object, or null for none.
pub fn write(level: Level, message: &str, fields: &Value) {
    crate::backend::log(level, message, fields);
}

/// Writes a line; see [`crate::info!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, { $($name:ident : $value:expr),+ $(,)? }, $($text:tt)+) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($($text)+),
            &$crate::__json!({ $(::std::stringify!($name): $value),+ }),
        )
    };
    ($level:ident, $($text:tt)+) => {
        $crate::log::write($crate::log::Level::$level, &::std::format!($($text)+), &$crate::__Value::Null)
    };
}

/// Writes a line for whoever looks for a fault.
#[macro_export]
macro_rules! debug { ($($t:tt)+) => { $crate::__log!(Debug, $($t)+) }; }

/// Writes a line, with fields before the text if there are any.
///
/// ```
/// # let _fake = plenum_sdk::testing::Fake::new();
/// let (node, count) = ("web1", 3);
/// plenum_sdk::info!("graded {count} targets");
/// plenum_sdk::info!({ node: node, count: count }, "graded");
/// ```
#[macro_export]
macro_rules! info { ($($t:tt)+) => { $crate::__log!(Info, $($t)+) }; }

/// Writes a line about what should not have happened, and was borne.
#[macro_export]
macro_rules! warn { ($($t:tt)+) => { $crate::__log!(Warn, $($t)+) }; }

/// Writes a line about what failed.
#[macro_export]
macro_rules! error { ($($t:tt)+) => { $crate::__log!(Error, $($t)+) }; }
