//! What is deleted is gone: no row of it remains, after a compaction no byte, and once its day is out
//! not even an old copy of the store gives it back. And what is kept can be verified.

mod compaction;
mod keys;
mod raw;
mod rows;
mod verify;
