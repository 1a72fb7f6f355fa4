//! `plenum catalog`: signed indexes, offline copies, catalogs in registries.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use plenum_runtime::catalog::{self, CatalogSpec, INDEX_FILE, Source};
use plenum_runtime::package::TrustPolicy;

use crate::plugin::registry::{RegistryFlags, wait};
use crate::plugin::{given_key, password};

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Make the signed index of a folder of packages
    Index {
        /// The folder
        dir: PathBuf,
        /// The secret key (see `plenum plugin keygen`)
        #[arg(long)]
        key: PathBuf,
        /// The catalog's name
        #[arg(long, default_value = "Catalog")]
        name: String,
        /// Days until hosts want a newer index: make one before
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: u32,
    },
    /// Copy a catalog to a folder, for where there is no network; run again, it fetches what is new
    Mirror {
        /// A folder, https://... or oci://...
        source: String,
        /// The folder of the copy
        dir: PathBuf,
        /// The public key that the index is signed with (file or text); several when given several times
        #[arg(long, required = true)]
        public_key: Vec<String>,
        /// Allow plain HTTP to another machine
        #[arg(long)]
        plain_http: bool,
    },
    /// Put a folder with a signed index into an OCI registry, and its packages beside it
    Push {
        /// The folder
        dir: PathBuf,
        /// Where the index goes: registry.example.com/acme/catalog[:latest]
        reference: String,
        #[command(flatten)]
        access: RegistryFlags,
    },
}

pub fn run(command: CatalogCommand) -> anyhow::Result<()> {
    match command {
        CatalogCommand::Index { dir, key, name, days } => {
            let text = std::fs::read_to_string(&key).with_context(|| format!("the secret key {} cannot be read", key.display()))?;
            // A key that does not open without a password has one.
            let index = match catalog::make_index(&dir, &name, days, &text, None) {
                Ok(index) => index,
                Err(e) if e.code() == "package.key" => {
                    catalog::make_index(&dir, &name, days, &text, Some(password(&format!("Password of {}", key.display()))?))?
                }
                Err(e) => return Err(e.into()),
            };
            println!(
                "{}\n{} packages, serial {}, good until {}",
                dir.join(INDEX_FILE).display(),
                index.packages.len(),
                index.serial,
                index.expires_at
            );
        }
        CatalogCommand::Mirror { source, dir, public_key, plain_http } => {
            let keys = public_key.iter().map(|k| given_key(k)).collect::<anyhow::Result<Vec<_>>>()?;
            let spec = CatalogSpec { plain_http, ..CatalogSpec::of(Source::parse(&source)?) };
            std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            let trust = TrustPolicy::of_keys(&keys)?;
            let done = wait(async { Ok(catalog::mirror(spec, &dir, &trust).await?) })?;
            println!(
                "{}: serial {}, {} packages fetched, {} there already, {} removed",
                dir.display(),
                done.serial,
                done.fetched,
                done.kept,
                done.removed
            );
        }
        CatalogCommand::Push { dir, reference, access } => {
            let source = Source::parse(&format!("oci://{}", reference.trim_start_matches("oci://")))?;
            let reference = source.reference().context("not a registry")?;
            let packages =
                wait(async { Ok(catalog::push_catalog(&dir, reference, access.credentials(reference)?, access.plain_http).await?) })?;
            println!("{source}: the index and {packages} packages");
        }
    }
    Ok(())
}
