//! What plugins tell people: stored, shown under the bell of the portal until it is read, and told as an event, so that a plugin can carry
//! it on to mail or a chat.

use plenum_access::{Permission, Principal, Role};
use plenum_store::events::{NewEvent, emit};
use plenum_store::{StoreError, Value, now_ms, params};
use serde::Serialize;
use serde_json::json;

use crate::life::Life;
use crate::service::Plugins;
use crate::{RuntimeError, Services};

/// People who are told at once.
const MAX_PEOPLE: usize = 1_000;
const MAX_TITLE: usize = 200;
const MAX_BODY: usize = 4_000;
const MAX_LINK: usize = 500;
/// So long they are kept.
const KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// What is to be told.
#[derive(Debug)]
pub(crate) struct Draft {
    pub users: Vec<String>,
    pub roles: Vec<String>,
    pub level: &'static str,
    pub title: String,
    pub body: String,
    pub link: Option<String>,
    pub key: Option<String>,
}

/// What somebody was told.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    /// Its number, which also orders them.
    pub seq: i64,
    /// Who tells it.
    pub plugin: String,
    /// `info`, `success`, `warning`, `error`.
    pub level: String,
    /// In one line.
    pub title: String,
    /// In several.
    pub body: String,
    /// Where in the portal there is more.
    pub link: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// When it was read.
    pub read_at: Option<i64>,
}

/// Which of them.
#[derive(Debug, Clone, Default)]
pub struct NotificationQuery {
    /// Only those that were not read.
    pub unread: bool,
    /// Those before this number.
    pub before: Option<i64>,
    /// So many: 1 to 100.
    pub limit: u32,
}

/// A page of them, newest first.
#[derive(Debug, Clone, Serialize)]
pub struct NotificationPage {
    /// What somebody was told.
    pub items: Vec<Notification>,
    /// For the next page; none on the last.
    pub next: Option<i64>,
    /// All that were not read.
    pub unread: i64,
}

fn invalid(why: impl Into<String>) -> RuntimeError {
    RuntimeError::Invalid(why.into())
}

fn check(d: &Draft) -> Result<(), RuntimeError> {
    let title = d.title.trim().chars().count();
    if title == 0 || title > MAX_TITLE || d.title.contains(['\n', '\r']) {
        return Err(invalid(format!("a notification's title is one line of 1 to {MAX_TITLE} characters")));
    }
    if d.body.chars().count() > MAX_BODY {
        return Err(invalid(format!("a notification's body has at most {MAX_BODY} characters; link to the rest")));
    }
    // Within the portal: a link that leads people elsewhere would be trusted because of where it stands.
    if let Some(link) = &d.link
        && (!link.starts_with('/')
            || link.starts_with("//")
            || link.contains('\\')
            || link.len() > MAX_LINK
            || link.chars().any(char::is_control))
    {
        return Err(invalid(format!("{link:?} is no path of the portal, such as /app/demo/main")));
    }
    if d.key.as_ref().is_some_and(|k| k.is_empty() || k.len() > 200) {
        return Err(invalid("a notification's key has 1 to 200 bytes"));
    }
    if d.users.is_empty() && d.roles.is_empty() {
        return Err(invalid("a notification needs somebody: users or roles"));
    }
    match d.roles.iter().find(|r| Role::from_name(r).is_none()) {
        Some(r) => Err(invalid(format!("{r:?} is no role; use administrator, operator or viewer"))),
        None => Ok(()),
    }
}

