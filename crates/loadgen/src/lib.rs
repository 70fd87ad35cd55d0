//! A load generator for relays: many devices, and measurements of the relay.
//!
//! The devices exchange real frames with random envelopes instead of sealed ones, so the generator is cheap
//! compared with the relay. `graceful-relay bench` and the benchmarks that compare the relay with other programs use it.

#![allow(
    missing_docs,
    reason = "used by the program and benchmarks of this repository alone"
)]

pub mod accounts;
pub mod chart;
pub mod disk;
pub mod hints;
pub mod load;
pub mod local;
pub mod page;
pub mod plan;
pub mod plot;
pub mod process;
pub mod report;
pub mod schedule;
pub mod stats;
pub mod timer;
pub mod worker;
