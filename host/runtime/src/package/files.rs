//! The layer of files: a compressed tar. What it may hold is what every system can hold: plain files, below the package, each name
//! once.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use unicode_normalization::UnicodeNormalization;

use super::archive::{bounded, broken};
use super::{MAX_FILE_COUNT, MAX_FILES, PackageError, safe_path};

pub(super) fn append<W: std::io::Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<(), PackageError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // Times and owners stay zero: a package built twice is the same.
    header.set_mtime(0);
    tar.append_data(&mut header, name, bytes).map_err(|e| PackageError::Path(format!("{name:?}: {e}")))
}

pub(super) fn pack(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, PackageError> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, bytes) in files {
        safe_path(name).map_err(PackageError::Path)?;
        append(&mut tar, name, bytes)?;
    }
    tar.into_inner().and_then(GzEncoder::finish).map_err(broken)
}

pub(super) fn unpack(gz: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    // Everything is counted: contents, headers, and the long names that the tar reader itself collects.
    let most = MAX_FILES + 4_096 * MAX_FILE_COUNT as u64;
    let mut files = BTreeMap::new();
    // Names that differ in case or in how their letters are composed would be one file on some systems, and a file cannot be a
    // folder too.
    let mut taken = HashSet::new();
    let mut folders = HashSet::new();
    let mut left = MAX_FILES;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(gz).take(most));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(broken)?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            if !name.is_empty() {
                safe_path(name.trim_end_matches('/')).map_err(PackageError::Path)?;
            }
            continue;
        }
        if !kind.is_file() {
            return Err(PackageError::Path(format!("{name:?} is a link or a device; a package has plain files only")));
        }
        safe_path(&name).map_err(PackageError::Path)?;
        if files.len() >= MAX_FILE_COUNT {
            return Err(PackageError::TooLarge(format!("it has more than {MAX_FILE_COUNT} files")));
        }
        let declared = entry.size();
        if declared > left {
            return Err(PackageError::TooLarge(format!("its files have more than {} MiB", MAX_FILES >> 20)));
        }
        let bytes = bounded(&mut entry, left, &name)?;
        if bytes.len() as u64 != declared {
            return Err(broken(format!("it ends within {name}")));
        }
        left -= declared;
        let plain = name.nfkc().collect::<String>().to_lowercase();
        let mut end = plain.len();
        while let Some(cut) = plain.get(..end).and_then(|p| p.rfind('/')) {
            folders.extend(plain.get(..cut).map(str::to_owned));
            end = cut;
        }
        if !taken.insert(plain) {
            return Err(PackageError::Path(format!(
                "{name:?} is there twice, or differs from another only in case or in the form of its letters"
            )));
        }
        files.insert(name, bytes);
    }
    if archive.into_inner().limit() == 0 {
        // Cut where a header begins, it would read as the end.
        return Err(PackageError::TooLarge(format!("its files and folders have more than {} MiB together", most >> 20)));
    }
    match taken.intersection(&folders).next() {
        Some(both) => Err(PackageError::Path(format!("{both:?} is a file and a folder"))),
        None => Ok(files),
    }
}
