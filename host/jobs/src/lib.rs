//! plenum-jobs
