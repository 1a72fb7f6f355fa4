//! The portal's files, embedded in the binary.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

// Release builds carry the files; debug builds read them from the checkout, so that the portal can change without the host.
#[derive(rust_embed::Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../../frontend/dist"]
#[allow_missing = true]
struct Files;

struct File {
    data: std::borrow::Cow<'static, [u8]>,
    mime: String,
}

/// Answered in place of the portal when the build has none.
const NO_PORTAL: &str = "<!doctype html><meta charset=utf-8><title>Plenum</title><p>This build of the host carries no portal. Build it with \
     <code>make build</code>, or use the API under <code>/api/v1</code>.";

fn file(path: &str) -> Option<File> {
    match Files::get(path) {
        Some(f) => Some(File { mime: f.metadata.mimetype().to_owned(), data: f.data }),
        None if path == "index.html" => Some(File { data: NO_PORTAL.as_bytes().into(), mime: "text/html; charset=utf-8".to_owned() }),
        None => None,
    }
}

/// A file of the portal; `index.html` for any path that is a page of the portal, so that its URLs can be shared.
pub async fn serve(method: Method, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return ApiError::not_found("request.route", format!("there is no {method} {}; see /api/v1/openapi.json", uri.path()))
            .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "request.method", "Method not allowed", "pages are only read: use GET")
            .into_response();
    }
    let asset = path.starts_with("assets/");
    let found = if path.is_empty() { None } else { file(path) };
    // A missing asset is an error and never the page: a browser would run HTML as a script.
    let found = if asset { found } else { found.or_else(|| file("index.html")) };
    let Some(f) = found else {
        return ApiError::not_found("request.route", format!("there is no file {path}")).into_response();
    };
    let mut response = f.data.into_owned().into_response();
    let h = response.headers_mut();
    // Vite puts a content hash into the names under assets/.
    h.insert(header::CACHE_CONTROL, HeaderValue::from_static(if asset { "public, max-age=31536000, immutable" } else { "no-cache" }));
    if let Ok(mime) = HeaderValue::from_str(&f.mime) {
        h.insert(header::CONTENT_TYPE, mime);
    }
    response
}
