//! Interfaces of the contract 0.1 that a newer version replaced: each answers with the newer one. Nothing is decided here; a rule or a
//! permission that is checked there is checked for both.

mod cmdb;
