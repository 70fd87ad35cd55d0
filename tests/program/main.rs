//! The program and its server, over real sockets and directories.

mod acme;
mod admin;
mod backup;
mod bench;
mod cli;
mod crash;
mod deletion;
mod demo;
mod http;
mod large_changes;
mod logs;
mod metrics;
mod migrations;
mod misbehaving_relay;
mod mnemonic;
mod monitoring;
mod operator;
mod recovery;
mod service;
mod session;
mod snapshot;
mod status_page;
mod tls;
