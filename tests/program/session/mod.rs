//! Sessions over real sockets, frame by frame, for devices that follow the protocol and devices
//! that do not. Two honest devices keep syncing beside them.

mod exchange;
mod invalid;
mod recovery;
mod store;
mod valid;
