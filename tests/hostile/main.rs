//! Attacks on a public port, made on real sockets while two honest devices sync through the same
//! relay. The devices must not notice, and the relay's memory must stay bounded.
#![cfg(target_os = "linux")]

mod attacker;
mod disk;
mod drain;
mod flood;
mod forged;
mod harness;
mod memory;
mod slow;
