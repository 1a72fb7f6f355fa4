//! `plenum plugin`: what a plugin author does, from nothing to a signed package.

mod build;
mod build_javascript;
mod build_python;
mod build_rust;
mod build_world;
mod check;
mod check_explain;
mod component_test;
mod data;
mod dev;
mod dev_host;
mod doctor;
mod new;
pub(crate) mod registry;
mod test_case;
mod test_fake;
mod toolchain;
mod toolchain_node;
mod toolchain_python;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use plenum_runtime::package::{self, Archive, Package, TrustedKey};

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make the folder of a new plugin: a page, a route, an action and tests to start from
    New {
        /// Its id: 2 to 40 of a-z, 0-9 and hyphen
        name: String,
        /// Where [default: ./NAME]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// What it is written in
        #[arg(long, value_enum, default_value = "rust")]
        lang: new::Lang,
        /// What it is to become
        #[arg(long, value_enum, default_value = "app")]
        template: new::Template,
    },
    /// Compile a plugin in Rust, Python or JavaScript to a WebAssembly component and pack it
    Build {
        /// The plugin's folder, with its plugin.toml
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Where the package goes
        #[arg(long, default_value = "dist")]
        out: PathBuf,
        /// Sign it with this secret key (see `keygen`)
        #[arg(long)]
        key: Option<PathBuf>,
        /// Take the crates that Cargo.lock names, or fail
        #[arg(long)]
        locked: bool,
    },
    /// Pack a component that is already there (any language), with the files beside its plugin.toml
    Pack {
        /// The plugin's folder, with its plugin.toml
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// The component; `component.path` of plugin.toml when absent
        #[arg(long)]
        component: Option<PathBuf>,
        /// Where the package goes
        #[arg(long, default_value = "dist")]
        out: PathBuf,
        /// Sign it with this secret key (see `keygen`)
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Make a key pair for signing, in minisign's format: OUT.key and OUT.pub
    Keygen {
        /// Start of the two files' names
        #[arg(long, default_value = "plenum")]
        out: PathBuf,
        /// Leave the secret key unprotected: for keys of a machine that builds by itself
        #[arg(long)]
        no_password: bool,
    },
    /// Sign a package
    Sign {
        /// The package
        package: PathBuf,
        /// The secret key
        #[arg(long)]
        key: PathBuf,
    },
    /// Check a package's digests and signature
    Verify {
        /// The package
        package: PathBuf,
        /// The publisher's public key (file or text)
        #[arg(long)]
        public_key: String,
    },
    /// Build what you save, put it into a running host, show the plugin's log; ends with Ctrl-C
    Dev {
        /// The plugin's folder, with its plugin.toml
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Address of the host that is started for it, with its data below target/plenum/dev
        #[arg(long, default_value = "127.0.0.1:8090", conflicts_with = "host")]
        listen: String,
        /// Or the URL of a host in developer mode that runs on this machine
        #[arg(long, requires = "token", requires = "catalog")]
        host: Option<String>,
        /// An administrator's API token for it
        #[arg(long, env = "PLENUM_TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// A catalog folder that it was started with
        #[arg(long)]
        catalog: Option<PathBuf>,
    },
    /// Run the cases of tests/*.case.{toml,yaml,json} against the built package, in a fake host or in one of its own
    Test(component_test::TestFlags),
    /// Explain what a built plugin imports, exports and asks for, and what it never uses
    Check {
        /// The plugin's folder, whose last build is looked at, or a package
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Write all that an installed plugin stored to a file, but for what is secret
    Export {
        /// The plugin
        id: String,
        #[command(flatten)]
        host: data::HostFlags,
        /// The file [default: ID.jsonl]
        #[arg(long)]
        out: Option<PathBuf>,
        /// Also its settings
        #[arg(long)]
        settings: bool,
    },
    /// Put the data of such a file in the place of all that the same plugin stored, there or on another host
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        host: data::HostFlags,
        /// Check all of it, say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Also take its settings
        #[arg(long)]
        settings: bool,
    },
    /// Show what is in a package
    Inspect {
        /// The package
        package: PathBuf,
    },
    /// Write the two files that `minisign -V` checks: the signed manifest and its signature
    Manifest {
        /// The package
        package: PathBuf,
        /// Where they go: OUT and OUT.minisig [default: ID-VERSION.manifest.json]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Put a package and its signatures into an OCI registry
    Push {
        /// The package
        package: PathBuf,
        /// Where: registry.example.com/acme/demo[:TAG]; the tag is the version when absent
        reference: String,
        #[command(flatten)]
        access: registry::RegistryFlags,
        /// Put it there even when the tag is another package already
        #[arg(long)]
        replace: bool,
    },
    /// Fetch a package and its signatures from an OCI registry
    Pull {
        /// Which: registry.example.com/acme/demo:0.1.0, or ...@sha256:...
        reference: String,
        /// Where it goes [default: ID-VERSION.plenum]
        #[arg(long)]
        out: Option<PathBuf>,
        /// Refuse it unless it is signed with this public key (file or text)
        #[arg(long)]
        public_key: Option<String>,
        #[command(flatten)]
        access: registry::RegistryFlags,
    },
    /// Sign a package and push it
    Publish {
        /// The package
        package: PathBuf,
        /// Where: registry.example.com/acme/demo[:TAG]; the tag is the version when absent
        reference: String,
        /// The secret key
        #[arg(long)]
        key: PathBuf,
        #[command(flatten)]
        access: registry::RegistryFlags,
    },
}

pub use doctor::doctor;

pub fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::New { name, dir, lang, template } => new::create(&name, dir, lang, template),
        PluginCommand::Build { dir, out, key, locked } => build::build(&dir, &out, key.as_deref(), locked),
        PluginCommand::Pack { dir, component, out, key } => build::pack(&dir, component.as_deref(), &out, key.as_deref()),
        PluginCommand::Keygen { out, no_password } => keygen(&out, no_password),
        PluginCommand::Sign { package, key } => sign(&package, &key),
        PluginCommand::Verify { package, public_key } => verify(&package, &public_key),
        PluginCommand::Dev { dir, listen, host, token, catalog } => {
            let running = host.zip(token).zip(catalog).map(|((host, token), catalog)| (host, token, catalog));
            crate::runtime()?.block_on(dev::dev(&dir, dev::Where { listen, running }))
        }
        PluginCommand::Test(flags) => crate::runtime()?.block_on(component_test::test(&flags)),
        PluginCommand::Check { path } => check_explain::explain(&path),
        PluginCommand::Export { id, host, out, settings } => crate::runtime()?.block_on(data::export(&id, out, settings, &host)),
        PluginCommand::Import { file, host, dry_run, settings } => {
            crate::runtime()?.block_on(data::import(&file, dry_run, settings, &host))
        }
        PluginCommand::Inspect { package } => inspect(&package),
        PluginCommand::Manifest { package, out } => registry::manifest(&package, out),
        PluginCommand::Push { package, reference, access, replace } => registry::push(&package, &reference, &access, replace),
        PluginCommand::Pull { reference, out, public_key, access } => registry::pull(&reference, out, public_key.as_deref(), &access),
        PluginCommand::Publish { package, reference, key, access } => {
            sign(&package, &key)?;
            registry::push(&package, &reference, &access, false)
        }
    }
}