/// Tells people something for a plugin; answers how many.
pub(crate) async fn send(services: &Services, who: &Principal, life: &Life, draft: Draft) -> Result<u32, RuntimeError> {
    let touches: Vec<(&str, &str)> = draft
        .users
        .iter()
        .map(|u| ("users", u.as_str()))
        .chain(draft.roles.iter().map(|r| ("roles", r.as_str())))
        .take(MAX_PEOPLE + 1)
        .collect();
    services.access.require(who, Permission::NotifySend, &touches).await?;
    check(&draft)?;
    if touches.len() > MAX_PEOPLE {
        return Err(invalid(format!("a notification goes to at most {MAX_PEOPLE} people")));
    }
    if let Err(wait) = life.notify.take(1.0) {
        return Err(RuntimeError::Throttled {
            code: "notify.rate",
            message: format!("the plugin {} sends more notifications than it may in a minute; gather what happens into one", life.id),
            retry_after_s: crate::life::seconds(wait),
        });
    }
    let marks = |n: usize| vec!["?"; n.max(1)].join(", ");
    let sql = format!(
        "SELECT id FROM users WHERE disabled = 0 AND (name IN ({}) OR role IN ({})) ORDER BY name LIMIT {}",
        marks(draft.users.len()),
        marks(draft.roles.len()),
        MAX_PEOPLE
    );
    // A list has to have something: no name and no role is empty.
    let list = |names: &[String]| if names.is_empty() { vec![String::new()] } else { names.to_vec() };
    let args: Vec<Value> = list(&draft.users).into_iter().chain(list(&draft.roles)).map(Value::from).collect();
    let people: Vec<String> = services.db.fetch_all(&sql, &args).await?.iter().map(|r| r.text("id")).collect::<Result<_, StoreError>>()?;
    let mut tx = services.db.begin().await?;
    if let Some(key) = &draft.key
        && tx.fetch_optional("SELECT seq FROM notifications WHERE plugin = ? AND key = ?", params![&life.id, key]).await?.is_some()
    {
        return Ok(0);
    }
    let now = now_ms();
    let row = tx
        .fetch_optional(
            "INSERT INTO notifications (plugin, level, title, body, link, key, at) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (plugin, key) DO NOTHING RETURNING seq",
            params![&life.id, draft.level, draft.title.trim(), &draft.body, draft.link.clone(), draft.key.clone(), now],
        )
        .await?;
    // Another call was faster with the same key.
    let Some(row) = row else { return Ok(0) };
    let seq = row.int("seq")?;
    for id in &people {
        tx.execute("INSERT INTO notification_recipients (user_id, notification, read_at) VALUES (?, ?, NULL)", params![id, seq]).await?;
    }
    tx.execute(
        "DELETE FROM notification_recipients WHERE notification IN (SELECT seq FROM notifications WHERE at < ?)",
        params![now - KEPT_MS],
    )
    .await?;
    tx.execute("DELETE FROM notifications WHERE at < ?", params![now - KEPT_MS]).await?;
    // Whoever follows events sees this one: not what it says, which is for those who are told.
    let data = json!({ "plugin": life.id, "notification": seq, "level": draft.level, "users": people });
    let source = format!("/plugins/{}", life.id);
    emit(&mut tx, NewEvent { kind: "plenum.notification.sent".into(), source, subject: format!("notification/{seq}"), data }).await?;
    tx.commit().await?;
    Ok(u32::try_from(people.len()).unwrap_or(u32::MAX))
}

impl Plugins {
    fn person(who: &Principal) -> Result<&str, RuntimeError> {
        match who {
            Principal::User(u) => Ok(&u.id),
            _ => Err(invalid("only people have notifications")),
        }
    }

    /// What the caller was told, newest first.
    pub async fn notifications(&self, who: &Principal, q: &NotificationQuery) -> Result<NotificationPage, RuntimeError> {
        let user = Self::person(who)?;
        let limit = i64::from(q.limit.clamp(1, 100));
        let unread = if q.unread { "AND r.read_at IS NULL" } else { "" };
        let sql = format!(
            "SELECT n.seq, n.plugin, n.level, n.title, n.body, n.link, n.at, r.read_at FROM notification_recipients r
             JOIN notifications n ON n.seq = r.notification WHERE r.user_id = ? AND n.seq < ? {unread} ORDER BY n.seq DESC LIMIT ?"
        );
        let db = &self.services().db;
        let rows = db.fetch_all(&sql, params![user, q.before.unwrap_or(i64::MAX), limit + 1]).await?;
        let mut items = Vec::with_capacity(rows.len());
        for r in &rows {
            items.push(Notification {
                seq: r.int("seq")?,
                plugin: r.text("plugin")?,
                level: r.text("level")?,
                title: r.text("title")?,
                body: r.text("body")?,
                link: r.opt_text("link")?,
                at: r.int("at")?,
                read_at: r.opt_int("read_at")?,
            });
        }
        let more = items.len() as i64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(100));
        let next = if more { items.last().map(|n| n.seq) } else { None };
        let count = "SELECT COUNT(*) AS n FROM notification_recipients WHERE user_id = ? AND read_at IS NULL";
        let unread = db.fetch_optional(count, params![user]).await?.map_or(Ok(0), |r| r.int("n"))?;
        Ok(NotificationPage { items, next, unread })
    }

    /// The caller has read one of them, or with none all.
    pub async fn read_notifications(&self, who: &Principal, seq: Option<i64>) -> Result<(), RuntimeError> {
        let (user, now, db) = (Self::person(who)?, now_ms(), &self.services().db);
        match seq {
            None => {
                db.execute("UPDATE notification_recipients SET read_at = ? WHERE user_id = ? AND read_at IS NULL", params![now, user])
                    .await?;
            }
            Some(seq) => {
                let sql = "UPDATE notification_recipients SET read_at = COALESCE(read_at, ?) WHERE user_id = ? AND notification = ?";
                if db.execute(sql, params![now, user, seq]).await? == 0 {
                    return Err(RuntimeError::NotFound(format!("you have no notification {seq}")));
                }
            }
        }
        Ok(())
    }
}
