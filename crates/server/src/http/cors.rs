//! CORS: the origins of web pages that may use the relay. Only browsers send an honest origin, so
//! this keeps out pages, not programs.

use warp::http::StatusCode;
use warp::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderValue, ORIGIN, VARY};
use warp::reply::Response;

use super::response::text;
use crate::net::origins::AllowedOrigins;

impl AllowedOrigins {
    /// Returns the rejection of a request, or `None`.
    pub(super) fn reject(&self, headers: &HeaderMap) -> Option<Response> {
        let origin = headers.get(ORIGIN)?;
        (!self.allows(origin)).then(|| {
            text(
                StatusCode::FORBIDDEN,
                "This origin is not allowed. The operator can add it to server.allowed_origins.",
            )
        })
    }

    /// Adds the headers that let the requesting page read the response.
    pub(super) fn add_cors_headers(
        &self,
        origin: Option<&HeaderValue>,
        mut response: Response,
    ) -> Response {
        let headers = response.headers_mut();
        if self.0.is_empty() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return response;
        }
        headers.insert(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        response
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.0.is_empty() || self.0.iter().any(|allowed| origin == allowed.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &str) -> HeaderMap {
        [(ORIGIN, origin.parse().expect("a header"))]
            .into_iter()
            .collect()
    }

    #[test]
    fn only_pages_on_the_list_get_in_and_programs_say_nothing() {
        let list = AllowedOrigins::new(["https://app.example".to_owned()]);
        assert!(list.reject(&from("https://app.example")).is_none());
        assert!(list.reject(&HeaderMap::new()).is_none());
        for foreign in [
            "https://app.example.evil",
            "http://app.example",
            "https://app.example:8443",
            "null",
            "",
        ] {
            assert_eq!(
                list.reject(&from(foreign))
                    .map(|response| response.status().as_u16()),
                Some(403)
            );
        }
        assert!(
            AllowedOrigins::default()
                .reject(&from("https://anything"))
                .is_none()
        );
    }

    #[test]
    fn the_answer_may_be_read_by_the_page_that_asked_and_no_other() {
        let list = AllowedOrigins::new(["https://app.example".to_owned()]);
        let allowed = |list: &AllowedOrigins, origin: &str| {
            let response =
                list.add_cors_headers(from(origin).get(ORIGIN), text(StatusCode::OK, "up"));
            let header = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
            header.map(|header| header.to_str().expect("text").to_owned())
        };
        assert_eq!(
            allowed(&list, "https://app.example").as_deref(),
            Some("https://app.example")
        );
        assert_eq!(allowed(&list, "https://other.example"), None);
        assert_eq!(
            allowed(&AllowedOrigins::default(), "https://other.example").as_deref(),
            Some("*")
        );
    }
}
