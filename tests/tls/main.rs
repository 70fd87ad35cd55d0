//! The relay's own TLS over real sockets: what it speaks, which certificate it shows, how that is
//! exchanged while connections go on, and devices that sync through it.

#[path = "../support/door.rs"]
mod door;
#[path = "../program/mod.rs"]
mod program;
#[path = "../support/programs.rs"]
mod programs;

mod authority;
mod devices;
mod exchanged;
mod headers;
mod house;
mod proxies;
mod spoken;
mod trial;
