//! `plugin!`.

/// Says what the plugin offers; the component exports exactly that. Each key is optional and stands at most once, in any order.
///
/// | key | value | exports |
/// |---|---|---|
/// | `http` | a function `fn() -> Router` | `wasi:http/incoming-handler` |
/// | `actions` | `[name: function, "other-name": function]`, each `fn(I) -> Result<O>` with `I` read from and `O` written as JSON | `plenum:plugin/actions` |
/// | `events` | a function `fn(Event) -> Result<()>` | `plenum:plugin/events` |
/// | `schedule` | a function `fn(&str, Timestamp) -> Result<()>`: the schedule's id, and when it was due | `plenum:plugin/schedule` |
/// | `lifecycle` | a value that is [`Lifecycle`](crate::Lifecycle) | `plenum:plugin/lifecycle` |
/// | `health` | a function `fn() -> Result<()>`, asked after a change of version: an error brings the version before back | `plenum:plugin/health` |
///
/// ```
/// # use plenum_sdk::{Error, Event, Lifecycle, Result, Router, Timestamp};
/// # fn router() -> Router { Router::new() }
/// # fn plan(count: u32) -> Result<u32> { Ok(count + 1) }
/// # fn on_event(_: Event) -> Result<()> { Ok(()) }
/// # fn due(_: &str, _: Timestamp) -> Result<()> { Ok(()) }
/// # fn well() -> Result<()> { Ok(()) }
/// # struct Setup;
/// # impl Lifecycle for Setup {}
/// plenum_sdk::plugin! {
///     http = router,
///     actions = [plan: plan, "plan-twice": |n: u32| plan(plan(n)?)],
///     events = on_event,
///     schedule = due,
///     lifecycle = Setup,
///     health = well,
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! plugin {
    ($($key:ident = $value:tt $(:: $rest:ident)*),+ $(,)?) => {
        $( $crate::__export!($key, $value $(:: $rest)*); )+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __name {
    ($name:ident) => {
        ::std::stringify!($name)
    };
    ($name:literal) => {
        $name
    };
}

/// On other targets only the types are checked: `cargo test` then finds what the component's build would.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (http, $router:expr) => {
        const _: fn() -> $crate::Router = || $router();
    };
    (actions, [$($name:tt : $f:expr),* $(,)?]) => {
        const _: fn(&str, &str) -> $crate::Result<::std::string::String> = |name, input| match name {
            $( $crate::__name!($name) => $crate::guest::action($f, input), )*
            _ => ::std::result::Result::Err($crate::guest::no_action(name, &[$($crate::__name!($name)),*])),
        };
    };
    (events, $f:expr) => {
        const _: fn(&str) -> $crate::Result<()> = |event| $crate::guest::event($f, event);
    };
    (schedule, $f:expr) => {
        const _: fn(&str, u64) -> $crate::Result<()> = |id, due| $crate::guest::schedule($f, id, due);
    };
    (health, $f:expr) => {
        const _: fn() -> $crate::Result<()> = || $f();
    };
    (lifecycle, $value:expr) => {
        const _: fn() -> $crate::Result<()> = || $crate::Lifecycle::install(&$value);
    };
}

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (http, $router:expr) => {
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::http as b;
            struct Plugin;
            impl b::exports::wasi::http::incoming_handler::Guest for Plugin {
                fn handle(
                    request: b::wasi::http::types::IncomingRequest,
                    out: b::wasi::http::types::ResponseOutparam,
                ) {
                    $crate::guest::serve(|| $router(), request, out)
                }
            }
            $crate::__export_http_impl!(Plugin with_types_in $crate::bindings::http);
        };
    };
    (actions, [$($name:tt : $f:expr),* $(,)?]) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Plugin;
            impl $crate::bindings::actions::exports::plenum::plugin::actions::Guest for Plugin {
                fn call(name: ::std::string::String, input: ::std::string::String) -> ::std::result::Result<::std::string::String, $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err(
                        match name.as_str() {
                            $( $crate::__name!($name) => $crate::guest::action($f, &input), )*
                            _ => ::std::result::Result::Err($crate::guest::no_action(&name, &[$($crate::__name!($name)),*])),
                        },
                        ::std::convert::Into::into,
                    )
                }
            }
            $crate::__export_actions_impl!(Plugin with_types_in $crate::bindings::actions);
        };
    };
    (events, $f:expr) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Plugin;
            impl $crate::bindings::events::exports::plenum::plugin::events::Guest for Plugin {
                fn handle(event: ::std::string::String) -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($crate::guest::event($f, &event), ::std::convert::Into::into)
                }
            }
            $crate::__export_events_impl!(Plugin with_types_in $crate::bindings::events);
        };
    };
    (schedule, $f:expr) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Plugin;
            impl $crate::bindings::schedule::exports::plenum::plugin::schedule::Guest for Plugin {
                fn fire(id: ::std::string::String, due: u64) -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($crate::guest::schedule($f, &id, due), ::std::convert::Into::into)
                }
            }
            $crate::__export_schedule_impl!(Plugin with_types_in $crate::bindings::schedule);
        };
    };
    (health, $f:expr) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Plugin;
            impl $crate::bindings::health::exports::plenum::plugin::health::Guest for Plugin {
                fn check() -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($f(), ::std::convert::Into::into)
                }
            }
            $crate::__export_health_impl!(Plugin with_types_in $crate::bindings::health);
        };
    };
    (lifecycle, $value:expr) => {
        #[allow(unsafe_code)]
        const _: () = {
            struct Plugin;
            impl $crate::bindings::lifecycle::exports::plenum::plugin::lifecycle::Guest for Plugin {
                fn install() -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($crate::Lifecycle::install(&$value), ::std::convert::Into::into)
                }
                fn upgrade(from: ::std::string::String) -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($crate::Lifecycle::upgrade(&$value, &from), ::std::convert::Into::into)
                }
                fn uninstall() -> ::std::result::Result<(), $crate::guest::WireError> {
                    $crate::guest::start();
                    ::std::result::Result::map_err($crate::Lifecycle::uninstall(&$value), ::std::convert::Into::into)
                }
            }
            $crate::__export_lifecycle_impl!(Plugin with_types_in $crate::bindings::lifecycle);
        };
    };
}
