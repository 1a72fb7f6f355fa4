//! plenum-workflow
