//! Reading: where a device stands, and what of its account it has not been shown.

use bytes::Bytes;

use graceful_protocol::wire::Delivered;
use graceful_protocol::{AccountId, DeviceKey};
use graceful_rules::command::{AccountPage, DeviceState, Fetch, FetchResult, Member};
use graceful_rules::expiry::is_expired;
use graceful_rules::{Account, Recipient, RelayTime};

use super::day_keys::Keyring;
use super::row::{IndexEntry, LogHead};
use super::tables::{
    ACCOUNTS, INDEX, Index, LOG, Log, MEMBERS, MEMBERSHIP, META, Meta, Tables, meta, pair, second,
};
use super::{Store, StoreError, account, envelope, members, membership};

/// Envelopes in one view at most.
const PAGE_ENVELOPES_MAX: usize = 1_000;

/// EnvelopeTables of the index that one fetch passes at most, whomever they are for.
const SCAN_ROWS_MAX: usize = 10_000;

/// Bytes of membership entries in one view at most, unless a single one is larger.
const PAGE_ENTRIES_BYTES_MAX: usize = 256 * 1024;

/// What the store holds altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Accounts.
    pub accounts: u64,
    /// Envelopes of all of them.
    pub envelopes: u64,
    /// What these count against quotas, in bytes.
    pub bytes: u64,
}

impl Totals {
    pub(super) fn read(table: &Meta<'_>) -> Result<Self, StoreError> {
        const DAMAGED: StoreError = StoreError::Damaged("its totals cannot be read");
        let row = table.get(meta::TOTALS)?.ok_or(DAMAGED)?;
        let (numbers, rest) = row.value().as_chunks::<8>();
        match (numbers, rest) {
            ([accounts, envelopes, bytes], []) => Ok(Self {
                accounts: u64::from_be_bytes(*accounts),
                envelopes: u64::from_be_bytes(*envelopes),
                bytes: u64::from_be_bytes(*bytes),
            }),
            _ => Err(DAMAGED),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (entry, number) in
            bytes
                .as_chunks_mut()
                .0
                .iter_mut()
                .zip([self.accounts, self.envelopes, self.bytes])
        {
            *entry = number.to_be_bytes();
        }
        bytes
    }

    /// What one account adds to them.
    pub(super) fn of(account: &Account) -> Self {
        Self {
            accounts: 1,
            envelopes: account.stored_envelopes,
            bytes: account.stored_bytes,
        }
    }

    /// Takes out what an account had, and puts in what it has.
    pub(super) fn replace(&mut self, had: &Self, has: &Self) {
        self.accounts = self.accounts + has.accounts - had.accounts;
        self.envelopes = self.envelopes + has.envelopes - had.envelopes;
        self.bytes = self.bytes + has.bytes - had.bytes;
    }
}

/// What stands next in a device's way through the log.
enum ScanEnd {
    /// Nothing: all that fits is shown.
    PageFull,
    /// An envelope whose time is over.
    Expired,
    /// One whose bytes the disk has lost.
    Corrupted(u64),
}

fn delivered(entry: &IndexEntry, head: &LogHead, sealed: Bytes) -> Delivered {
    Delivered {
        seq: entry.meta.seq,
        sender: head.sender_key.to_wire(),
        push_number: head.push_number,
        sealed,
        chain: head.chain.to_wire(),
        targeted: entry.meta.recipient != Recipient::Everyone,
    }
}

/// What a fetch reads.
struct EnvelopeTables<'a> {
    index: Index<'a>,
    log: Log<'a>,
    keys: &'a Keyring,
}

