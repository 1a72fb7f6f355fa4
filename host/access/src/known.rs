//! Whose a secret is, remembered for a moment: a page or an agent of automation asks many times in a second, and each of them would
//! otherwise ask the database.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::UserPrincipal;

/// How long another host of the same database may not know that a session ended or a role changed. This host knows at once.
const FOR: Duration = Duration::from_secs(1);
/// Most that are remembered.
const MOST: usize = 10_000;

#[derive(Debug)]
struct One {
    user: UserPrincipal,
    until: Instant,
    generation: u64,
}

/// Cheap to clone; all clones remember the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Counts the changes of who may come in: what was read before one of them is not remembered after it.
    generation: Arc<AtomicU64>,
    all: Arc<Mutex<HashMap<String, One>>>,
}

impl Known {
    /// To be asked before the database is, and given to [`Known::put`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, hash: &str) -> Option<UserPrincipal> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.get(hash)?;
        (one.generation == self.generation() && Instant::now() < one.until).then(|| one.user.clone())
    }

    /// `left_ms`: how long the session or token itself still counts.
    pub(crate) fn put(&self, hash: String, user: &UserPrincipal, left_ms: i64, generation: u64) {
        let now = Instant::now();
        let until = now + FOR.min(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, one| now < one.until);
        }
        if all.len() < MOST {
            all.insert(hash, One { user: user.clone(), until, generation });
        }
    }

    /// Somebody may no longer come in, or not as who they were.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::{Duration, Instant};

    use crate::{Access, Principal, Role, UserPatch};

    plenum_store::both_databases! {
        migrations: &[crate::MIGRATIONS];

        async fn who_may_no_longer_come_in_is_known_at_once_here_and_soon_elsewhere(db: Db) {
            let (here, elsewhere) = (Access::new(db.clone()), Access::new(db));
            let admin = Principal::System("tests");
            let user = here.create_user(&admin, "alice", "Alice", Role::Operator, "a password of some length").await.unwrap();
            let who = Principal::User(user.principal());
            for end in ["session", "token", "role", "disabled"] {
                let session = here.open_session(&user, "tests").await.unwrap();
                let (token, secret) = here.create_token(&who, end, Role::Operator, None).await.unwrap();
                for access in [&here, &elsewhere] {
                    assert_eq!(access.session_user(&session).await.unwrap().unwrap().role, Role::Operator);
                    assert_eq!(access.token_user(&secret).await.unwrap().unwrap().role, Role::Operator);
                    // A token's secret opens no session, nor the other way round, also where both are remembered.
                    assert!(access.session_user(&secret).await.unwrap().is_none());
                    assert!(access.token_user(&session).await.unwrap().is_none());
                }
                let patch = match end {
                    "role" => Some(UserPatch { role: Some(Role::Viewer), ..UserPatch::default() }),
                    "disabled" => Some(UserPatch { disabled: Some(true), role: Some(Role::Viewer), ..UserPatch::default() }),
                    _ => None,
                };
                match (end, patch) {
                    (_, Some(patch)) => drop(here.update_user(&admin, &user.id, patch).await.unwrap()),
                    ("session", _) => here.close_session(&session).await.unwrap(),
                    _ => here.delete_token(&who, &token.id).await.unwrap(),
                }
                let ended = async |access: &Access| match end {
                    "session" => access.session_user(&session).await.unwrap().is_none(),
                    "token" | "disabled" => access.token_user(&secret).await.unwrap().is_none(),
                    _ => access.token_user(&secret).await.unwrap().is_some_and(|u| u.role == Role::Viewer),
                };
                assert!(ended(&here).await, "{end}");
                let patience = Instant::now() + Duration::from_secs(20);
                while !ended(&elsewhere).await {
                    assert!(Instant::now() < patience, "{end} is not known elsewhere");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if end == "role" {
                    let back = UserPatch { role: Some(Role::Operator), ..UserPatch::default() };
                    here.update_user(&admin, &user.id, back).await.unwrap();
                }
            }
        }
    }
}
