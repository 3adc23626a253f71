//! What can go wrong with the files of a log, outside of the writer.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub enum Fault {
    /// Bytes that were durable are missing or changed.
    Damaged {
        file: PathBuf,
        offset: u64,
        expected: String,
        found: String,
    },
    Io {
        path: PathBuf,
        source: io::Error,
    },
    /// It was told to stop.
    Cancelled,
}

impl Fault {
    pub fn damaged(file: &Path, offset: u64, expected: impl Into<String>, found: &str) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            expected: expected.into(),
            found: found.to_owned(),
        }
    }

    /// For `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
