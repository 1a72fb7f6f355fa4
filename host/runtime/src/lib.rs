//! plenum-runtime
