//! Deleted data is gone: no row remains, after compaction no byte, and after its day even an old
//! copy of the store is unreadable. Stored data passes `verify`.

mod compaction;
mod keys;
mod raw;
mod rows;
mod verify;
