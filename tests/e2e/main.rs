//! End to end: the real binaries, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bad_days;
mod browser;
mod changes;
mod data_roles;
mod doors;
mod every_door;
mod examples;
mod frozen;
mod hands;
mod inspection;
mod kills;
mod packages;
mod plugin_data;
mod scripts;
mod secrets;
mod tables;
mod wrong_words;
