//! The origins of web pages that may use the relay.

/// The allowed origins. An empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(pub(crate) Vec<String>);

impl AllowedOrigins {
    /// Takes origins as browsers send them: scheme, host and port, such as
    /// `https://app.example.org`.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().collect())
    }
}
