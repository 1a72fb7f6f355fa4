//! Made by wit-bindgen from the contract; its code is not ours to lint.
//!
//! What is imported is one world: the component's imports are the functions of it that the plugin's code reaches. What is exported is a
//! world for each interface, so that a plugin exports what it names in [`crate::plugin!`] and nothing else.
#![allow(missing_docs, unsafe_code, clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

/// What the platform offers.
pub mod imports {
    wit_bindgen::generate!({
        path: [
            "wit/wasi-clocks", "wit/wasi-random",
            "../../wit/types", "../../wit/log", "../../wit/store", "../../wit/cmdb", "../../wit/jobs", "../../wit/workflow", "../../wit/events",
            "../../wit/plugin", "../../wit/metrics", "../../wit/notify", "../../wit/wasi-keyvalue",
        ],
        inline: r#"
            package plenum:sdk;
            world imports {
                import plenum:log/log@0.1.0;
                import plenum:store/documents@0.1.0;
                import plenum:cmdb/instances@0.1.0;
                import plenum:jobs/executions@0.1.0;
                import plenum:workflow/runs@0.1.0;
                import plenum:workflow/schedules@0.1.0;
                import plenum:events/publisher@0.1.0;
                import plenum:plugin/context@0.1.0;
                import plenum:plugin/secrets@0.1.0;
                import plenum:plugin/calls@0.1.0;
                import plenum:metrics/figures@0.3.0;
                import plenum:notify/notifications@0.3.0;
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
                import wasi:keyvalue/batch@0.2.0-draft;
                import wasi:clocks/wall-clock@0.2.0;
                import wasi:random/random@0.2.0;
            }
        "#,
        world: "plenum:sdk/imports",
        generate_all,
    });
}

/// Answers HTTP.
pub mod http {
    wit_bindgen::generate!({
        path: ["wit/wasi-io", "wit/wasi-http"],
        inline: r#"
            package plenum:sdk;
            world http { export wasi:http/incoming-handler@0.2.0; }
        "#,
        world: "plenum:sdk/http",
        pub_export_macro: true,
        generate_all,
    });
}

/// Asks the outside. A world of its own: who does not ask has no trace of it.
pub mod outgoing {
    wit_bindgen::generate!({
        path: ["wit/wasi-io", "wit/wasi-http"],
        inline: r#"
            package plenum:sdk;
            world outgoing { import wasi:http/outgoing-handler@0.2.0; }
        "#,
        world: "plenum:sdk/outgoing",
        generate_all,
    });
}

/// Carries out actions.
pub mod actions {
    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/plugin"],
        inline: r#"
            package plenum:sdk;
            world actions { export plenum:plugin/actions@0.1.0; }
        "#,
        world: "plenum:sdk/actions",
        pub_export_macro: true,
        with: { "plenum:types/types@0.1.0": crate::bindings::imports::plenum::types::types },
        generate_all,
    });
}

/// Handles events.
pub mod events {
    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/plugin"],
        inline: r#"
            package plenum:sdk;
            world events { export plenum:plugin/events@0.1.0; }
        "#,
        world: "plenum:sdk/events",
        pub_export_macro: true,
        with: { "plenum:types/types@0.1.0": crate::bindings::imports::plenum::types::types },
        generate_all,
    });
}

/// Is called on a schedule.
pub mod schedule {
    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/plugin"],
        inline: r#"
            package plenum:sdk;
            world schedule { export plenum:plugin/schedule@0.1.0; }
        "#,
        world: "plenum:sdk/schedule",
        pub_export_macro: true,
        with: { "plenum:types/types@0.1.0": crate::bindings::imports::plenum::types::types },
        generate_all,
    });
}

/// Prepares and cleans up.
pub mod lifecycle {
    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/plugin"],
        inline: r#"
            package plenum:sdk;
            world lifecycle { export plenum:plugin/lifecycle@0.1.0; }
        "#,
        world: "plenum:sdk/lifecycle",
        pub_export_macro: true,
        with: { "plenum:types/types@0.1.0": crate::bindings::imports::plenum::types::types },
        generate_all,
    });
}

/// Says whether it is well.
pub mod health {
    wit_bindgen::generate!({
        path: ["../../wit/types", "../../wit/plugin"],
        inline: r#"
            package plenum:sdk;
            world health { export plenum:plugin/health@0.1.0; }
        "#,
        world: "plenum:sdk/health",
        pub_export_macro: true,
        with: { "plenum:types/types@0.1.0": crate::bindings::imports::plenum::types::types },
        generate_all,
    });
}
