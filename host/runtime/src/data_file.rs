//! The file that a plugin's data travel in: JSON, one object a line.
//!
//! The first line says whose data they are and what the collections look like, the last one how many records there are and the SHA-256
//! of all lines before it, so that a file that lost its end is not taken for a whole one. Between them stands one record a line.

use chrono::{DateTime, SecondsFormat, Utc};
use plenum_store::{CollectionSpec, Document, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};

use crate::RuntimeError;

/// The version of this format.
pub const FORMAT: u32 = 1;
/// Longest line: the largest record, spelled by a tool that writes `\u00e9` for each letter, and what stands around it.
const MAX_LINE: u64 = 4 << 20;
/// Collections of one file.
pub const MAX_COLLECTIONS: usize = 500;
/// The media type.
pub const MEDIA_TYPE: &str = "application/x-ndjson";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// `plugin-data`.
    pub plenum: String,
    /// [`FORMAT`].
    pub format: u32,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// When.
    pub exported_at: String,
    /// What the collections look like.
    pub collections: Vec<CollectionHeader>,
    /// Settings that are not secret, when they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Map<String, Json>>,
}

/// A collection, as the first line tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectionHeader {
    /// Its name within the plugin.
    pub name: String,
    /// Its fields.
    pub schema: Schema,
    /// Fields with an index.
    #[serde(default)]
    pub indexed: Vec<String>,
    /// Field sets that are unique.
    #[serde(default)]
    pub unique: Vec<Vec<String>>,
}

impl CollectionHeader {
    pub fn of(name: &str, spec: CollectionSpec) -> CollectionHeader {
        CollectionHeader { name: name.to_owned(), schema: spec.schema, indexed: spec.indexed, unique: spec.unique }
    }
}

