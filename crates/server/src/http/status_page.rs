//! The public status page: `/` and `/status.json`. It is rendered elsewhere; a response copies a
//! pointer.

use std::sync::Arc;

use parking_lot::RwLock;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH,
};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::response::{body, not_allowed, not_found};

/// A page is valid for a minute.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// The published page, if any. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StatusPage(Arc<RwLock<Option<Arc<Rendered>>>>);

#[derive(Debug)]
struct Rendered {
    html: Document,
    json: Document,
}

#[derive(Debug)]
struct Document {
    bytes: Bytes,
    content_type: &'static str,
    tag: HeaderValue,
    policy: HeaderValue,
}

impl StatusPage {
    /// Publishes a page. `style` is the content of its style element, the only one that the policy
    /// allows.
    pub fn publish(&self, html: String, style: &str, json: String) {
        let hash = BASE64.encode(&Sha256::digest(style));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        let html = Document::new(html, "text/html; charset=utf-8", &policy);
        let json = Document::new(
            json,
            "application/json",
            "default-src 'none'; frame-ancestors 'none'",
        );
        *self.0.write() = Some(Arc::new(Rendered { html, json }));
    }

    /// `/`
    pub(super) fn html(&self, method: &Method, headers: &HeaderMap) -> Response {
        self.answer(method, headers, |made| &made.html)
    }

    /// `/status.json`
    pub(super) fn json(&self, method: &Method, headers: &HeaderMap) -> Response {
        self.answer(method, headers, |made| &made.json)
    }

    fn answer(
        &self,
        method: &Method,
        headers: &HeaderMap,
        which: impl Fn(&Rendered) -> &Document,
    ) -> Response {
        let made = self.0.read().clone();
        let Some(made) = made else { return not_found() };
        match *method {
            Method::GET | Method::HEAD => which(&made).answer(headers),
            _ => not_allowed("GET, HEAD"),
        }
    }
}

impl Document {
    fn new(text: String, content_type: &'static str, policy: &str) -> Self {
        let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&text)[..8]));
        let header = |text: &str| HeaderValue::from_str(text).expect("letters and signs");
        Self {
            bytes: text.into(),
            content_type,
            tag: header(&tag),
            policy: header(policy),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers
            .get(IF_NONE_MATCH)
            .is_some_and(|tag| *tag == self.tag);
        let mut response = match known {
            true => body(StatusCode::NOT_MODIFIED, self.content_type, Vec::new()),
            false => body(
                StatusCode::OK,
                self.content_type,
                Response::new(self.bytes.clone().into()),
            ),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, KEEP);
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(ETAG, self.tag.clone());
        if known {
            headers.remove(CONTENT_TYPE);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_with_a_policy_of_its_own_and_not_sent_twice() {
        let page = StatusPage::default();
        let none = HeaderMap::new();
        assert_eq!(
            page.html(&Method::GET, &none).status(),
            StatusCode::NOT_FOUND
        );
        page.publish("<style>a</style>".to_owned(), "a", "{}".to_owned());
        let shown = page.html(&Method::GET, &none);
        assert_eq!(shown.status(), StatusCode::OK);
        // echo -n a | openssl dgst -sha256 -binary | base64
        let policy = shown.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("text");
        assert!(
            policy.contains("'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"),
            "{policy}"
        );
        let mut known = HeaderMap::new();
        known.insert(IF_NONE_MATCH, shown.headers()[ETAG].clone());
        assert_eq!(
            page.html(&Method::GET, &known).status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(
            page.json(&Method::GET, &known).status(),
            StatusCode::OK,
            "another page"
        );
        assert_eq!(
            page.html(&Method::POST, &none).status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
