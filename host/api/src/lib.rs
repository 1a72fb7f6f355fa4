//! plenum-api
