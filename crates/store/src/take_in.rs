//! A store made of the stream that `dump.rs` sends.

use std::io::{self, Read};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Key, Value, WriteTransaction};
use sha2::{Digest, Sha256};

use super::dump::{DAY_KEY, DumpError, END, KeyBytes, MAGIC, ROW, TROUBLE};
use super::key_slots::{CHECKED_BYTES, Slots};
use super::open::{FILE, KEYS, Options, builder, explain};
use super::table::Spec;
use super::tables::{EachTable, SCHEMA_VERSION, each};
use super::{StoreError, folder};

/// Bytes of memory that the copy may take while it is written.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a row's key or value, far above the largest.
const PIECE_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// Makes a store in an empty folder that is there. `progress` hears how many rows have come, and of how
/// many. Returns how many there are. Where this fails, what is in the folder is worth nothing.
///
/// # Errors
/// [`DumpError`]
pub fn take_in(
    from: &mut dyn Read,
    into: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, DumpError> {
    let mut from = Incoming {
        from,
        hash: Sha256::new(),
    };
    if from.array::<24>()? != *MAGIC {
        return Err(DumpError::Garbled("it does not begin like one"));
    }
    if u32::from_be_bytes(from.array()?) != SCHEMA_VERSION {
        return Err(DumpError::Garbled(
            "the running relay is of another version; use the program that it was started from",
        ));
    }
    let rows = u64::from_be_bytes(from.array()?);
    let mut next = from.next()?;
    let mut keys = Vec::new();
    while let Piece::DayKey(key) = next {
        keys.push(key);
        next = from.next()?;
    }
    lay_keys(&keys, &into.join(KEYS))?;
    let file = into.join(FILE);
    folder::create_private(&file)?;
    let options = Options {
        cache_bytes: CACHE_BYTES,
        ..Options::default()
    };
    let database = builder(&options)
        .create(&file)
        .map_err(|error| explain(error, &file))?;
    let mut to = database.begin_write()?;
    to.set_two_phase_commit(true);
    let mut taking = TakeIn {
        to: &to,
        from,
        next: Some(next),
        done: 0,
        rows,
        progress,
        failed: None,
    };
    let taken = each(&mut taking);
    let TakeIn {
        next, done, failed, ..
    } = taking;
    if let Some(error) = failed {
        return Err(error);
    }
    taken?;
    if !matches!(next, Some(Piece::End)) || done != rows {
        return Err(DumpError::Garbled("it has other rows than it says"));
    }
    to.commit()?;
    drop(database);
    for name in [FILE, KEYS] {
        let file = into.join(name);
        graceful_fs_util::sync_file(&file).map_err(|error| folder::cannot(&file, error))?;
    }
    folder::sync(into)?;
    Ok(rows)
}

fn lay_keys(keys: &[KeyBytes], file: &Path) -> Result<(), StoreError> {
    folder::create_private(file)?;
    let backend = FileBackend::new(folder::open_file(file)?)?;
    let mut slots = Slots::read(backend, Box::new(|_: &mut [u8]| {}))?.slots;
    slots.lay_out()?;
    for key in keys {
        slots.put(key)?;
    }
    Ok(())
}

/// What comes next.
enum Piece {
    Row {
        table: usize,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    DayKey(KeyBytes),
    /// All came as it was sent.
    End,
}

struct Incoming<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
}

impl Incoming<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DumpError> {
        self.from
            .read_exact(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    DumpError::Garbled("it ends too early; did the relay stop?")
                }
                _ => error.into(),
            })?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DumpError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, DumpError> {
        let length = u32::from_be_bytes(self.array()?);
        if length > PIECE_BYTES_MAX {
            return Err(DumpError::Garbled("a row is longer than any"));
        }
        Ok(length as usize)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, DumpError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn next(&mut self) -> Result<Piece, DumpError> {
        match self.array::<1>()?[0] {
            ROW => {
                let table = usize::from(self.array::<1>()?[0]);
                let (key, value) = (self.length()?, self.length()?);
                Ok(Piece::Row {
                    table,
                    key: self.bytes(key)?,
                    value: self.bytes(value)?,
                })
            }
            DAY_KEY => {
                let mut key = KeyBytes::new([0; CHECKED_BYTES]);
                self.fill(&mut key[..])?;
                Ok(Piece::DayKey(key))
            }
            TROUBLE => {
                let length = self.length()?;
                Err(DumpError::Trouble(
                    String::from_utf8_lossy(&self.bytes(length)?).into_owned(),
                ))
            }
            END => {
                let expected: [u8; 32] = self.hash.clone().finalize().into();
                match self.array()? == expected {
                    true => Ok(Piece::End),
                    false => Err(DumpError::Garbled("its checksum differs")),
                }
            }
            _ => Err(DumpError::Garbled("it has a record of an unknown kind")),
        }
    }
}

struct TakeIn<'a, 'i> {
    to: &'a WriteTransaction,
    from: Incoming<'i>,
    next: Option<Piece>,
    done: u64,
    rows: u64,
    progress: &'a mut dyn FnMut(u64, u64),
    failed: Option<DumpError>,
}

impl EachTable for TakeIn<'_, '_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        spec: Spec<K, V>,
    ) -> Result<(), StoreError> {
        let mut to = self.to.open_table(spec.definition)?;
        let fits =
            |width: Option<usize>, bytes: &[u8]| width.is_none_or(|width| width == bytes.len());
        loop {
            match &self.next {
                Some(Piece::Row { table, key, value }) if *table == spec.number => {
                    if !fits(K::fixed_width(), key) || !fits(V::fixed_width(), value) {
                        self.failed = Some(DumpError::Garbled("a row has another form"));
                        return Err(StoreError::Damaged("a row has another form"));
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
