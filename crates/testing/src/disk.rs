//! A disk that crashes: writes reach it at once for whoever reads, but only a sync makes them last.
//! In a crash each unsynced sector is lost or kept by chance, so that writes come out torn and out
//! of order. Four files are on it: the store's, that of its keys, and the journal's two.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::random::SeededRng;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// The platters, which outlive a process.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: [Content; 4],
    /// Operations until the power fails, if it is going to.
    fuse: Option<u64>,
    dead: bool,
    /// Tells the handles of dead processes from those of living ones.
    boot: u64,
}

/// Which of the four.
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
    /// What each sector and the length were at the last sync, newest change last.
    unsynced: Vec<Undo>,
    /// Whether it says that it has synced and has not.
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

    /// Lets the power fail after this many more operations.
    pub fn light_fuse(&self, operations: u64) {
        self.lock().fuse = Some(operations);
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// The power fails now: what was not synced is torn. What is left can be opened again.
    pub fn crash(&self, rng: &mut SeededRng) {
        let mut state = self.lock();
        for file in &mut state.files {
            file.tear(rng);
        }
        state.fuse = None;
        state.dead = false;
        state.boot += 1;
    }

    /// From now on syncs of this file do nothing.
    pub fn lie_about(&self, file: File) {
        self.lock().files[file as usize].lies = true;
    }

    /// What a file holds.
    pub fn bytes(&self, file: File) -> Vec<u8> {
        self.lock().files[file as usize].bytes.clone()
    }

    /// A process opens a file.
    pub fn handle(&self, file: File) -> Handle {
        Handle {
            disk: self.clone(),
            file,
            boot: self.lock().boot,
        }
    }

    /// Another disk with what this one holds for good, were the power to fail just now.
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
        self.0.lock().expect("nobody panics holding it")
    }
}

/// One process's access to a file.
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
        // The power may fail in the middle of a write too.
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
    /// Each unsynced sector is lost or kept.
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

    /// Remembers what the sectors of this range held.
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
