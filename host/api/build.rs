//! Makes the folder of the portal's files, so that a host that is compiled before the portal was built still finds them later.

fn main() {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../frontend/dist");
    if let Err(e) = std::fs::create_dir_all(&dist) {
        println!("cargo::warning={} cannot be made: {e}; the host will carry no portal", dist.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}
