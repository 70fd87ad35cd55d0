//! A disk that crashes: writes reach it at once for whoever reads, but only a sync makes them last.
//! In a crash each unsynced sector is lost or kept by chance, so that writes come out torn and out
//! of order.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::chance::Chance;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// The platters, which outlive a process.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// What each sector and the length were at the last sync, newest change last.
    unsynced: Vec<Undo>,
    /// Operations until the power fails, if it is going to.
    fuse: Option<u64>,
    dead: bool,
    /// Tells the handles of dead processes from those of living ones.
    boot: u64,
}

#[derive(Debug)]
enum Undo {
    Sector { start: usize, before: Vec<u8> },
    Grown { from: usize },
    Shrunk { to: usize, tail: Vec<u8> },
}

impl Disk {
    pub fn new() -> Self {
        let state = State { bytes: Vec::new(), unsynced: Vec::new(), fuse: None, dead: false, boot: 0 };
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
    pub fn crash(&self, chance: &mut Chance) {
        let mut state = self.lock();
        for undo in std::mem::take(&mut state.unsynced).into_iter().rev() {
            match undo {
                Undo::Sector { start, before } if chance.once_in(2) => {
                    let end = (start + before.len()).min(state.bytes.len());
                    if start < end {
                        state.bytes[start..end].copy_from_slice(&before[..end - start]);
                    }
                }
                Undo::Sector { .. } => {}
                Undo::Grown { from } if from < state.bytes.len() && chance.once_in(2) => {
                    state.bytes.truncate(from);
                }
                Undo::Grown { .. } => {}
                Undo::Shrunk { to, tail } => {
                    state.bytes.resize(to + tail.len(), 0);
                    state.bytes[to..].copy_from_slice(&tail);
                }
            }
        }
        state.fuse = None;
        state.dead = false;
        state.boot += 1;
    }

    /// A process opens the disk.
    pub fn handle(&self) -> Handle {
        Handle { disk: self.clone(), boot: self.lock().boot }
    }

    /// Another disk with what this one holds for good, were the power to fail just now.
    pub fn copy(&self) -> Self {
        let state = self.lock();
        let copy = State {
            bytes: state.bytes.clone(),
            unsynced: Vec::new(),
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

/// One process's access to the disk.
#[derive(Debug)]
pub struct Handle {
    disk: Disk,
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
        Ok(self.state()?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state()?;
        let start = usize::try_from(offset).expect("small disks");
        let bytes = state.bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut state = self.state()?;
        let (before, length) = (state.bytes.len(), usize::try_from(length).expect("small disks"));
        let undo = if length < before {
            Undo::Shrunk { to: length, tail: state.bytes[length..].to_vec() }
        } else {
            Undo::Grown { from: before }
        };
        state.unsynced.push(undo);
        state.bytes.resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.state()?.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let start = usize::try_from(offset).expect("small disks");
        // The power may fail in the middle of a write too.
        let mut state = self.disk.lock();
        let torn = state.fuse == Some(0) && state.boot == self.boot && !state.dead;
        if torn {
            let half = data.len() / 2;
            state.note_sectors(start, start + half);
            state.bytes[start..start + half].copy_from_slice(&data[..half]);
        }
        drop(state);
        let mut state = self.state()?;
        state.note_sectors(start, start + data.len());
        state.bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

impl State {
    /// Remembers what the sectors of this range held.
    fn note_sectors(&mut self, start: usize, end: usize) {
        let end = end.min(self.bytes.len());
        let mut sector = start - start % SECTOR;
        while sector < end {
            let before = self.bytes[sector..(sector + SECTOR).min(self.bytes.len())].to_vec();
            self.unsynced.push(Undo::Sector { start: sector, before });
            sector += SECTOR;
        }
    }
}
