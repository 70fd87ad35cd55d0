//! Bearer tokens of operators, read from a private file and compared in constant time.

use std::fmt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use warp::http::StatusCode;
use warp::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use warp::reply::{Reply, Response, with_header};

use super::response::text;

/// Shorter tokens could be guessed.
const BYTES_MIN: usize = 16;
/// A larger file is not a token.
const BYTES_MAX: u64 = 4_096;

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Vec<u8>);

/// The reason why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum BearerTokenError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is readable by every user.
    #[error("{0} is readable by every user; run chmod 600 on it and replace the token")]
    WorldReadable(PathBuf),
    /// The token is too short or too long.
    #[error(
        "{0} must hold one line of at least {BYTES_MIN} characters; use `openssl rand -hex 32`"
    )]
    Invalid(PathBuf),
}

impl BearerToken {
    /// Reads a token from a file, without surrounding whitespace.
    ///
    /// # Errors
    /// [`BearerTokenError`]
    pub fn read(path: &Path) -> Result<Self, BearerTokenError> {
        let file = |error| BearerTokenError::Read(path.to_path_buf(), error);
        let metadata = std::fs::metadata(path).map_err(file)?;
        if is_open(&metadata) {
            return Err(BearerTokenError::WorldReadable(path.to_path_buf()));
        }
        if metadata.len() > BYTES_MAX {
            return Err(BearerTokenError::Invalid(path.to_path_buf()));
        }
        let bytes = std::fs::read(path).map_err(file)?.trim_ascii().to_vec();
        let usable = bytes.len() >= BYTES_MIN && bytes.iter().all(u8::is_ascii_graphic);
        if usable {
            Ok(Self(bytes))
        } else {
            Err(BearerTokenError::Invalid(path.to_path_buf()))
        }
    }

    /// Returns whether a request presents this token (RFC 6750, section 2.1).
    pub(super) fn authorizes(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).map(|shown| shown.as_bytes());
        let Some((scheme, token)) = shown.and_then(|shown| shown.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(token.trim_ascii().ct_eq(&self.0))
    }
}

/// Returns the rejection of a request without this token.
pub(super) fn refused(token: Option<&BearerToken>, headers: &HeaderMap) -> Option<Response> {
    if token.is_none_or(|token| token.authorizes(headers)) {
        return None;
    }
    let response = text(
        StatusCode::UNAUTHORIZED,
        "Unauthorized: present the operator's bearer token.",
    );
    Some(with_header(response, WWW_AUTHENTICATE, "Bearer").into_response())
}

#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open(_metadata: &std::fs::Metadata) -> bool {
    false
}

/// Omits the token.
impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_a_private_file_with_enough_in_it_is_taken() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let read = |text: &str, mode| {
            std::fs::write(&path, text).expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
            BearerToken::read(&path)
        };
        assert!(matches!(
            read("0123456789abcdef\n", 0o644),
            Err(BearerTokenError::WorldReadable(_))
        ));
        assert!(matches!(
            read("short\n", 0o600),
            Err(BearerTokenError::Invalid(_))
        ));
        let secret = read("0123456789abcdef\n", 0o640).expect("good");
        let shown = |text: &str| {
            let headers = [(AUTHORIZATION, text.parse().expect("a header"))]
                .into_iter()
                .collect();
            secret.authorizes(&headers)
        };
        assert!(shown("Bearer 0123456789abcdef") && shown("bearer 0123456789abcdef"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Basic 0123456789abcdef",
        ] {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
