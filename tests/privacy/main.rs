//! What must not be learned: from an answer to a stranger, from how long it takes, from the wire,
//! the disk and the logs, and from what a program prints of itself.

mod answers;
#[cfg(unix)]
mod canary;
mod debug;
mod forms;
mod padding;
mod search;
mod tap;
mod time;
