//! Behaviour through `Jobs`, on both databases, with agents that speak real gRPC over real mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cmdb;
mod delivery;
mod faults;
mod metrics;
mod results;
mod rules;
mod safety;
mod strategy;
mod support;
mod trust;
