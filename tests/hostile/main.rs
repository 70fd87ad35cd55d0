//! A public port, with everybody on it: each attack is made for real, on sockets of this machine, while
//! two honest devices sync through the same relay. It must go on as if nobody else were there, and
//! the relay's memory must stay within bounds.
#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/devices.rs"]
mod devices;

#[path = "../support/relay_process.rs"]
mod relay_process;

mod afterwards;
mod attacker;
mod disk;
mod drain;
mod flood;
mod forged;
mod harness;
mod slow;