/// `PLENUM_KEY_PASSWORD`, or asked for on the terminal.
pub(crate) fn password(question: &str) -> anyhow::Result<String> {
    if let Ok(p) = std::env::var("PLENUM_KEY_PASSWORD") {
        return Ok(p);
    }
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        bail!("the key has a password and there is no terminal to ask for it: set PLENUM_KEY_PASSWORD");
    }
    eprint!("{question}: ");
    // The terminal does not show what is typed.
    let hidden = std::process::Command::new("stty").arg("-echo").status().is_ok_and(|s| s.success());
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if hidden {
        let _ = std::process::Command::new("stty").arg("echo").status();
        eprintln!();
    }
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn keygen(out: &Path, no_password: bool) -> anyhow::Result<()> {
    let (secret, public) = (with_suffix(out, "key"), with_suffix(out, "pub"));
    for p in [&secret, &public] {
        if p.exists() {
            bail!("{} is there already; a key that is replaced cannot sign upgrades any more: name another with --out", p.display());
        }
    }
    let password = if no_password {
        eprintln!("warning: the secret key is not protected by a password; keep {} to this machine", secret.display());
        None
    } else {
        Some(password("Password for the new key")?).filter(|p| !p.is_empty())
    };
    let (public_text, secret_text) = package::generate_key(password)?;
    if let Some(parent) = secret.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret).with_context(|| secret.display().to_string())?;
    file.write_all(secret_text.as_bytes())?;
    std::fs::write(&public, &public_text).with_context(|| public.display().to_string())?;
    println!("secret key  {}\npublic key  {}\n\n{}", secret.display(), public.display(), public_text.lines().last().unwrap_or_default());
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Signs an archive with the key in the file `key`.
pub(crate) fn sign_archive(archive: &mut Archive, key: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(key).with_context(|| format!("the secret key {} cannot be read", key.display()))?;
    // A key that does not open without a password has one.
    if archive.sign(&text, None).is_err() {
        archive.sign(&text, Some(password(&format!("Password of {}", key.display()))?))?;
    }
    Ok(())
}

