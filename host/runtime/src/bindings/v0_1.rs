//! What the contract 0.1 had, and 0.2 replaced.

wasmtime::component::bindgen!({
    inline: r#"
        package plenum:host;
        world imports {
            import plenum:cmdb/instances@0.1.0;
        }
    "#,
    path: ["../../wit/types", "../../wit/cmdb"],
    world: "plenum:host/imports",
    imports: { default: async },
    with: { "plenum:types/types@0.1.0": crate::bindings::v0_3::plenum::types::types },
});
