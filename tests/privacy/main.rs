//! Privacy: answers and answer times for strangers, the wire, the disk, the logs and program
//! output.

mod answers;
#[cfg(unix)]
mod canary;
mod debug;
mod encodings;
mod padding;
mod search;
mod tap;
mod time;
