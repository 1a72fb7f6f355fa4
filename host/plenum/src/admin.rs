//! `plenum admin`: what an administrator does at the host's own machine, beside a running host or before its first start.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use plenum_access::{Principal, Role, UserPatch};
use plenum_store::secrets::Secrets;
use rand::Rng;

use crate::config::{self, Flags};
use crate::serve;

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Prepare the database; on an empty system create the first administrator with a generated password
    Init {
        #[command(flatten)]
        flags: Box<Flags>,
        /// Login name of the first administrator
        #[arg(long, default_value = "admin")]
        name: String,
        /// Write name and password to this file (mode 0600) instead of printing them
        #[arg(long)]
        credentials: Option<PathBuf>,
    },
    /// Give a user a new generated password and print it; ends the user's sessions
    ResetPassword {
        #[command(flatten)]
        flags: Box<Flags>,
        /// Login name
        name: String,
    },
    /// Delete all sealed secrets of the database, of a stopped host whose key is lost for good: they have to be set again
    ForgetSecrets {
        #[command(flatten)]
        flags: Box<Flags>,
        /// Really do it
        #[arg(long)]
        yes: bool,
    },
    /// Print a one-time token for enrolling one agent
    EnrolmentToken {
        #[command(flatten)]
        flags: Box<Flags>,
        /// Minutes until it expires
        #[arg(long, default_value_t = 60)]
        minutes: u32,
    },
}

const WHO: Principal = Principal::System("admin command");

pub async fn run(command: AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::Init { flags, name, credentials } => init(*flags, &name, credentials).await,
        AdminCommand::ResetPassword { flags, name } => reset_password(*flags, &name).await,
        AdminCommand::ForgetSecrets { flags, yes } => forget_secrets(*flags, yes).await,
        AdminCommand::EnrolmentToken { flags, minutes } => enrolment_token(*flags, minutes).await,
    }
}

/// 20 characters without look-alikes: 5.8 bits each, 116 bits.
fn generated_password() -> String {
    const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut rng = rand::rng();
    (0..20).filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())).map(|b| char::from(*b))).collect()
}

async fn init(flags: Flags, name: &str, credentials: Option<PathBuf>) -> anyhow::Result<()> {
    let config = config::load(flags)?;
    let store = serve::open_store(&config).await?;
    if store.access.has_users().await? {
        return Ok(());
    }
    let password = generated_password();
    // Written before the account exists: a failure here must not leave an account whose password nobody knows.
    let text = format!("Name          {name}\nPassword      {password}\n");
    if let Some(path) = &credentials {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("the file {} cannot be written", path.display()))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
    }
    store.access.create_user(&WHO, name, "Administrator", Role::Administrator, &password).await?;
    if credentials.is_none() {
        print!("{text}");
    }
    store.db.close().await;
    Ok(())
}

async fn reset_password(flags: Flags, name: &str) -> anyhow::Result<()> {
    let config = config::load(flags)?;
    let store = serve::open_store(&config).await?;
    let user = store.access.users(&WHO).await?.into_iter().find(|u| u.name == name);
    let user = user.with_context(|| format!("there is no user {name}"))?;
    let password = generated_password();
    store
        .access
        .update_user(&WHO, &user.id, UserPatch { password: Some(password.clone()), disabled: Some(false), ..UserPatch::default() })
        .await?;
    println!("{password}");
    store.db.close().await;
    Ok(())
}

async fn enrolment_token(flags: Flags, minutes: u32) -> anyhow::Result<()> {
    let config = config::load(flags)?;
    let store = serve::open_store(&config).await?;
    let token = plenum_jobs::issue_enrolment_token(&store.db, &store.access, &config.data, &WHO, minutes.saturating_mul(60)).await?;
    println!("{token}");
    store.db.close().await;
    Ok(())
}

async fn forget_secrets(flags: Flags, yes: bool) -> anyhow::Result<()> {
    let config = config::load(flags)?;
    let _alone = serve::lock(&config.data)?;
    if !yes {
        anyhow::bail!(
            "this deletes the secret settings of all plugins, which then have to be set again; say --yes if the key is lost for good"
        );
    }
    let store = serve::open_store(&config).await?;
    let settings = plenum_runtime::forget_secret_settings(&store.db).await?;
    let jobs = plenum_jobs::forget_secret_environments(&store.db).await?;
    Secrets::forget_keys(&store.db).await?;
    let mut tx = store.db.begin().await?;
    let after = serde_json::json!({"settings": settings, "executions": jobs});
    store.access.audit(&mut tx, &WHO, "secrets.forgotten", "secrets", None, Some(&after)).await?;
    tx.commit().await?;
    println!("{settings} secret settings were deleted, and {jobs} unfinished jobs with secrets were ended; the next start makes a new key");
    store.db.close().await;
    Ok(())
}
