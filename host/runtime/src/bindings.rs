//! Host side of the contract, generated from `wit/`.
#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]

wasmtime::component::bindgen!({
    inline: r#"
        package plenum:host;
        world imports {
            import plenum:cmdb/instances@0.1.0;
            import plenum:jobs/executions@0.1.0;
            import plenum:workflow/runs@0.1.0;
            import plenum:workflow/schedules@0.1.0;
            import plenum:store/documents@0.1.0;
            import plenum:events/publisher@0.1.0;
            import plenum:log/log@0.1.0;
            import plenum:plugin/context@0.1.0;
        }
    "#,
    path: ["../../wit/types", "../../wit/cmdb", "../../wit/jobs", "../../wit/workflow", "../../wit/store", "../../wit/events", "../../wit/log", "../../wit/plugin"],
    world: "plenum:host/imports",
    imports: { default: async },
});
