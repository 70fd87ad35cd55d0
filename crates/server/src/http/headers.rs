//! What every answer says to a browser, whoever asked for what: that there is nothing here to run,
//! to frame, to guess at or to keep.

use warp::http::HeaderMap;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};

const ALWAYS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// The same as lines of a head, for an answer that is written by hand.
pub(super) fn lines() -> String {
    ALWAYS
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// A year. Subdomains are not the relay's to decide about.
const ONLY_TLS_FROM_NOW_ON: &str = "max-age=31536000";

/// Puts them in. The promise of TLS is made over TLS alone: anyone could make it over plain text.
pub(super) fn secure(headers: &mut HeaderMap, over_tls: bool) {
    for (name, value) in ALWAYS {
        // The one page for people has a policy of its own.
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if over_tls {
        headers.insert(
            STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(ONLY_TLS_FROM_NOW_ON),
        );
    }
}