fn sign(path: &Path, key: &Path) -> anyhow::Result<()> {
    let mut archive = Archive::read(path)?;
    sign_archive(&mut archive, key)?;
    archive.write(path)?;
    println!("signed {}", path.display());
    Ok(())
}

/// The key in a file or a text.
pub(crate) fn given_key(public_key: &str) -> anyhow::Result<TrustedKey> {
    let text = if Path::new(public_key).is_file() { std::fs::read_to_string(public_key)? } else { public_key.to_owned() };
    let line = text.lines().map(str::trim).rfind(|l| !l.is_empty() && !l.starts_with("untrusted comment:")).unwrap_or_default();
    Ok(TrustedKey { name: "the given key".into(), public_key: line.to_owned() })
}

fn verify(path: &Path, public_key: &str) -> anyhow::Result<()> {
    let p = Package::read(path)?;
    let state = p.verify(&[given_key(public_key)?])?;
    match state.state {
        package::Trust::Trusted => {
            println!("good: {} {} is signed with this key, and nothing was changed since", p.manifest.id, p.manifest.version);
            Ok(())
        }
        package::Trust::Unsigned => bail!("{} is not signed", path.display()),
        package::Trust::Modified => bail!("{} was changed after it was signed", path.display()),
        package::Trust::UnknownPublisher => bail!("{} is signed with another key: {}", path.display(), state.key_id.unwrap_or_default()),
    }
}

fn inspect(path: &Path) -> anyhow::Result<()> {
    let p = Package::read(path)?;
    let m = &p.manifest;
    println!("{} {} by {} (API {})", m.id, m.version, m.publisher, m.api);
    println!("  {}", m.description.get("en"));
    println!("digest     {}", p.manifest_digest);
    println!(
        "size       {} KiB, component {} KiB, {} files",
        p.size / 1024,
        p.component.as_ref().map_or(0, |c| c.len() / 1024),
        p.files.len()
    );
    println!(
        "signature  {}",
        match p.signatures.iter().filter_map(|s| package::key_id(s.lines().nth(1)?)).collect::<Vec<_>>() {
            none if none.is_empty() => "none".to_owned(),
            keys => format!("key {}", keys.join(", key ")),
        }
    );
    println!("permissions");
    for r in &m.permissions {
        println!("  {}  {}", r.name, r.reason.get("en"));
    }
    for (what, names) in [
        ("actions", m.actions.iter().map(|a| a.name.clone()).collect::<Vec<_>>()),
        ("workflows", m.workflows.iter().map(|w| w.name.clone()).collect()),
        ("pages", m.pages.iter().map(|p| p.id.clone()).collect()),
        ("schedules", m.schedules.iter().map(|s| s.id.clone()).collect()),
        ("collections", m.collections.iter().map(|c| c.name.clone()).collect()),
    ] {
        if !names.is_empty() {
            println!("{what:<10} {}", names.join(", "));
        }
    }
    if let Some(c) = &p.component {
        let interfaces = check::Interfaces::of(c)?;
        for (what, side) in [("imports", &interfaces.imports), ("exports", &interfaces.exports)] {
            println!("{what}");
            for (name, functions) in side {
                println!("  {name}{}{}", if functions.is_empty() { "" } else { "  " }, functions.join(", "));
            }
        }
    }
    println!("files");
    for (name, bytes) in &p.files {
        println!("  {:>8}  {name}", bytes.len());
    }
    Ok(())
}
