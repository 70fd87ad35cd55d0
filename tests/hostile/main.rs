//! A public port, with everybody on it: each attack is made for real, on sockets of this machine, while
//! two honest devices sync through the same relay. It must go on as if nobody else were there, and
//! the relay's memory must stay within bounds.
#![cfg(target_os = "linux")]

mod afterwards;
mod attacker;
mod disk;
mod drain;
mod flood;
mod forged;
mod harness;
mod slow;
