//! Which function answers which request.

use std::fmt;

use crate::http::percent_decode;
use crate::{Error, IntoResponse, Request, Response};

type Handler = Box<dyn Fn(&Request) -> Response>;

struct Route {
    method: &'static str,
    path: &'static str,
    handler: Handler,
}

/// Routes: `{name}` in a path stands for one segment, `{*name}` at its end for all that follow.
///
/// Of several routes that match, the one added first answers. Errors become problem JSON (RFC 9457). HEAD is answered like GET, without the
/// body.
///
/// ```
/// use plenum_sdk::{Json, Request, Result, Router};
///
/// fn double(request: &Request) -> Result<Json<u32>> {
///     Ok(Json(request.param::<u32>("n")? * 2))
/// }
///
/// let router = Router::new().get("/double/{n}", double);
/// assert_eq!(router.handle(Request::get("/double/21")).body, b"42");
/// assert_eq!(router.handle(Request::get("/double/x")).status, 404);
/// ```
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|r| format!("{} {}", r.method, r.path))).finish()
    }
}

impl Router {
    /// Without routes.
    pub fn new() -> Router {
        Router::default()
    }

    /// Adds a route.
    #[must_use]
    pub fn route<R: IntoResponse>(mut self, method: &'static str, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.routes.push(Route { method, path, handler: Box::new(move |r| handler(r).into_response()) });
        self
    }

    /// Adds a route for GET.
    #[must_use]
    pub fn get<R: IntoResponse>(self, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.route("GET", path, handler)
    }

    /// Adds a route for POST.
    #[must_use]
    pub fn post<R: IntoResponse>(self, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.route("POST", path, handler)
    }

    /// Adds a route for PUT.
    #[must_use]
    pub fn put<R: IntoResponse>(self, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.route("PUT", path, handler)
    }

    /// Adds a route for PATCH.
    #[must_use]
    pub fn patch<R: IntoResponse>(self, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.route("PATCH", path, handler)
    }

    /// Adds a route for DELETE.
    #[must_use]
    pub fn delete<R: IntoResponse>(self, path: &'static str, handler: impl Fn(&Request) -> R + 'static) -> Router {
        self.route("DELETE", path, handler)
    }

    /// Answers a request.
    pub fn handle(&self, mut request: Request) -> Response {
        let head = request.method == "HEAD";
        let method = if head { "GET" } else { request.method.as_str() };
        let mut allowed: Vec<&str> = Vec::new();
        for route in &self.routes {
            let Some(params) = matches(route.path, &request.path) else { continue };
            if route.method != method {
                allowed.push(route.method);
                continue;
            }
            request.params = params;
            let mut response = (route.handler)(&request);
            if head {
                response.body.clear();
            }
            return response;
        }
        if allowed.is_empty() {
            return Error::not_found("plugin.no_route", format!("there is no {} {} here", request.method, request.path)).into_response();
        }
        allowed.dedup();
        let allowed = allowed.join(", ");
        Error::new(405, "plugin.method", format!("{} knows {allowed}, not {}", request.path, request.method))
            .into_response()
            .header("allow", &allowed)
    }
}

fn matches(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    let mut rest = path.trim_start_matches('/');
    let mut parts = pattern.trim_start_matches('/').split('/');
    loop {
        let part = parts.next()?;
        if let Some(name) = part.strip_prefix("{*").and_then(|p| p.strip_suffix('}')) {
            params.push((name.to_owned(), percent_decode(rest, false)));
            return Some(params);
        }
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(_) if segment.is_empty() => return None,
            // Split before decoding: an escaped slash belongs to its segment.
            Some(name) => params.push((name.to_owned(), percent_decode(segment, false))),
            None if percent_decode(segment, false) == part => {}
            None => return None,
        }
        match after {
            // A slash at the end changes nothing.
            None | Some("") => return if parts.next().is_none() { Some(params) } else { None },
            Some(after) => rest = after,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Fake;
    use crate::{Json, Result};

    fn router() -> Router {
        Router::new()
            .get("/", |_: &Request| Response::text("root"))
            .get("/notes/{id}", |r: &Request| -> Result<Json<String>> { Ok(Json(r.param("id")?)) })
            .delete("/notes/{id}", |_: &Request| ())
            .get("/files/{*path}", |r: &Request| -> Result<Json<String>> { Ok(Json(r.param("path")?)) })
            .post("/notes", |r: &Request| -> Result<(u16, Json<Vec<u32>>)> { Ok((201, Json(r.json()?))) })
            .get("/fails", |_: &Request| -> Result<()> { Err(Error::internal("x.broken", "it broke")) })
    }

    fn text(request: Request) -> (u16, String) {
        let r = router().handle(request);
        (r.status, String::from_utf8(r.body).unwrap())
    }

    #[test]
    fn paths_lead_to_handlers() {
        assert_eq!(text(Request::get("/")), (200, "root".into()));
        assert_eq!(text(Request::get("/notes/a%2Fb/")), (200, "\"a/b\"".into()));
        assert_eq!(text(Request::get("/files/a/b%20c")), (200, "\"a/b c\"".into()));
        assert_eq!(text(Request::new("HEAD", "/notes/7")), (200, String::new()));
        assert_eq!(text(Request::delete("/notes/7")).0, 204);
        assert_eq!(text(Request::post("/notes", &[1, 2])), (201, "[1,2]".into()));
    }

    #[test]
    fn what_is_wrong_is_said_as_problem_json() {
        let fake = Fake::new();
        assert_eq!(text(Request::get("/notes/")).0, 405);
        assert_eq!(text(Request::get("/nothing")).0, 404);
        let r = router().handle(Request::new("PUT", "/notes/7"));
        assert_eq!((r.status, r.get_header("allow")), (405, Some("GET, DELETE")));
        let r = router().handle(Request::post("/notes", &["x"]));
        assert_eq!(r.get_header("content-type"), Some("application/problem+json"));
        assert_eq!(r.decode::<serde_json::Value>().unwrap().pointer("/errors/0/pointer").unwrap(), "/0");
        assert_eq!(text(Request::get("/fails")).0, 500);
        assert_eq!(fake.log().last().unwrap().message, "it broke");
    }

    #[test]
    fn queries_are_decoded() {
        let r = Request::get("/x?a=1+2&b=%E4%B8%AD&c=&d");
        assert_eq!(r.query::<String>("a").unwrap().unwrap(), "1 2");
        assert_eq!(r.query::<String>("b").unwrap().unwrap(), "中");
        assert_eq!(r.query::<String>("c").unwrap(), None);
        assert_eq!(r.query::<u32>("b").unwrap_err().status, 422);
        assert_eq!(percent_decode("%zz%", false), "%zz%");
    }
}
