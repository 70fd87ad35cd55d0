//! The generated messages of `proto/sealed.proto`, which only devices can open.
#![allow(missing_docs, unreachable_pub, clippy::all)]

include!("generated/graceful.sealed.v1.rs");

/// Omits the secrets.
impl std::fmt::Debug for AccountBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("AccountBundle");
        shown
            .field("names", &self.names)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}
