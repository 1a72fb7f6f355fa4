//! `plenum plugin push`, `pull`, `publish`: packages in OCI registries.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use plenum_runtime::package::{Archive, Credentials, Login, Package, Reference, Registry, Trust, tag_of};

use super::given_key;

/// How a registry is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct RegistryFlags {
    /// Allow plain HTTP to another machine: whoever is on the way can read the login
    #[arg(long)]
    pub plain_http: bool,
    /// User of the registry, with the password in PLENUM_REGISTRY_PASSWORD; without it, what `docker login`, `podman login` or
    /// `skopeo login` stored
    #[arg(long, env = "PLENUM_REGISTRY_USER")]
    pub registry_user: Option<String>,
}

impl RegistryFlags {
    /// A client for one registry.
    pub fn client(&self, r: &Reference) -> anyhow::Result<Registry> {
        Ok(Registry::new(self.credentials(r)?, self.plain_http)?)
    }

    /// Who signs in there.
    pub fn credentials(&self, r: &Reference) -> anyhow::Result<Credentials> {
        Ok(match &self.registry_user {
            Some(user) => {
                // Not a flag: every user of the machine can list the arguments of a process.
                let password = std::env::var("PLENUM_REGISTRY_PASSWORD")
                    .context("the password of --registry-user is expected in PLENUM_REGISTRY_PASSWORD")?;
                Credentials::one(&r.registry, Login { user: user.clone(), password })
            }
            None => Credentials::load()?,
        })
    }
}

/// Runs on an executor of its own: the other commands need none.
pub(crate) fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

pub fn push(path: &Path, reference: &str, access: &RegistryFlags, replace: bool) -> anyhow::Result<()> {
    let reference = Reference::parse(reference)?;
    let archive = Archive::read(path)?;
    let package = archive.package()?;
    if package.signatures.is_empty() {
        eprintln!("warning: {} is not signed; hosts refuse it outside of developer mode", path.display());
    }
    let pushed = wait(async { Ok(access.client(&reference)?.push(&archive, &reference, replace).await?) })?;
    let what = if pushed.unchanged { "was there already" } else { "pushed" };
    println!("{}  {what}\n{}@{}", pushed.reference, reference.place(), pushed.digest);
    Ok(())
}

pub fn pull(reference: &str, out: Option<PathBuf>, public_key: Option<&str>, access: &RegistryFlags) -> anyhow::Result<()> {
    let reference = Reference::parse(reference)?;
    let archive = wait(async { Ok(access.client(&reference)?.pull(&reference).await?) })?;
    let package = archive.package()?;
    let m = &package.manifest;
    if let Some(key) = public_key {
        let signature = package.verify(&[given_key(key)?])?;
        if signature.state != Trust::Trusted {
            bail!("{reference} is not taken: {}", signature.reason.unwrap_or_default());
        }
    }
    let path = out.unwrap_or_else(|| PathBuf::from(format!("{}-{}.plenum", m.id, tag_of(&m.version))));
    archive.write(&path)?;
    println!("{}\n{} {} from {}@{}", path.display(), m.id, m.version, reference.place(), package.manifest_digest);
    Ok(())
}

/// What is signed, and the first signature, as files for other tools.
pub fn manifest(path: &Path, out: Option<PathBuf>) -> anyhow::Result<()> {
    let p = Package::read(path)?;
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}-{}.manifest.json", p.manifest.id, tag_of(&p.manifest.version))));
    std::fs::write(&out, &p.image_manifest).with_context(|| out.display().to_string())?;
    println!("{}", out.display());
    for (i, text) in p.signatures.iter().enumerate() {
        let signature = super::with_suffix(&out, &if i == 0 { "minisig".to_owned() } else { format!("{}.minisig", i + 1) });
        std::fs::write(&signature, text).with_context(|| signature.display().to_string())?;
        println!("{}", signature.display());
    }
    Ok(())
}