impl Store {
    /// Where a device stands, if it is a member. For anyone else this takes the same time whether
    /// there is such an account or not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn find(
        &self,
        id: &AccountId,
        device: &DeviceKey,
    ) -> Result<Option<DeviceState>, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(number) = members::number(&snapshot.table(MEMBERS), id, device)? else {
            return Ok(None);
        };
        let account = account::load(&snapshot.table(ACCOUNTS), number)?
            .ok_or(StoreError::Damaged("a member's account has no row"))?;
        Ok(account.device_by_key(device).map(|device| DeviceState {
            account: *id,
            member: Member {
                account: number,
                device: device.device_index,
            },
            head: account.head,
            chain: account.chain,
            cursor: device.cursor,
            push_number: device.push_number,
            stored_bytes: account.stored_bytes,
            stored_envelopes: account.stored_envelopes,
            membership_count: account.membership_count,
        }))
    }

    /// What a device has not been shown yet, as of the last commit.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn fetch(&self, fetch: &Fetch, now: RelayTime) -> Result<FetchResult, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(account) = account::load(&snapshot.table(ACCOUNTS), fetch.member.account)? else {
            return Ok(FetchResult::AccountDeleted);
        };
        let Some(device) = account.device(fetch.member.device) else {
            return Ok(FetchResult::NotAMember);
        };
        let mut page = AccountPage {
            entries_from: fetch.entries_from,
            membership_count: account.membership_count,
            gap: device.gap,
            head: account.head,
            through: if fetch.bytes_max == 0 {
                fetch.after
            } else {
                account.head
            },
            ..AccountPage::default()
        };
        if fetch.entries_from < account.membership_count {
            let table = snapshot.table(MEMBERSHIP);
            let bytes_max = self.entries_bytes_max();
            page.entries =
                membership::entries(&table, account.number, fetch.entries_from, bytes_max)?;
        }
        let entries_through = fetch.entries_from + page.entries.len() as u64;
        if entries_through < account.membership_count {
            // An envelope may be sealed by a device, or in a key epoch, that only later entries name.
            page.through = fetch.after;
        } else if fetch.after < account.head && fetch.bytes_max > 0 {
            let (index, log) = (snapshot.table(INDEX), snapshot.table(LOG));
            let rows = EnvelopeTables {
                index,
                log,
                keys: &snapshot.keys,
            };
            match self.collect(&account, fetch, now, &rows, &mut page)? {
                ScanEnd::PageFull => {}
                ScanEnd::Expired => return Ok(FetchResult::SweepFirst),
                ScanEnd::Corrupted(seq) => return Ok(FetchResult::Corrupted { seq }),
            }
        }
        Ok(FetchResult::Page(page))
    }

    /// With disk_space to spare in a frame, whose own bytes come on top.
    pub(super) fn entries_bytes_max(&self) -> usize {
        let frame_bytes_max =
            usize::try_from(self.options.limits.frame_bytes_max).unwrap_or(usize::MAX);
        PAGE_ENTRIES_BYTES_MAX.min(frame_bytes_max / 2)
    }

    /// Collects envelopes until the fetch is filled, or says why not even the first can be shown.
    fn collect(
        &self,
        account: &Account,
        fetch: &Fetch,
        now: RelayTime,
        rows: &EnvelopeTables<'_>,
        page: &mut AccountPage,
    ) -> Result<ScanEnd, StoreError> {
        let mut bytes = 0;
        let first = pair(account.number.0, fetch.after + 1);
        let last = pair(account.number.0, account.head);
        for (row, item) in rows.index.range(&first..=&last)?.enumerate() {
            let (key, value) = item?;
            let entry = IndexEntry::from_bytes(second(key.value()), value.value());
            let before = entry.meta.seq - 1;
            if row == SCAN_ROWS_MAX {
                page.through = before;
                return Ok(ScanEnd::PageFull);
            }
            if !entry.meta.is_for(fetch.member.device) {
                continue;
            }
            let full = page.envelopes.len() == PAGE_ENVELOPES_MAX
                || bytes + u64::from(entry.meta.size) > fetch.bytes_max;
            if full && !(page.envelopes.is_empty() && fetch.at_least_one) {
                page.through = before;
                return Ok(ScanEnd::PageFull);
            }
            let end = match envelope::read(&rows.log, rows.keys, &entry) {
                Ok((head, _)) if is_expired(head.arrived, now, &self.options.limits) => {
                    ScanEnd::Expired
                }
                Err(StoreError::Corrupted) => ScanEnd::Corrupted(entry.meta.seq),
                Err(error) => return Err(error),
                Ok((head, sealed)) => {
                    bytes += u64::from(entry.meta.size);
                    page.envelopes.push(delivered(&entry, &head, sealed));
                    continue;
                }
            };
            page.through = before;
            // What comes before it is shown first.
            return Ok(if page.envelopes.is_empty() {
                end
            } else {
                ScanEnd::PageFull
            });
        }
        Ok(ScanEnd::PageFull)
    }

    /// Whether the oldest envelope's time is over.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn has_expired(&self, now: RelayTime) -> Result<bool, StoreError> {
        let Some((_, row)) = self.snapshot()?.table(LOG).first()? else {
            return Ok(false);
        };
        let (head, _) = LogHead::decode(row.value())?;
        Ok(is_expired(head.arrived, now, &self.options.limits))
    }

    /// EnvelopeTables of all accounts, in every table: none remain when the last account is closed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn account_row_count(&self) -> Result<u64, StoreError> {
        let snapshot = self.snapshot()?;
        let tables = Tables::new(&snapshot);
        let rows = tables.account_numbers.iter()?.count()
            + tables.members.iter()?.count()
            + tables.accounts.iter()?.count()
            + tables.membership.iter()?.count()
            + tables.recovery.iter()?.count()
            + tables.index.iter()?.count()
            + tables.log.iter()?.count();
        Ok(rows as u64)
    }

    /// What there is. They are kept, not counted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn totals(&self) -> Result<Totals, StoreError> {
        Totals::read(&self.snapshot()?.table(META))
    }
}
