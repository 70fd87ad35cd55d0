//! Commands of the operator: the running relay, its accounts, its data and its configuration.

pub(crate) mod account;
mod admin_client;
pub(crate) mod backup;
pub(crate) mod compact;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod healthcheck;
pub(crate) mod invite;
mod offline_store;
pub(crate) mod reload;
pub(crate) mod restore;
pub(crate) mod sla;
pub(crate) mod status;
pub(crate) mod verify;
