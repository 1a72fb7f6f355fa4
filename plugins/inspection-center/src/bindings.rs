//! Made by wit-bindgen from the contract; its code is not ours to lint.
#![allow(missing_docs, unsafe_code, clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    path: [
        "wit/wasi-io", "wit/wasi-clocks", "wit/wasi-random", "wit/wasi-http",
        "../../wit/types", "../../wit/log", "../../wit/store", "../../wit/cmdb", "../../wit/jobs", "../../wit/workflow", "../../wit/plugin",
    ],
    inline: r#"
        package plenum:inspection-center;
        world guest {
            import plenum:log/log@0.1.0;
            import plenum:store/documents@0.1.0;
            import plenum:cmdb/instances@0.1.0;
            import plenum:jobs/executions@0.1.0;
            import plenum:workflow/runs@0.1.0;
            import plenum:workflow/schedules@0.1.0;
            import wasi:clocks/wall-clock@0.2.0;
            import wasi:random/random@0.2.0;
            export plenum:plugin/actions@0.1.0;
            export wasi:http/incoming-handler@0.2.0;
        }
    "#,
    world: "plenum:inspection-center/guest",
    pub_export_macro: true,
    generate_all,
});
