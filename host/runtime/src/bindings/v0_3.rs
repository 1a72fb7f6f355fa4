//! The contract 0.3, the newest. Packages that it did not change keep the version in which they last changed.

wasmtime::component::bindgen!({
    inline: r#"
        package plenum:host;
        world imports {
            import plenum:cmdb/models@0.2.0;
            import plenum:cmdb/instances@0.2.0;
            import plenum:cmdb/associations@0.2.0;
            import plenum:jobs/executions@0.1.0;
            import plenum:workflow/runs@0.1.0;
            import plenum:workflow/schedules@0.1.0;
            import plenum:store/documents@0.1.0;
            import plenum:events/publisher@0.1.0;
            import plenum:log/log@0.1.0;
            import plenum:plugin/context@0.1.0;
            import plenum:plugin/secrets@0.1.0;
            import plenum:plugin/calls@0.1.0;
            import plenum:metrics/figures@0.3.0;
            import plenum:notify/notifications@0.3.0;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
        }
    "#,
    path: ["../../wit/types", "../../wit/cmdb-0.2", "../../wit/jobs", "../../wit/workflow", "../../wit/store", "../../wit/events", "../../wit/log", "../../wit/plugin", "../../wit/metrics", "../../wit/notify", "../../wit/wasi-config", "../../wit/wasi-keyvalue"],
    world: "plenum:host/imports",
    imports: { default: async },
    with: { "wasi:keyvalue/store.bucket": crate::interfaces::Bucket },
});