/// A line between the first and the last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    collection: String,
    id: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    data: Json,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: Totals,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Totals {
    records: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

pub fn internal(e: std::io::Error) -> RuntimeError {
    if e.kind() == std::io::ErrorKind::StorageFull {
        return RuntimeError::Data {
            code: "plugin.data_no_space",
            status: 507,
            message: "there is no space left in the data folder for the file of a plugin's data; make some and try again".into(),
        };
    }
    RuntimeError::Internal(format!("the file of a plugin's data: {e}"))
}

pub fn wrong(line: u64, message: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Data { code: "plugin.data_invalid", status: 422, message: format!("line {line}: {message}") }
}

fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// Writes such a file.
pub struct Writer {
    out: BufWriter<File>,
    hash: Sha256,
    records: u64,
    bytes: u64,
}

impl Writer {
    pub async fn begin(file: File, header: &Header) -> Result<Writer, RuntimeError> {
        let mut w = Writer { out: BufWriter::with_capacity(1 << 18, file), hash: Sha256::new(), records: 0, bytes: 0 };
        w.line(header).await?;
        Ok(w)
    }

    async fn line(&mut self, value: &impl Serialize) -> Result<(), RuntimeError> {
        let mut line = serde_json::to_vec(value).map_err(|e| RuntimeError::Internal(e.to_string()))?;
        line.push(b'\n');
        self.hash.update(&line);
        self.bytes += line.len() as u64;
        self.out.write_all(&line).await.map_err(internal)
    }

    pub async fn record(&mut self, collection: &str, d: Document) -> Result<(), RuntimeError> {
        let (created_at, updated_at) = (time(d.created_at), time(d.updated_at));
        self.records += 1;
        self.line(&Record { collection: collection.to_owned(), id: d.id, version: d.version, created_at, updated_at, data: d.data }).await
    }

    /// The file, its records and its bytes.
    pub async fn end(mut self) -> Result<(File, u64, u64), RuntimeError> {
        let sha256 = Some(hex::encode(self.hash.clone().finalize()));
        self.line(&End { end: Totals { records: self.records, sha256 } }).await?;
        self.out.flush().await.map_err(internal)?;
        Ok((self.out.into_inner(), self.records, self.bytes))
    }
}

/// Reads such a file.
pub struct Reader {
    input: BufReader<File>,
    hash: Sha256,
    /// The line that was read last.
    pub line: u64,
    records: u64,
    buffer: Vec<u8>,
}

/// What comes next in a file.
pub enum Next {
    Record(String, Document),
    End,
}

impl Reader {
    pub async fn begin(file: File) -> Result<(Reader, Header), RuntimeError> {
        let mut r = Reader { input: BufReader::with_capacity(1 << 18, file), hash: Sha256::new(), line: 0, records: 0, buffer: Vec::new() };
        let no_file = |why: String| RuntimeError::Data {
            code: "plugin.data_invalid",
            status: 422,
            message: format!("this is no file of a plugin's data, as an export makes it: {why}"),
        };
        if !r.next_line().await? {
            return Err(no_file("it is empty".into()));
        }
        // Before all else what it is: a later format may have other fields.
        let kind: Json = serde_json::from_slice(&r.buffer).map_err(|e| no_file(format!("its first line is no JSON object: {e}")))?;
        if kind.get("plenum").and_then(Json::as_str) != Some("plugin-data") {
            return Err(no_file("its first line does not say \"plenum\": \"plugin-data\"".into()));
        }
        match kind.get("format").and_then(Json::as_u64) {
            Some(f) if f == u64::from(FORMAT) => {}
            other => {
                return Err(RuntimeError::Data {
                    code: "plugin.data_format",
                    status: 422,
                    message: format!(
                        "the file has the format {}, and this host reads {FORMAT}; upgrade the host",
                        other.map_or_else(|| "of no number".to_owned(), |f| f.to_string())
                    ),
                });
            }
        }
        let header: Header = serde_json::from_value(kind).map_err(|e| wrong(1, e))?;
        r.hash.update(&r.buffer);
        Ok((r, header))
    }

    async fn next_line(&mut self) -> Result<bool, RuntimeError> {
        self.buffer.clear();
        let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.buffer).await.map_err(internal)?;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        if read as u64 == MAX_LINE && self.buffer.last() != Some(&b'\n') {
            return Err(wrong(self.line, format!("longer than the {} MiB that a line may have", MAX_LINE >> 20)));
        }
        Ok(true)
    }

    pub async fn next(&mut self) -> Result<Next, RuntimeError> {
        if !self.next_line().await? {
            let message = format!("the file ends after line {} without its last line: a part of it is missing; get it again", self.line);
            return Err(RuntimeError::Data { code: "plugin.data_incomplete", status: 422, message });
        }
        // A record has no key `end`, and nothing else a record's keys.
        let record = match serde_json::from_slice::<Record>(&self.buffer) {
            Ok(r) => r,
            Err(e) => match serde_json::from_slice::<End>(&self.buffer) {
                Ok(End { end }) => return self.end(end).await,
                Err(_) => return Err(wrong(self.line, format!("neither a record nor the end: {e}"))),
            },
        };
        self.hash.update(&self.buffer);
        self.records += 1;
        if record.version < 1 {
            return Err(wrong(self.line, "a record's version is 1 or more"));
        }
        let (created_at, updated_at) = (record.created_at.timestamp_millis(), record.updated_at.timestamp_millis());
        Ok(Next::Record(record.collection, Document { id: record.id, version: record.version, created_at, updated_at, data: record.data }))
    }

    async fn end(&mut self, totals: Totals) -> Result<Next, RuntimeError> {
        if totals.records != self.records {
            return Err(wrong(
                self.line,
                format!("the file was made with {} records and has {}; get it again", totals.records, self.records),
            ));
        }
        let sum = hex::encode(self.hash.clone().finalize());
        if totals.sha256.is_some_and(|s| s != sum) {
            let message =
                "the file is not as it was written; get it again. Who changed it on purpose takes \"sha256\" out of the last line";
            return Err(RuntimeError::Data { code: "plugin.data_changed", status: 422, message: message.into() });
        }
        if self.next_line().await? {
            return Err(wrong(self.line, "nothing comes after the last line"));
        }
        Ok(Next::End)
    }
}

/// Now, as the first line has it.
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}
