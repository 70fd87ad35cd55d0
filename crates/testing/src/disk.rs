//! A disk that crashes. Writes are visible at once, but only a sync makes them durable.
//! In a crash each unsynced sector is lost or kept at random, so writes come out torn and
//! reordered. It holds four files: the store, its keys and the two journals.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::random::SeededRng;

/// Unit of an atomic write.
const SECTOR: usize = 512;

/// The persistent state, which outlives a process.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: [Content; 4],
    /// Operations until a power failure, if one is scheduled.
    fuse: Option<u64>,
    dead: bool,
    /// Distinguishes the handles of dead processes from those of live ones.
    boot: u64,
}

/// One of the four files.
#[derive(Debug, Clone, Copy)]
pub enum File {
    Store,
    Keys,
    Journal,
    OtherJournal,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// The content before each unsynced write, newest last.
    unsynced: Vec<Undo>,
    /// Whether syncs are reported but not done.
    lies: bool,
}

#[derive(Debug, Clone)]
enum Undo {
    Sector { start: usize, before: Vec<u8> },
    Grown { from: usize },
    Shrunk { to: usize, tail: Vec<u8> },
}

impl Disk {
    pub fn new() -> Self {
        let state = State {
            files: Default::default(),
            fuse: None,
            dead: false,
            boot: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Schedules a power failure after this many operations.
    pub fn light_fuse(&self, operations: u64) {
        self.lock().fuse = Some(operations);
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Fails the power: unsynced sectors are torn, then the disk can be opened again.
    pub fn crash(&self, rng: &mut SeededRng) {
        let mut state = self.lock();
        for file in &mut state.files {
            file.tear(rng);
        }
        state.fuse = None;
        state.dead = false;
        state.boot += 1;
    }

    /// Turns syncs of this file into no-ops.
    pub fn lie_about(&self, file: File) {
        self.lock().files[file as usize].lies = true;
    }

    /// Returns the content of a file.
    pub fn bytes(&self, file: File) -> Vec<u8> {
        self.lock().files[file as usize].bytes.clone()
    }

    /// Opens a file for a process.
    pub fn handle(&self, file: File) -> Handle {
        Handle {
            disk: self.clone(),
            file,
            boot: self.lock().boot,
        }
    }

    /// Returns a copy with the content that a power failure would leave now.
    pub fn copy(&self) -> Self {
        let state = self.lock();
        let files = state.files.clone().map(|file| Content {
            unsynced: Vec::new(),
            ..file
        });
        let copy = State {
            files,
            fuse: None,
            dead: false,
            boot: state.boot,
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("mutex poisoned")
    }
}

/// A process's handle of a file.
#[derive(Debug)]
pub struct Handle {
    disk: Disk,
    file: File,
    boot: u64,
}

fn gone() -> io::Error {
    io::Error::other("the power has failed")
}

impl Handle {
    fn state(&self) -> Result<MutexGuard<'_, State>, io::Error> {
        let mut state = self.disk.lock();
        if state.boot != self.boot || state.dead {
            return Err(gone());
        }
        if let Some(left) = state.fuse {
            if left == 0 {
                state.dead = true;
                return Err(gone());
            }
            state.fuse = Some(left - 1);
        }
        Ok(state)
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state()?.files[self.file as usize].bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state()?;
        let start = usize::try_from(offset).expect("small disks");
        let file = &state.files[self.file as usize];
        let bytes = file
            .bytes
            .get(start..start + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut state = self.state()?;
        let file = &mut state.files[self.file as usize];
        let (before, length) = (
            file.bytes.len(),
            usize::try_from(length).expect("small disks"),
        );
        let undo = if length < before {
            Undo::Shrunk {
                to: length,
                tail: file.bytes[length..].to_vec(),
            }
        } else {
            Undo::Grown { from: before }
        };
        file.unsynced.push(undo);
        file.bytes.resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.state()?;
        let file = &mut state.files[self.file as usize];
        if !file.lies {
            file.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).expect("small disks");
        // The power may fail in the middle of a write.
        let mut state = self.disk.lock();
        let torn = state.fuse == Some(0) && state.boot == self.boot && !state.dead;
        if torn {
            state.files[self.file as usize].write(start, &data[..data.len() / 2]);
        }
        drop(state);
        self.state()?.files[self.file as usize].write(start, data);
        Ok(())
    }
}

impl Content {
    /// Keeps or loses each unsynced sector.
    fn tear(&mut self, rng: &mut SeededRng) {
        for undo in std::mem::take(&mut self.unsynced).into_iter().rev() {
            match undo {
                Undo::Sector { start, before } if rng.once_in(2) => {
                    let end = (start + before.len()).min(self.bytes.len());
                    if start < end {
                        self.bytes[start..end].copy_from_slice(&before[..end - start]);
                    }
                }
                Undo::Sector { .. } => {}
                Undo::Grown { from } if from < self.bytes.len() && rng.once_in(2) => {
                    self.bytes.truncate(from);
                }
                Undo::Grown { .. } => {}
                Undo::Shrunk { to, tail } => {
                    self.bytes.resize(to + tail.len(), 0);
                    self.bytes[to..].copy_from_slice(&tail);
                }
            }
        }
    }

    fn write(&mut self, start: usize, data: &[u8]) {
        self.note_sectors(start, start + data.len());
        self.bytes[start..start + data.len()].copy_from_slice(data);
    }

    /// Records the sectors of this range for undo.
    fn note_sectors(&mut self, start: usize, end: usize) {
        let end = end.min(self.bytes.len());
        let mut sector = start - start % SECTOR;
        while sector < end {
            let before = self.bytes[sector..(sector + SECTOR).min(self.bytes.len())].to_vec();
            self.unsynced.push(Undo::Sector {
                start: sector,
                before,
            });
            sector += SECTOR;
        }
    }
}
