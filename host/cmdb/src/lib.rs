//! plenum-cmdb
