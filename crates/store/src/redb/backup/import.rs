//! The import of a store.

use std::io::{self, Read};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Key, Value, WriteTransaction};
use sha2::{Digest, Sha256};

use super::{DAY_KEY, END, ERROR, ExportError, MAGIC, ROW};
use crate::StoreError;
use crate::redb::data_dir;
use crate::redb::errors::database_error;
use crate::redb::files::{FILE, KEYS};
use crate::redb::keys::{CHECKED_BYTES, KeyBytes, Slots};
use crate::redb::options::Options;
use crate::redb::schema::{EachTable, SCHEMA_VERSION, each};
use crate::redb::table::Spec;

/// Bytes of the page cache during an import.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a key or value at most, far above the largest.
const FIELD_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Creates a store in an empty directory from an exported stream. `progress` receives the number of rows so
/// far, and of all rows. Returns the number of rows. If it fails, the content of the directory is worthless.
///
/// # Errors
/// [`ExportError`]
pub fn import(
    from: &mut dyn Read,
    into: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, ExportError> {
    let mut from = Incoming {
        from,
        hash: Sha256::new(),
    };
    if from.array::<24>()? != *MAGIC {
        return Err(ExportError::Malformed("it has another magic number"));
    }
    if u32::from_be_bytes(from.array()?) != SCHEMA_VERSION {
        return Err(ExportError::Malformed(
            "the running relay has another version; use the program that it was started from",
        ));
    }
    let rows = u64::from_be_bytes(from.array()?);
    let mut next = from.next()?;
    let mut keys = Vec::new();
    while let Record::DayKey(key) = next {
        keys.push(key);
        next = from.next()?;
    }
    write_keys(&keys, &into.join(KEYS))?;
    let file = into.join(FILE);
    data_dir::create_private(&file)?;
    let options = Options {
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    };
    let database = options
        .database_builder()
        .create(&file)
        .map_err(|error| database_error(error, &file))?;
    let mut to = database.begin_write()?;
    to.set_two_phase_commit(true);
    let mut importer = Importer {
        to: &to,
        from,
        next: Some(next),
        done: 0,
        rows,
        progress,
        failed: None,
    };
    let imported = each(&mut importer);
    let Importer {
        next, done, failed, ..
    } = importer;
    if let Some(error) = failed {
        return Err(error);
    }
    imported?;
    if !matches!(next, Some(Record::End)) || done != rows {
        return Err(ExportError::Malformed(
            "it has another number of rows than it declares",
        ));
    }
    to.commit()?;
    drop(database);
    for name in [FILE, KEYS] {
        let file = into.join(name);
        graceful_fs_util::sync_file(&file).map_err(|error| data_dir::cannot(&file, error))?;
    }
    data_dir::sync(into)?;
    Ok(rows)
}

fn write_keys(keys: &[KeyBytes], file: &Path) -> Result<(), StoreError> {
    data_dir::create_private(file)?;
    let backend = FileBackend::new(data_dir::open_file(file)?)?;
    let mut slots = Slots::read(backend, Box::new(|_: &mut [u8]| {}))?.slots;
    slots.allocate()?;
    for key in keys {
        slots.put(key)?;
    }
    Ok(())
}

/// A record of the stream.
enum Record {
    Row {
        table: usize,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    DayKey(KeyBytes),
    /// The end: the checksum is right.
    End,
}

struct Incoming<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
}

impl Incoming<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ExportError> {
        self.from
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    ExportError::Malformed("it ends too early; the relay may have stopped")
                }
                _ => error.into(),
            })?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ExportError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, ExportError> {
        let length = u32::from_be_bytes(self.array()?);
        if length > FIELD_BYTES_MAX {
            return Err(ExportError::Malformed("a field is too long"));
        }
        Ok(length as usize)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, ExportError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn next(&mut self) -> Result<Record, ExportError> {
        match self.array::<1>()?[0] {
            ROW => {
                let table = usize::from(self.array::<1>()?[0]);
                let (key, value) = (self.length()?, self.length()?);
                Ok(Record::Row {
                    table,
                    key: self.bytes(key)?,
                    value: self.bytes(value)?,
                })
            }
            DAY_KEY => {
                let mut key = KeyBytes::new([0; CHECKED_BYTES]);
                self.fill(&mut key[..])?;
                Ok(Record::DayKey(key))
            }
            ERROR => {
                let length = self.length()?;
                Err(ExportError::Remote(
                    String::from_utf8_lossy(&self.bytes(length)?).into_owned(),
                ))
            }
            END => {
                let expected: [u8; 32] = self.hash.clone().finalize().into();
                match self.array()? == expected {
                    true => Ok(Record::End),
                    false => Err(ExportError::Malformed("its checksum differs")),
                }
            }
            _ => Err(ExportError::Malformed("it has an unknown record")),
        }
    }
}

struct Importer<'a, 'i> {
    to: &'a WriteTransaction,
    from: Incoming<'i>,
    next: Option<Record>,
    done: u64,
    rows: u64,
    progress: &'a mut dyn FnMut(u64, u64),
    failed: Option<ExportError>,
}

impl EachTable for Importer<'_, '_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let mut to = self.to.open_table(spec.definition)?;
        let fits =
            |width: Option<usize>, bytes: &[u8]| width.is_none_or(|width| width == bytes.len());
        loop {
            match &self.next {
                Some(Record::Row { table, key, value }) if *table == spec.number => {
                    if !fits(K::fixed_width(), key) || !fits(V::fixed_width(), value) {
                        self.failed = Some(ExportError::Malformed("a row has the wrong size"));
                        return Err(StoreError::Damaged("a row has the wrong size"));
                    }
                    to.insert(K::from_bytes(key), V::from_bytes(value))?;
                }
                _ => return Ok(()),
            }
            self.done += 1;
            (self.progress)(self.done, self.rows);
            match self.from.next() {
                Ok(piece) => self.next = Some(piece),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(StoreError::Damaged("the stream broke"));
                }
            }
        }
    }
}
