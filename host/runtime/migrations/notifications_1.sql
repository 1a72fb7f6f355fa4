-- What plugins told people. Each of those who were told has a row below, with whether it was read.
CREATE TABLE notifications (
    seq {{serial}},
    plugin TEXT NOT NULL,
    level TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    link TEXT,
    key TEXT,
    at BIGINT NOT NULL
);
CREATE UNIQUE INDEX notifications_key ON notifications(plugin, key);
CREATE INDEX notifications_at ON notifications(at);
CREATE TABLE notification_recipients (
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    notification BIGINT NOT NULL,
    read_at BIGINT,
    PRIMARY KEY (user_id, notification)
);
CREATE INDEX notification_recipients_of ON notification_recipients(notification);
