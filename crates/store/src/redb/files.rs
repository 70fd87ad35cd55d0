//! Names of the files in a data directory.

/// The database.
pub const FILE: &str = "relay.redb";

/// The day keys, beside it.
pub const KEYS: &str = "day-keys";

/// The journal's two files, beside them.
pub const JOURNALS: [&str; 2] = ["journal-0", "journal-1"];

/// The directory that a restore unpacks.
pub const RESTORING: &str = "restoring";

/// The prefix of directories in which a restore leaves what was there before.
pub const BEFORE_RESTORE: &str = "before-restore-";

/// The compacted copy, before it replaces the database.
pub(crate) const COMPACTING: &str = "relay.redb.compacting";

/// The upgraded copy, before it replaces the database.
pub(crate) const UPGRADING: &str = "relay.redb.upgrading";

/// The database as it was before an upgrade.
pub(crate) const BEFORE_UPGRADE: &str = "relay.redb.before-upgrade";

/// Reserved space, released on a full disk.
pub(crate) const BALLAST: &str = "ballast";
